"""How pools end, are changed while they work, and go with their loops."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from poolapp.core.config import Location
from poolapp.core.exceptions import BackendUnavailable, PoolClosed, PoolError, PoolPaused
from poolapp.core.registry import Registry
from tests.fake import (
    KINDS,
    SWEEP,
    FakePool,
    FakeServer,
    all_can_be_held,
    config_of,
    lab,
    make_pool,
    quiet,
    settled,
)
from tests.virtual import run_virtual, turns, virtual


def registry_of(**settings: Any) -> tuple[Registry, FakeServer]:
    registry = Registry()
    server = FakeServer()
    registry.register("fake", config_of(server=server, **settings))
    return registry, server


async def hold(pool: FakePool, seconds: float = 0.0) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


async def outcome(task: asyncio.Task[Any]) -> BaseException | None:
    await asyncio.wait([task])
    return task.exception()


# -- 25: close -------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_close_refuses_waiters_at_once_and_waits_for_borrowers(shared: bool) -> None:
    """Scenario 25: close refuses who waits at once, and waits for who holds."""
    async with lab(shared=shared, max_size=1, close_timeout=10) as pool:
        borrower = asyncio.create_task(hold(pool, 3))
        await turns(3)
        waiter = asyncio.create_task(hold(pool))
        await turns(2)
        started = pool.loop.time()
        closing = asyncio.create_task(pool.close())
        refused = await outcome(waiter)
        assert isinstance(refused, PoolClosed)
        assert str(refused) == "pool 'fake' is being closed"
        assert pool.loop.time() == started
        with pytest.raises(PoolClosed, match="pool 'fake' is closed"):
            await pool.acquire()
        assert pool.stats().state == "closing"
        await closing
        assert pool.loop.time() == pytest.approx(started + 3)
        assert await outcome(borrower) is None
        assert pool.witness.names("released", "closed", "pool_closed", "aborted") == [
            "released", "closed", "pool_closed",
        ]  # fmt: skip
        assert pool.witness.details("refused") == [["closed"], ["closed"]]


@KINDS
@virtual
async def test_close_aborts_after_its_timeout_and_names_the_holders(shared: bool) -> None:
    """Scenario 25: after CLOSE_TIMEOUT the connections are cut, and the holders named."""
    async with lab(shared=shared, max_size=2, close_timeout=4) as pool:
        stays = asyncio.create_task(hold(pool, 1000), name="stays")
        goes = asyncio.create_task(hold(pool, 1))
        await turns(3)
        started = pool.loop.time()
        await pool.close()
        assert pool.loop.time() == pytest.approx(started + 4)
        ((leases,),) = pool.witness.details("aborted")
        (lease,) = leases
        assert lease.holder == "stays (hold)"
        assert "test_life.py" in lease.site
        assert pool.witness.closed_because()["aborted"] == 1
        settled(pool)
        assert await outcome(goes) is None
        stays.cancel()
        await asyncio.wait([stays])
        assert stays.cancelled(), "a release to a closed pool is no error"
        assert pool.in_use == 0


@KINDS
@virtual
async def test_close_with_a_timeout_of_its_own(shared: bool) -> None:
    """Scenario 25: close(timeout=0) waits for nobody."""
    async with lab(shared=shared) as pool:
        lease = await pool.acquire()
        started = pool.loop.time()
        await pool.close(timeout=0)
        assert pool.loop.time() == started
        assert not lease.connection.open
        lease.release()
        with pytest.raises(PoolError):
            _ = lease.connection


@KINDS
def test_close_during_connect(shared: bool) -> None:
    """Scenario 25: close during connect, swept over the turns: who waits is refused, the connect
    ends, nothing is granted after the close."""
    for turn in SWEEP:
        for stubborn in (False, True):
            run_virtual(_close_during_connect(shared, turn, stubborn))


async def _close_during_connect(shared: bool, turn: int, stubborn: bool) -> None:
    async with lab(shared=shared) as pool:
        if stubborn:
            pool.server.create.stubborn()
            pool.loop.call_later(0.5, pool.server.create.open)
        else:
            pool.server.create.slow(turns=20)
        tasks = [asyncio.create_task(hold(pool)) for _ in range(3)]
        await turns(turn)
        closing = asyncio.create_task(pool.close())
        late = asyncio.create_task(hold(pool))
        await closing
        granted = pool.counters.acquired
        settled(pool)
        for task in [*tasks, late]:
            assert isinstance(await outcome(task), PoolClosed | None)
        assert pool.counters.acquired == granted, "it lent after it was closed"
        assert pool.server.open == []
        assert pool.budget.connecting == 0


@KINDS
def test_close_in_the_turn_in_which_a_step_begins(shared: bool) -> None:
    """Scenario 25: a step that is cancelled before its first turn costs no permit."""

    async def close_at_once(before: int) -> None:
        async with lab(shared=shared) as pool:
            await turns(before)
            closing = pool.close_soon(0)
            task = asyncio.create_task(hold(pool))
            await turns(before)
            await closing
            assert isinstance(await outcome(task), PoolClosed)

    for before in range(4):
        run_virtual(close_at_once(before))


@KINDS
def test_close_in_the_turn_of_a_grant(shared: bool) -> None:
    """Scenario 25: whoever was served in the turn of the close has the connection or an error,
    though it be cancelled in that turn too."""

    async def close_around_the_grant(turn: int, cancel: bool) -> None:
        async with lab(shared=shared, max_size=2, close_timeout=1) as pool:
            pool.server.create.slow(turns=5)
            stays = asyncio.create_task(hold(pool, 1000))
            tasks = [asyncio.create_task(hold(pool)) for _ in range(4)]
            await turns(turn)
            closing = asyncio.create_task(pool.close(timeout=0))
            await turns(1)
            if cancel:
                for task in tasks:
                    task.cancel()
            await closing
            settled(pool)
            await asyncio.wait(tasks)
            for task in tasks:
                assert task.cancelled() or isinstance(task.exception(), PoolClosed | None)
            stays.cancel()
            await asyncio.wait([stays])
            assert stays.cancelled() or isinstance(stays.exception(), PoolClosed)

    for turn in range(16):
        for cancel in (False, True):
            run_virtual(close_around_the_grant(turn, cancel))


@KINDS
@virtual
async def test_close_twice_and_at_the_same_time(shared: bool) -> None:
    """Scenario 25: whoever closes again waits for the same end."""
    async with lab(shared=shared) as pool:
        borrower = asyncio.create_task(hold(pool, 3))
        await turns(3)
        started = pool.loop.time()
        await asyncio.gather(pool.close(), pool.close(), pool.close())
        assert pool.loop.time() == pytest.approx(started + 3)
        await pool.close()
        assert pool.witness.count("pool_closed") == 1
        await borrower


@KINDS
@virtual
async def test_cancelled_close_goes_on(shared: bool) -> None:
    """Scenario 25: cancelling who closes cancels no close."""
    async with lab(shared=shared) as pool:
        borrower = asyncio.create_task(hold(pool, 3))
        await turns(3)
        closer = asyncio.create_task(pool.close())
        await turns(2)
        closer.cancel()
        await borrower
        await quiet(pool)
        assert pool.state == "closed"


# -- 26, 27, 28: verbs -----------------------------------------------------------------------------


@KINDS
@virtual
async def test_reset_evicts_waiters_with_a_retryable_error(shared: bool) -> None:
    """Scenario 26: who waits gets a retryable error, idle connections are cut, and those in use
    when they come back."""
    async with lab(shared=shared, max_size=2) as pool:
        first = await pool.acquire()
        second = await pool.acquire()
        waiter = asyncio.create_task(hold(pool))
        await turns(2)
        second.release()
        await waiter
        third = await pool.acquire()
        waiter = asyncio.create_task(hold(pool))
        await turns(2)
        pool.reset()
        evicted = await outcome(waiter)
        assert isinstance(evicted, BackendUnavailable)
        assert evicted.retryable
        assert str(evicted) == "pool 'fake' was reset; try again"
        assert pool.witness.details("was_reset") == [[1]]
        assert pool.in_use == 2
        old = {first.connection, third.connection}
        assert all(connection.open for connection in old)
        first.release()
        third.release()
        assert all(not connection.open for connection in old)
        async with pool.acquire() as connection:
            assert connection not in old
        await all_can_be_held(pool)
        assert pool.stats().generation == 2
        assert "terminate" in " ".join(pool.server.calls), "no goodbye to a server in doubt"


@KINDS
@virtual
async def test_reset_during_connect_drops_what_it_yields(shared: bool) -> None:
    """Scenario 26: a connection that was begun before the reset is of the old generation."""
    async with lab(shared=shared, max_size=1) as pool:
        pool.server.create.hold()
        early = asyncio.create_task(hold(pool))
        await turns(3)
        pool.reset()
        assert isinstance(await outcome(early), BackendUnavailable)
        late = asyncio.create_task(hold(pool))
        pool.server.create.open()
        await late
        assert pool.server.created == 2
        assert not pool.server.connections[0].open


@KINDS
@virtual
async def test_drain_replaces_without_an_error(shared: bool) -> None:
    """Scenario 26: drain closes what is idle, and the rest as it comes back; nobody notices."""
    async with lab(shared=shared, max_size=3) as pool:
        lease = await pool.acquire()
        others = [asyncio.create_task(hold(pool)) for _ in range(2)]
        await asyncio.gather(*others)
        pool.drain()
        await quiet(pool)
        assert pool.server.open == [lease.connection]
        assert pool.in_use == 1
        await hold(pool)
        lease.release()
        await quiet(pool)
        assert not lease.pool.server.connections[0].open
        assert set(pool.witness.closed_because()) == {"drained"}
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_pause_and_resume_keep_the_timeouts(shared: bool) -> None:
    """Scenario 27: acquires of a paused pool wait in their order, and their timeouts run."""
    async with lab(shared=shared, max_size=2, acquire_timeout=5) as pool:
        await hold(pool)
        holder = await pool.acquire()
        pool.pause()
        pool.pause()
        assert pool.state == "paused"
        started = pool.loop.time()
        served: list[str] = []

        async def wait(name: str, timeout: float) -> None:
            async with pool.acquire(timeout=timeout):
                served.append(name)

        short = asyncio.create_task(wait("short", 2))
        tasks = [asyncio.create_task(wait(name, 60)) for name in "abc"]
        error = await outcome(short)
        assert isinstance(error, PoolPaused)
        assert pool.loop.time() == pytest.approx(started + 2)
        assert str(error).startswith("pool 'fake' is paused and gave no connection within 2 s")
        with pytest.raises(PoolPaused):
            await pool.acquire(timeout=0)
        assert holder.connection.open
        holder.release()
        await asyncio.sleep(1)
        assert served == []
        pool.resume()
        pool.resume()
        await asyncio.gather(*tasks)
        assert served == ["a", "b", "c"]
        assert pool.witness.names("paused", "resumed") == ["paused", "resumed"]
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_paused_pool_can_be_reset_and_closed(shared: bool) -> None:
    """Scenario 27: pausing stops neither a reset nor a close, and both let the waiters know."""
    async with lab(shared=shared, acquire_timeout=60) as pool:
        await hold(pool)
        pool.pause()
        waiter = asyncio.create_task(hold(pool))
        await turns(2)
        pool.reset()
        assert isinstance(await outcome(waiter), BackendUnavailable)
        waiter = asyncio.create_task(hold(pool))
        await turns(2)
        await pool.close()
        assert isinstance(await outcome(waiter), PoolClosed)
        pool.resume()
        assert pool.state == "closed"


@KINDS
@virtual
async def test_resize_up_and_down_under_load(shared: bool) -> None:
    """Scenario 28: growing helps who waits at once; shrinking closes what is too much as it comes
    back; nobody notices."""
    registry, server = registry_of(shared=shared, max_size=2, max_connecting=10)
    pool = registry["fake"]
    at_once: dict[int, int] = {}
    dice = random.Random(1)

    async def customer() -> None:
        for _ in range(100):
            async with pool.acquire(timeout=60):
                await asyncio.sleep(dice.random() * 0.01)

    customers = [asyncio.create_task(customer()) for _ in range(20)]
    for size in (2, 8, 3, 1, 6):
        registry.resize("fake", max_size=size)
        assert pool.config.max_size == pool.stats().max_size == size
        await asyncio.sleep(0.1)
        at_once[size] = pool.in_use
        assert pool.size <= size
    assert at_once == {2: 2, 8: 8, 3: 3, 1: 1, 6: 6}
    await asyncio.gather(*customers)
    await all_can_be_held(pool)  # type: ignore[arg-type]
    await registry.close_all()
    assert server.broken_rules == []


@virtual
async def test_resize_of_min_size_opens_and_keeps() -> None:
    """Scenario 28: a greater MIN_SIZE is opened at once, a smaller one lets go when idle."""
    registry, _ = registry_of(max_size=10, idle_timeout=100)
    pool = registry["fake"]
    await hold(pool)  # type: ignore[arg-type]
    registry.resize("fake", min_size=4)
    await quiet(pool)  # type: ignore[arg-type]
    assert pool.idle == 4
    registry.resize("fake", min_size=1)
    await asyncio.sleep(200)
    assert pool.idle == 1
    await registry.close_all()


# -- 29: misuse ------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_double_release_is_a_clear_error(shared: bool) -> None:
    """Scenario 29: a double release says where the lease came from, and takes nothing."""
    async with lab(shared=shared, max_size=2) as pool:
        lease = await pool.acquire()
        lease.release()
        other = await pool.acquire()
        with pytest.raises(PoolError, match=r"was released before: .*test_life.py:\d+ in"):
            pool.release(lease)
        with pytest.raises(PoolError, match="was released before"):
            lease.release()
        assert pool.in_use == 1
        other.release()
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_wrong_pool_release_is_a_clear_error(shared: bool) -> None:
    """Scenario 29: a lease goes back to the pool it is of."""
    async with lab(shared=shared) as pool, lab(shared=shared, alias="other") as other:
        lease = await pool.acquire()
        with pytest.raises(PoolError, match="a lease of pool 'fake' was released to pool 'other'"):
            other.release(lease)
        with pytest.raises(PoolError, match=r"release\(\) takes the lease .* not 'FakeConnection'"):
            pool.release(lease.connection)  # type: ignore[arg-type]
        async with lab(shared=shared) as namesake:
            with pytest.raises(PoolError, match="another pool of 'fake'"):
                namesake.release(lease)
        assert pool.in_use == 1
        pool.release(lease)


@KINDS
@virtual
async def test_lease_is_entered_once_at_a_time(shared: bool) -> None:
    """Scenario 29: a lease that is held, or waited for, is not entered by a second task: neither
    loses its connection."""
    async with lab(shared=shared, max_size=2) as pool:
        lease = pool.acquire()
        async with lease:
            with pytest.raises(PoolError, match="held already"):
                await asyncio.create_task(_await(lease))
            assert len(pool.leases()) == 1
        assert pool.leases() == []
        async with lease:
            pass
        pool.drain()
        await quiet(pool)
        both = await asyncio.gather(_await(lease), _await(lease), return_exceptions=True)
        assert sorted(type(each).__name__ for each in both) == ["Lease", "PoolError"]
        lease.release()
        assert pool.in_use == 0
        await all_can_be_held(pool)


async def _await(lease: Any) -> Any:
    return await lease


def test_pool_of_another_loop_is_a_clear_error() -> None:
    """Scenario 29: a pool, or a lease, that was carried to another loop says so."""
    registry, _ = registry_of()
    kept: list[Any] = []

    async def keep() -> None:
        kept.append(registry["fake"])
        kept.append(await registry["fake"].acquire())

    async def use() -> None:
        with pytest.raises(PoolError, match="belongs to another event loop; ask for pools"):
            await kept[0].acquire()
        with pytest.raises(PoolError, match="another event loop"):
            kept[1].release()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(keep())
        thread = threading.Thread(target=second.run, args=[use()])
        failures: list[BaseException] = []
        with _collecting(failures):
            thread.start()
            thread.join()
        assert failures == []
        second.run(use_in_the_same_thread(kept[0]))
    assert registry.count() == 0


async def use_in_the_same_thread(pool: Any) -> None:
    with pytest.raises(PoolError, match="belongs to another event loop"):
        await pool.acquire()


@contextlib.contextmanager
def _collecting(failures: list[BaseException]) -> Iterator[None]:
    hook, threading.excepthook = (
        threading.excepthook,
        lambda args: failures.append(args.exc_value or RuntimeError()),
    )
    try:
        yield
    finally:
        threading.excepthook = hook


# -- 30: lifetimes ---------------------------------------------------------------------------------


@virtual
async def test_lifetimes_are_spread() -> None:
    """Scenario 30: connections that were opened together don't all end together."""
    dice = random.Random(4)
    async with lab(
        max_size=20, max_connecting=20, max_lifetime=1000, idle_timeout=1e9, random=dice.random
    ) as pool:
        await asyncio.gather(*(hold(pool, 0.1) for _ in range(20)))
        ends = []
        started = pool.loop.time()
        while pool.loop.time() < started + 1100:
            await asyncio.sleep(5)
            closed = pool.witness.closed_because()["lifetime"]
            ends += [pool.loop.time() - started] * (closed - len(ends))
        assert len(ends) == 20
        assert ends[0] > 940
        assert ends[-1] < 1030
        assert len(set(ends)) > 3


@KINDS
@virtual
async def test_lifetime_is_enforced_under_constant_load(shared: bool) -> None:
    """Scenario 30: connections that are never idle are replaced all the same."""
    async with lab(shared=shared, max_size=3, max_lifetime=10) as pool:
        until = pool.loop.time() + 100

        async def customer(number: int) -> None:
            while pool.loop.time() < until:
                async with pool.acquire(timeout=60) as connection:
                    await connection.query(0.5 + number * 0.01)

        await asyncio.gather(*(customer(number) for number in range(9)))
        expected = 9 if shared else 27
        assert expected <= pool.witness.closed_because()["lifetime"] <= expected * 1.4
        assert pool.stats().timed_out == 0


@KINDS
@virtual
async def test_idle_shrink_keeps_min_size(shared: bool) -> None:
    """Scenario 30: idle ones above MIN_SIZE are closed after IDLE_TIMEOUT; MIN_SIZE stay."""
    async with lab(
        shared=shared, min_size=2, max_size=6, idle_timeout=60, max_lifetime=1e6, max_connecting=6
    ) as pool:
        await asyncio.gather(*(hold(pool, 1) for _ in range(6)))
        assert pool.idle == 6
        await asyncio.sleep(45)
        assert pool.idle == 6
        await asyncio.sleep(45)
        assert pool.idle == pool.budget.used == 2
        await asyncio.sleep(500)
        assert pool.idle == 2
        if not shared:
            assert pool.witness.closed_because() == {"idle": 4}


@KINDS
@virtual
async def test_min_size_is_kept(shared: bool) -> None:
    """Scenario 30: MIN_SIZE is opened with the first acquire, and again after a loss, a drain and
    an outage, though nobody asks."""
    async with lab(shared=shared, min_size=3, max_size=5) as pool:
        assert pool.server.created == 0
        await hold(pool)
        await quiet(pool)
        assert pool.idle == 3
        pool.drain()
        await quiet(pool)
        assert pool.idle == 3
        pool.server.create.fail(times=4)
        pool.server.kill_all()
        await asyncio.sleep(5)
        assert pool.idle == 3
        assert pool.stats().connect_failed == 4


# -- 36 --------------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_slow_connect_of_one_alias_delays_no_other(shared: bool) -> None:
    """Scenario 36: a slow connect of one alias delays no other alias."""
    registry, slow = registry_of(shared=shared)
    registry.register("quick", config_of("quick", shared=shared))
    slow.create.slow(seconds=2)
    waiting = asyncio.create_task(hold(registry["fake"]))  # type: ignore[arg-type]
    await turns(3)
    started = asyncio.get_running_loop().time()
    await hold(registry["quick"])  # type: ignore[arg-type]
    assert asyncio.get_running_loop().time() == started
    await waiting
    await registry.close_all()


@virtual
async def test_configurations_that_differ_never_share_a_pool() -> None:
    """Scenario 37, on the fake: another size or password is another pool."""
    registry = Registry()
    server = FakeServer()
    first, second = (Location.parse(f"fake://ann:{word}@host") for word in ("spring", "summer"))
    configs = {
        "one": config_of("one", server=server, locations=(first,)),
        "two": config_of("two", server=server, locations=(second,)),
        "three": config_of("three", server=server, locations=(first,), max_size=3),
    }
    registry.configure(configs)
    for alias in configs:
        await hold(registry[alias])  # type: ignore[arg-type]
    assert server.asked_for == [(first,), (second,), (first,)]
    assert len({registry[alias].budget for alias in configs}) == 3
    await registry.close_all()


def test_make_pool_is_what_the_registry_makes() -> None:
    """The lab's pools are those of the registry, but for the passed clock and dice."""

    async def main() -> None:
        registry, _ = registry_of()
        made = make_pool()
        assert type(registry["fake"]) is type(made)
        await asyncio.gather(registry.close_all(), made.close())

    asyncio.run(main())
