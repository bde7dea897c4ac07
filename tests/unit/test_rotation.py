"""A password that changes while the pool works: asked for, proved, and the old one drained."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from poolapp.core.asked import AskedLocations
from poolapp.core.config import Location, PoolConfig
from poolapp.core.exceptions import (
    BackendUnavailable,
    CircuitOpen,
    ConfigurationError,
    PoolError,
    PoolTimeout,
)
from poolapp.core.registry import Registry
from tests.fake import KINDS, FakeServer, config_of, lab, quiet
from tests.virtual import turns, virtual


def location(password: str) -> Location:
    return Location.parse(f"fake://ann:{password}@host")


class Vault:
    """A secret manager, whose answer may be held back."""

    def __init__(self, *passwords: str) -> None:
        self.passwords = list(passwords)
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> tuple[Location, ...]:
        self.threads.append(threading.current_thread())
        self.asked.set()
        assert self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        return tuple(location(each) for each in self.passwords)


async def hold_all(pool: object, count: int) -> None:
    """Open ``count`` connections."""
    leases = [await pool.acquire() for _ in range(count)]  # type: ignore[attr-defined]
    for lease in leases:
        lease.release()


# -- asking ----------------------------------------------------------------------------------------


async def test_the_function_is_asked_in_a_thread_of_its_own_before_each_connect() -> None:
    vault = Vault("spring")
    async with lab(locations=AskedLocations(vault)) as pool:
        await hold_all(pool, 2)
        assert len(vault.threads) == 2
        assert threading.current_thread() not in vault.threads
        assert pool.server.asked_for == [(location("spring"),)] * 2


async def test_the_loop_goes_on_while_the_function_takes_its_time() -> None:
    vault = Vault("spring")
    vault.may_answer.clear()
    where = AskedLocations(vault)
    async with lab(locations=where) as pool:
        task = asyncio.create_task(hold_all(pool, 1))
        await asyncio.to_thread(vault.asked.wait)
        assert not task.done()
        assert pool.config.where() == (), "it is not known yet, and nobody waits for it"
        vault.may_answer.set()
        await task
        assert pool.config.where() == (location("spring"),)


async def test_all_who_ask_meanwhile_get_one_answer_and_a_cancelled_one_spoils_nothing() -> None:
    vault = Vault("spring")
    vault.may_answer.clear()
    where = AskedLocations(vault)
    first, second, third = (asyncio.create_task(where.ask()) for _ in range(3))
    await asyncio.to_thread(vault.asked.wait)
    first.cancel()
    vault.may_answer.set()
    assert await second == await third == (location("spring"),)
    assert first.cancelled()
    assert len(vault.threads) == 1
    await where.ask()
    assert len(vault.threads) == 2


async def test_a_function_that_hangs_ends_at_the_timeout_of_the_connect() -> None:
    vault = Vault("spring")
    vault.may_answer.clear()
    settings = {"connect_timeout": 0.05, "acquire_timeout": 0.2}
    async with lab(locations=AskedLocations(vault), **settings) as pool:
        with pytest.raises(PoolTimeout, match=r"last connect error: TimeoutError"):
            await pool.acquire()
        assert len(vault.threads) == 1, "one thread hangs, whatever is tried"
        vault.may_answer.set()


async def test_a_function_that_fails_is_a_connect_that_failed_and_is_tried_again() -> None:
    vault = Vault("spring")
    vault.error = ConnectionError("the vault is sealed")
    async with lab(locations=AskedLocations(vault), acquire_timeout=0.3) as pool:
        with pytest.raises(PoolTimeout, match=r"failed: ConnectionError: the vault is sealed"):
            await pool.acquire()
        vault.error = None
        async with pool.acquire(timeout=5):
            pass


async def test_an_answer_that_makes_no_sense_is_told_at_once() -> None:
    vault = Vault("spring")
    vault.error = ConfigurationError("LOCATION: shop.url() must be a URL, not None")
    async with lab(locations=AskedLocations(vault), acquire_timeout=60) as pool:
        with pytest.raises(BackendUnavailable, match=r"shop\.url\(\) must be a URL"):
            await pool.acquire()


def test_equal_is_what_asks_the_same_function() -> None:
    vault = Vault()
    assert AskedLocations(vault) == AskedLocations(vault)
    assert AskedLocations(vault) != AskedLocations(Vault())
    with pytest.raises(TypeError):
        hash(AskedLocations(vault))


async def test_a_forked_child_does_not_wait_for_the_parents_thread() -> None:
    vault = Vault("spring")
    vault.may_answer.clear()
    where = AskedLocations(vault)
    parents = asyncio.create_task(where.ask())
    await asyncio.to_thread(vault.asked.wait)
    where.forget()
    vault.may_answer.set()
    assert await where.ask() == await parents


# -- draining --------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_the_same_answer_drains_nothing(shared: bool) -> None:
    async with lab(shared=shared, locations=lambda: (location("spring"),)) as pool:
        await hold_all(pool, 3)
        assert pool.stats().closed == {}
        assert pool.stats().generation == 1


@virtual
async def test_another_answer_drains_what_was_opened_before() -> None:
    now = [location("spring")]
    async with lab(locations=lambda: tuple(now), max_size=4) as pool:
        await hold_all(pool, 2)
        first, second = await pool.acquire(), await pool.acquire()
        now[:] = [location("summer")]
        async with pool.acquire() as fresh:
            second.release()
            await quiet(pool)
            assert pool.stats().closed == {"drained": 1}, "at its return, not before"
        assert first.connection in pool.server.open, "its holder may go on"
        first.release()
        await quiet(pool)
        assert pool.stats().closed == {"drained": 2}
        assert pool.stats().generation == 2
        assert pool.server.asked_for[-1] == (location("summer"),)
        async with pool.acquire() as again:
            assert again is fresh


@virtual
async def test_another_answer_closes_what_lies_idle_at_once() -> None:
    now = [location("spring")]
    async with lab(locations=lambda: tuple(now), max_size=4) as pool:
        await hold_all(pool, 2)
        first, second = await pool.acquire(), await pool.acquire()
        now[:] = [location("summer")]
        pool.server.create.hold()
        third = asyncio.create_task(hold_all(pool, 1))
        await turns(5)
        first.release()
        second.release()
        await third
        pool.server.create.open()
        await quiet(pool)
        assert pool.stats().closed == {"drained": 2}
        assert [each.number for each in pool.server.open] == [3]


@virtual
async def test_nothing_is_drained_before_the_new_password_has_proved_good() -> None:
    now = [location("spring")]
    async with lab(locations=lambda: tuple(now), max_size=3) as pool:
        await hold_all(pool, 1)
        now[:] = [location("typo")]
        pool.server.create.fail(PermissionError("wrong password"))
        first = await pool.acquire()
        waiting = asyncio.create_task(hold_all(pool, 1))
        await asyncio.sleep(1)
        assert pool.stats().connect_failed > 0
        first.release()
        await waiting
        assert pool.stats().closed == {}
        assert pool.server.created == 1


@KINDS
@virtual
async def test_a_drain_by_hand_after_the_change_is_the_only_one(shared: bool) -> None:
    now = [location("spring")]
    async with lab(shared=shared, locations=lambda: tuple(now)) as pool:
        await hold_all(pool, 2)
        now[:] = [location("summer")]
        pool.drain()
        await hold_all(pool, 2)
        assert pool.stats().generation == 2


@KINDS
@virtual
async def test_a_connect_from_before_a_drain_that_is_refused_is_held_against_nobody(
    shared: bool,
) -> None:
    """It had the old password. Whoever waits gets a connection with the new one."""
    async with lab(shared=shared, connect_timeout=1.0) as pool:
        pool.backend.hopeless = TimeoutError  # type: ignore[attr-defined]
        pool.server.create.never()
        waiting = asyncio.create_task(hold_all(pool, 1))
        await turns(5)
        pool.drain()
        pool.server.create.ok()
        await waiting
        stats = pool.stats()
        assert (stats.connect_failed, stats.last_error, stats.generation) == (0, "", 2)


@virtual
async def test_former_passwords_stay_hidden() -> None:
    now = [location("spring-password")]
    async with lab(locations=lambda: tuple(now)) as pool:
        await hold_all(pool, 1)
        now[:] = [location("summer-password")]
        assert pool.config.scrub("spring-password summer-password") == "*** ***"
        assert pool.config.replace(max_size=3).scrub("spring-password") == "***"
        assert "spring" not in repr(pool.config)


async def test_no_more_former_passwords_are_kept_than_can_matter() -> None:
    numbers = iter(range(1000))
    config = PoolConfig(
        alias="a", backend="b.C", locations=lambda: (location(f"secret-{next(numbers)}"),)
    )
    for _ in range(100):
        await config.locate()
    assert len(config.former.secrets) == config.former.LIMIT
    assert config.scrub("secret-99") == "***"


# -- another configuration of an alias -------------------------------------------------------------


def changed(**changes: object) -> Callable[[PoolConfig], PoolConfig]:
    return lambda config: config.replace(**changes)


@KINDS
@pytest.mark.parametrize(
    ("change", "drains"),
    [
        (changed(locations=(location("summer"),)), True),
        (changed(acquire_timeout=3.0, max_lifetime=60.0), False),
        (changed(max_size=20, min_size=1), None),
    ],
    ids=["password", "times", "sizes"],
)
@virtual
async def test_a_pool_takes_another_configuration_over_while_it_works(
    shared: bool, change: Callable[[PoolConfig], PoolConfig], drains: bool | None
) -> None:
    registry, server = Registry(), FakeServer()
    config = config_of(server=server, shared=shared, locations=(location("spring"),))
    registry.configure({"fake": config})
    pool = registry["fake"]
    lease = await pool.acquire()
    after = change(config)
    registry.configure({"fake": after})
    assert registry["fake"] is pool
    assert pool.config == pool.backend.config == registry.config("fake") == after
    assert pool.budget.limit == after.max_size
    assert lease.connection in server.open, "its holder may go on"
    lease.release()
    await quiet(pool)  # type: ignore[arg-type]
    # A shared client is sized when it is made, so another size is another client.
    assert (pool.stats().closed == {"drained": 1}) is (shared if drains is None else drains)
    await registry.close_all()


@virtual
async def test_what_failed_is_tried_at_once_under_the_new_configuration() -> None:
    registry, server = Registry(), FakeServer()
    config = config_of(server=server, locations=(location("typo"),), acquire_timeout=60)
    registry.configure({"fake": config})
    pool = registry["fake"]
    server.create.fail(ConnectionRefusedError("no such host"))
    with pytest.raises(CircuitOpen):
        await pool.acquire()
    server.create.ok()
    before = asyncio.get_running_loop().time()
    registry.configure({"fake": config.replace(locations=(location("spring"),))})
    await hold_all(pool, 1)
    assert asyncio.get_running_loop().time() == before, "not after the rest of the delay"
    await registry.close_all()


@virtual
async def test_a_configuration_that_is_faulty_replaces_the_pool_and_its_look_up_tells() -> None:
    registry, server = Registry(), FakeServer()
    faults = {"fine": "", "faulty": "LOCATION is wrong"}

    def verify(config: PoolConfig) -> str:
        return faults[config.where()[0].address]

    config = config_of(server=server, locations=(Location.parse("fake://fine"),))
    registry.configure({"fake": config}, verify=verify)
    pool = registry["fake"]
    await hold_all(pool, 1)
    registry.configure({"fake": config.replace(locations=(Location.parse("fake://faulty"),))})
    with pytest.raises(ConfigurationError, match="LOCATION is wrong"):
        registry["fake"]
    await quiet(pool)  # type: ignore[arg-type]
    assert pool.state == "closed"
    with pytest.raises(PoolError):
        await pool.acquire()
    await registry.close_all()
