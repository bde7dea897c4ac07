"""What a pool says of itself is what happened, in the order in which it happened."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from poolapp.core.config import Location, Options
from poolapp.core.events import Observer
from poolapp.core.exceptions import BackendUnavailable, CircuitOpen, PoolTimeout
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from tests.fake import KINDS, FakePool, Witness, lab, quiet
from tests.virtual import turns, virtual


async def hold(pool: FakePool, seconds: float = 0.0) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


class ReadsStack(Observer):
    def __init__(self) -> None:
        self.stacks: list[list[str]] = []

    def leaked(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self.stacks.append(lease.stack())


async def view(pool: FakePool, until: asyncio.Event) -> None:
    await _service(pool, until)


async def _service(pool: FakePool, until: asyncio.Event) -> None:
    async with pool.acquire():
        await until.wait()


@KINDS
@virtual
async def test_leak_is_reported_with_the_stack_of_its_acquire_then_returned(shared: bool) -> None:
    """Scenario 38: a leak is reported with the stack of its acquire, then "returned"."""
    async with lab(shared=shared, leak_after=60) as pool:
        reader = ReadsStack()
        pool.events.add(reader)
        over = asyncio.Event()
        task = asyncio.create_task(view(pool, over), name="request 7")
        await asyncio.sleep(59)
        assert pool.stats().leaked == 0
        await asyncio.sleep(20)
        ((lease, held),) = pool.witness.details("leaked")
        assert 60 <= held <= 76
        assert lease.holder == "request 7 (view)"
        (stack,) = reader.stacks
        assert [line.rpartition(" in ")[2] for line in stack[-2:]] == ["view", "_service"]
        assert re.fullmatch(r".*test_truth\.py:\d+ in _service", lease.site)
        assert stack[-1] == lease.site
        assert pool.stats().leaked == pool.stats().leaking == 1
        await asyncio.sleep(600)
        assert pool.witness.count("leaked") == 1, "it is told once"
        over.set()
        await task
        ((same, whole),) = pool.witness.details("returned")
        assert same is lease
        assert whole == pytest.approx(679)
        assert pool.stats().leaked == 1
        assert pool.stats().leaking == 0
        assert pool.witness.names("leaked", "released", "returned") == [
            "leaked", "released", "returned",
        ]  # fmt: skip


@KINDS
@virtual
async def test_lease_of_a_task_that_ended_is_still_a_leak(shared: bool) -> None:
    """Scenario 38: a lease that was forgotten by a task that is over is reported with its site."""
    async with lab(shared=shared, leak_after=10, close_timeout=0) as pool:
        kept = []

        async def forgetful() -> None:
            kept.append(await pool.acquire())

        await asyncio.create_task(forgetful(), name="forgetful")
        await asyncio.sleep(20)
        ((lease, _),) = pool.witness.details("leaked")
        assert lease is kept[0]
        assert lease.stack() == [lease.site]
        assert "forgetful" in lease.site
        assert repr(lease).startswith("<Lease of 'fake' by forgetful (")


@KINDS
@virtual
async def test_lease_that_is_meant_to_last_is_no_leak(shared: bool) -> None:
    """Scenario 38: a listener's connection is held for ever, and reported never."""

    class Subscription(Lease[Any]):
        lasting = True

    async with lab(shared=shared, leak_after=10) as pool:
        async with Subscription(pool, None, False, sys._getframe()):
            await asyncio.sleep(100)
        assert pool.stats().leaked == 0


@KINDS
@virtual
async def test_counters_and_events_agree(shared: bool) -> None:
    """Scenario 38: counters and events agree with what happened, in order."""
    async with lab(shared=shared, max_size=1, acquire_timeout=1, max_waiting=2) as pool:
        await hold(pool)
        await hold(pool)
        holder = await pool.acquire()
        waiting = [asyncio.create_task(hold(pool)) for _ in range(2)]
        await turns(2)
        with pytest.raises(Exception, match="wait already"):
            await pool.acquire()
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        holder.release()
        with pytest.raises(ConnectionResetError):
            async with pool.acquire() as connection:
                connection.kill(noticed=False)
                await connection.query()
        await hold(pool)
        pool.server.create.fail(times=1)
        pool.reset()
        await hold(pool)
        await quiet(pool)

        assert pool.witness.names() == [
            "pool_opened", "connected", "acquired", "released",
            "acquired", "released",
            "acquired", "refused", "cancelled", "timed_out", "gave_up", "released",
            "acquired", "released", "lost", "closed",
            "connected", "acquired", "released",
            "closed", "was_reset", "connect_failed", "connected", "acquired", "released",
        ]  # fmt: skip
        stats = pool.stats()
        for event, counter in {
            "acquired": stats.acquired,
            "refused": stats.refused,
            "cancelled": stats.cancelled,
            "timed_out": stats.timed_out,
            "connected": stats.connected,
            "connect_failed": stats.connect_failed,
            "lost": stats.lost,
            "nested": stats.nested,
        }.items():
            assert pool.witness.count(event) == counter, event
        assert stats.closed == dict(pool.witness.closed_because()) == {"lost": 1, "reset": 1}
        assert stats.queued == 3
        assert stats.acquired == 6


@KINDS
@virtual
async def test_observer_that_fails_changes_nothing(
    shared: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Scenario 38: an observer's fault is logged, and is its own."""

    class Faulty(Observer):
        def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
            raise ZeroDivisionError

        def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
            raise ZeroDivisionError

        def connected(self, pool: Pool[Any], seconds: float) -> None:
            raise ZeroDivisionError

    async with lab(shared=shared) as pool:
        pool.events.observers = ()
        pool.events.add(Faulty())
        witness = Witness()
        pool.events.add(witness)
        pool.witness = witness
        with caplog.at_level(logging.ERROR, logger="poolapp.events"):
            await hold(pool)
        assert witness.names("connected", "acquired", "released") == [
            "connected", "acquired", "released",
        ]  # fmt: skip
        assert [record.getMessage() for record in caplog.records] == [
            "An observer failed on connected",
            "An observer failed on acquired",
            "An observer failed on released",
        ]
        assert pool.in_use == 0


@KINDS
@virtual
async def test_wait_metric_is_what_the_waiter_waited(shared: bool) -> None:
    """Scenario 40: the wait metric is what the waiter waited, whoever it waited for."""
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=1, acquire_timeout=60) as pool:
        waits: list[float] = []

        async def visit(seconds: float) -> None:
            started = loop.time()
            async with pool.acquire():
                waits.append(loop.time() - started)
                await asyncio.sleep(seconds)

        pool.server.create.slow(seconds=0.3)
        await visit(0)
        await visit(0)
        await asyncio.gather(*(visit(1.5) for _ in range(4)))
        pool.server.check.slow(seconds=0.7)
        await asyncio.sleep(10)
        await visit(0)
        assert waits == pytest.approx([0.3, 0, 0, 1.5, 3, 4.5, 0.7])
        assert [waited for _, waited in pool.witness.details("acquired")] == pytest.approx(waits)
        stats = pool.stats()
        assert stats.wait_seconds == pytest.approx(sum(waits))
        assert stats.queued == 5
        assert 0 < stats.wait_p50 <= 1
        assert 2.5 < stats.wait_p99 <= 5


@KINDS
@virtual
async def test_use_metric_is_how_long_it_was_held(shared: bool) -> None:
    """Scenario 40: and so is the time it was held."""
    async with lab(shared=shared) as pool:
        await hold(pool, 2)
        await hold(pool, 4)
        assert pool.stats().use_seconds == pytest.approx(6)
        assert [held for _, held in pool.witness.details("released")] == pytest.approx([2, 4])


NASTY = ["p@ss/w#rd:%41", "quo'te\"", "back\\slash", "ünï€ø", "100%", "a b+c", "x?y=z&"]


@KINDS
@pytest.mark.parametrize("password", NASTY)
@virtual
async def test_no_secret_in_any_message(
    shared: bool, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Scenario 39, of the core: a password that a driver puts into its error is not passed on."""
    url = f"fake://ann:{quote(password, safe='')}@host:1/db"
    forms = {
        password,
        quote(password),
        quote(password, safe=""),
        quote_plus(password),
        repr(password)[1:-1],
    }
    caplog.set_level(logging.DEBUG)
    async with lab(
        shared=shared,
        acquire_timeout=1,
        breaker=None,
        locations=(Location.parse(url),),
        options={"api_key": "sesame-key", "nested": {"token": "inner-token"}},
    ) as pool:
        said: list[str] = [
            repr(pool.config),
            str(pool.config),
            repr(pool),
            repr(pool.config.where()),
        ]
        errors = [
            ConnectionError(f"no login for {form!s} at {url} with sesame-key, inner-token")
            for form in forms
        ] + [ConnectionError(password, {"password": password})]
        for error in errors:
            pool.server.create.fail(error)
            with pytest.raises(PoolTimeout) as caught:
                await pool.acquire()
            said.append(str(caught.value))
            await asyncio.sleep(60)
        pool.server.create.fail(PermissionError(f"password {password!r} is wrong"))
        with pytest.raises(BackendUnavailable) as refused:
            await pool.acquire()
        said += [str(refused.value), repr(refused.value), pool.stats().last_error]
        said += [str(pool.stats().as_dict()), *map(str, pool.witness.details("connect_failed"))]
        said += [record.getMessage() for record in caplog.records]
        text = "\n".join(said)
        for form in [*forms, "sesame-key", "inner-token"]:
            assert form not in text
        assert "***" in text


@KINDS
@virtual
async def test_no_secret_in_the_chain_of_an_error(shared: bool) -> None:
    """Scenario 39: the pool's error does not carry the driver's along, with its secrets."""
    async with lab(shared=shared) as pool:
        pool.server.create.fail(PermissionError("password 'sesame' is wrong"))
        with pytest.raises(BackendUnavailable) as refused:
            await pool.acquire()
        assert refused.value.__cause__ is refused.value.__context__ is None


@KINDS
@virtual
async def test_password_that_can_not_be_had_is_an_outage(shared: bool) -> None:
    """Scenario 41, of the core: a function of the locations that fails is a failed connect."""

    def locations() -> tuple[Location, ...]:
        raise ConnectionError("the vault is sealed")

    async with lab(shared=shared, acquire_timeout=60, locations=locations) as pool:
        with pytest.raises(CircuitOpen, match="ConnectionError: the vault is sealed"):
            await pool.acquire()
        assert pool.stats().connect_failed == 5


@KINDS
@virtual
async def test_cancel_that_a_driver_lets_through_is_an_outage(shared: bool) -> None:
    """Scenario 41, of the core: a connect that ends with a CancelledError of the driver's own."""
    async with lab(shared=shared, acquire_timeout=60) as pool:
        pool.server.create.fail(asyncio.CancelledError(), times=2)
        await hold(pool)
        assert pool.stats().connect_failed == 2


@KINDS
@virtual
async def test_new_password_is_used_from_the_next_connect(shared: bool) -> None:
    """Scenario 41, of the core: the locations are asked for before each connect."""
    first, second = (Location.parse(f"fake://ann:{word}@host") for word in ("spring", "summer"))
    now = [first]
    async with lab(shared=shared, locations=lambda: tuple(now)) as pool:
        await hold(pool)
        now[:] = [second]
        pool.drain()
        await hold(pool)
        assert pool.server.asked_for == [(first,), (second,)]


def test_options_show_flags_and_numbers_only() -> None:
    """Scenario 39: an option's string is shown under no name."""
    options = Options(
        {"retries": 3, "tls": True, "dsn": "fake://u:p@h", "pin": None, "token": 4711}
    )
    assert repr(options) == (
        "{'retries': 3, 'tls': True, 'dsn': '***', 'pin': None, 'token': '***'}"
    )
