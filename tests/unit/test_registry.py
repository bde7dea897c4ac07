"""Finding pools, declaring them anew, and closing them all."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from poolapp.core.config import PoolConfig
from poolapp.core.events import Observer
from poolapp.core.exceptions import ConfigurationError, PoolClosed, PoolError, PoolPaused
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry
from tests.fake import KINDS, FakePool, FakeServer, Witness, config_of, quiet
from tests.virtual import VirtualLoop, turns, virtual


async def visit(pool: Pool[Any], seconds: float = 0.0) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


def closing_of(registry: Registry) -> asyncio.Event:
    """Set when a pool of this loop is closed."""
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    class Listener(Observer):
        def pool_closed(self, pool: Pool[Any]) -> None:
            if pool.loop is loop:
                closed.set()

    registry.observe(Listener())
    return closed


def registry_of(*aliases: str, **settings: Any) -> Registry:
    registry = Registry()
    for alias in aliases:
        registry.register(alias, config_of(alias, **settings))
    return registry


# -- look-up ---------------------------------------------------------------------------------------


@virtual
async def test_look_up_makes_one_pool_and_connects_nothing() -> None:
    server = FakeServer()
    registry = registry_of("a", server=server, min_size=3)
    pool = registry["a"]
    assert isinstance(pool, FakePool), "the adapter's own class"
    assert registry["a"] is pool
    await turns(5)
    assert server.calls == []
    await registry.close_all()


@virtual
async def test_unknown_alias_names_those_there_are() -> None:
    registry = registry_of("b", "a")
    with pytest.raises(ConfigurationError, match="there is no pool 'c'; POOLS has 'a', 'b'"):
        registry["c"]
    with pytest.raises(ConfigurationError, match="POOLS has none"):
        Registry()["c"]


def test_look_up_without_a_loop_is_a_clear_error() -> None:
    registry = registry_of("a")
    with pytest.raises(PoolError, match=r"pools\['a'\] was asked for where no event loop runs"):
        registry["a"]
    with pytest.raises(ConfigurationError, match="there is no pool 'b'"):
        registry["b"]


@virtual
async def test_mapping_of_aliases() -> None:
    registry = registry_of("a", "b")
    assert list(registry) == ["a", "b"]
    assert "a" in registry
    assert "c" not in registry
    assert len(registry) == 2
    assert registry.all(initialized_only=True) == []
    pool = registry["b"]
    assert registry.all(initialized_only=True) == [pool]
    assert registry.count() == 1
    assert [each.alias for each in registry.all()] == ["a", "b"]
    assert registry.count() == 2
    assert [stats.alias for stats in registry.info()] == ["b", "a"]
    assert registry.config("a").max_size == 10
    async with registry:
        pass
    assert registry.count() == 0


# -- configuration ---------------------------------------------------------------------------------


@virtual
async def test_configure_closes_what_is_gone_or_can_not_go_on_and_leaves_the_rest() -> None:
    registry = Registry()
    same, other, gone = (config_of(alias) for alias in ("same", "other", "gone"))
    registry.configure({"same": same, "other": other, "gone": gone})
    pools = {alias: registry[alias] for alias in registry}
    for pool in pools.values():
        await visit(pool)
    other = other.replace(max_connecting=3)
    registry.configure({"same": same, "other": other, "new": config_of("new")})
    assert list(registry) == ["same", "other", "new"]
    assert registry["same"] is pools["same"]
    assert registry["other"].config.max_connecting == 3
    with pytest.raises(ConfigurationError):
        registry["gone"]
    await asyncio.sleep(1)
    assert {alias: pool.state for alias, pool in pools.items()} == {
        "same": "open",
        "other": "closed",
        "gone": "closed",
    }
    await registry.close_all()


@virtual
async def test_replaced_pool_lets_its_borrowers_finish() -> None:
    registry = Registry()
    config = config_of("a")
    registry.configure({"a": config})
    old = registry["a"]
    borrower = asyncio.create_task(visit(old, 3))
    await turns(5)
    registry.configure({"a": config.replace(breaker=None)})
    await visit(registry["a"])
    assert old.state == "closing"
    assert old.in_use == 1
    await borrower
    await quiet(old)  # type: ignore[arg-type]
    assert old.state == "closed"
    assert registry.count() == 1
    await registry.close_all()


@virtual
async def test_close_all_waits_for_replaced_pools_too() -> None:
    registry = Registry()
    config = config_of("a")
    registry.configure({"a": config})
    old = registry["a"]
    borrower = asyncio.create_task(visit(old, 3))
    await turns(5)
    registry.configure({})
    await registry.close_all()
    assert old.state == "closed"
    assert registry.count() == 0
    await borrower


def test_configured_anew_from_a_thread_without_a_loop() -> None:
    registry = Registry()
    server = FakeServer()
    registry.configure({"a": config_of("a", server=server)})

    async def main() -> None:
        closed = closing_of(registry)
        await visit(registry["a"])
        await asyncio.to_thread(registry.configure, {})
        await closed.wait()

    asyncio.run(main())
    assert server.open == []


@virtual
async def test_fault_of_an_alias_is_told_at_its_look_up() -> None:
    class Invalid(ConfigurationError):
        pass

    registry = Registry()
    registry.configure(
        {"good": config_of("good")},
        faults={"bad": "POOLS['bad']['MAX_SIZE'] must be at least 1"},
        invalid=Invalid,
    )
    with pytest.raises(Invalid, match="MAX_SIZE"):
        registry["bad"]
    with pytest.raises(Invalid, match="POOLS has 'bad', 'good'"):
        registry["ugly"]
    registry.configure({}, faults={})
    with pytest.raises(Invalid, match="there is no pool 'bad'"):
        registry["bad"]


@virtual
async def test_verify_is_asked_once_before_the_first_pool() -> None:
    asked: list[str] = []
    answers = ["the driver is missing", ""]

    def verify(config: PoolConfig) -> str:
        asked.append(config.alias)
        return answers.pop(0)

    registry = Registry()
    registry.configure({"a": config_of("a")}, verify=verify)
    assert asked == []
    with pytest.raises(ConfigurationError, match="the driver is missing"):
        registry["a"]
    assert registry.count() == 0
    await visit(registry["a"])
    await registry.close_all()
    await visit(registry["a"])
    assert asked == ["a", "a"]
    await registry.close_all()


@virtual
async def test_remove_closes_and_forgets() -> None:
    registry = registry_of("a", "b")
    pool = registry["a"]
    await visit(pool)
    await registry.remove("a")
    assert pool.state == "closed"
    assert list(registry) == ["b"]
    await registry.remove("unknown")
    registry.register("a", config_of("a"))
    await visit(registry["a"])
    await registry.close_all()


# -- verbs -----------------------------------------------------------------------------------------


@KINDS
def test_verbs_reach_the_pools_of_all_loops(shared: bool) -> None:
    registry = registry_of("a", "b", shared=shared)
    witness = Witness()
    registry.observe(witness)
    ready = threading.Barrier(3)
    over = threading.Event()

    async def main() -> None:
        await visit(registry["a"])
        await visit(registry["b"])
        ready.wait()
        await asyncio.to_thread(over.wait)

    threads = [threading.Thread(target=asyncio.run, args=[main()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    told = threading.Event()
    # A shared client is sized when it is made, so resizing replaces it.
    drained = 4 if shared else 2
    expected = {"drained": drained, "was_reset": 2, "paused": 2, "resumed": 2, "resized": 2}

    class Counts(Observer):
        def resumed(self, pool: Pool[Any]) -> None:
            if witness.count("resumed") == 2:
                told.set()

    registry.observe(Counts())
    registry.drain("a")
    registry.reset("a")
    registry.resize("a", max_size=4)
    registry.pause("a")
    registry.resume("a")
    assert told.wait(20)
    over.set()
    for thread in threads:
        thread.join()
    assert {event: witness.count(event) for event in expected} == expected
    assert {pool.alias for event, pool, *_ in witness.log if event in expected} == {"a"}


@pytest.mark.parametrize("verb", ["drain", "reset", "pause", "resume", "resize"])
def test_verb_for_an_unknown_alias_is_an_error(verb: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no pool 'x'"):
        getattr(registry_of("a"), verb)("x")


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"max_size": 0}, "0 and 0"),
        ({"min_size": 11}, "11 and 10"),
        ({"min_size": -1}, "-1 and 10"),
        ({"min_size": 3, "max_size": 2}, "3 and 2"),
    ],
    ids=str,
)
def test_sizes_that_can_not_be(sizes: dict[str, int], told: str) -> None:
    registry = registry_of("a")
    if sizes == {"max_size": 0}:
        sizes = {"min_size": 0, "max_size": 0}
    with pytest.raises(ValueError, match=f"0 <= min_size <= max_size and .*, not {told}"):
        registry.resize("a", **sizes)
    assert registry.config("a").max_size == 10


@virtual
async def test_resize_holds_for_loops_that_come_later() -> None:
    registry = registry_of("a")
    registry.resize("a", min_size=1, max_size=3)
    pool = registry["a"]
    assert (pool.config.min_size, pool.config.max_size, pool.budget.limit) == (1, 3, 3)
    await registry.close_all()


def test_pause_holds_for_loops_that_come_later() -> None:
    """Where each call makes a loop, pausing the pools there are would pause nothing."""
    registry = registry_of("a", acquire_timeout=1)

    async def main(paused: bool) -> None:
        if paused:
            with pytest.raises(PoolPaused):
                await registry["a"].acquire()
        else:
            await visit(registry["a"])
        await registry.close_all()

    def run(*, paused: bool) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main(paused))

    run(paused=False)
    registry.pause("a")
    run(paused=True)
    registry.resume("a")
    run(paused=False)


@virtual
async def test_observers_hear_of_pools_that_come_later_until_they_go() -> None:
    registry = registry_of("a")
    witness = Witness()
    registry.observe(witness)
    registry.observe(witness)
    await visit(registry["a"])
    await registry.close_all()
    registry.unobserve(witness)
    await visit(registry["a"])
    await registry.close_all()
    assert witness.names() == [
        "pool_opened", "connected", "acquired", "released", "closed", "pool_closed",
    ]  # fmt: skip


# -- the end ---------------------------------------------------------------------------------------


@virtual
async def test_close_all_keeps_the_aliases() -> None:
    registry = registry_of("a", "b")
    pools = registry.all()
    for pool in pools:
        await visit(pool)
    await asyncio.gather(registry.close_all(), registry.close_all())
    assert [pool.state for pool in pools] == ["closed", "closed"]
    with pytest.raises(PoolClosed):
        await visit(pools[0])
    await visit(registry["a"])
    await registry.close_all(timeout=0)
    await registry.close_all()


def test_close_all_closes_the_pools_of_other_threads_on_their_loops() -> None:
    server = FakeServer()
    registry = registry_of("a", server=server)
    ready = threading.Event()
    pools: list[Pool[Any]] = []

    async def other() -> None:
        pools.append(registry["a"])
        closed = closing_of(registry)
        await visit(pools[0])
        ready.set()
        await closed.wait()

    thread = threading.Thread(target=asyncio.run, args=[other()])
    thread.start()
    ready.wait()

    async def main() -> None:
        await registry.close_all()
        assert pools[0].state == "closed"

    asyncio.run(main())
    thread.join()
    assert server.count("close") == 1
    assert registry.count() == 0


def test_close_all_leaves_a_loop_that_stands_still_alone() -> None:
    server = FakeServer()
    registry = registry_of("a", server=server)
    with asyncio.Runner() as standing:
        standing.run(visit_in(registry))
        asyncio.run(registry.close_all())
        assert len(server.open) == 1
    assert server.open == []


async def visit_in(registry: Registry) -> None:
    await visit(registry["a"])


def test_exit_of_the_process_closes_what_it_finds() -> None:
    server = FakeServer()
    registry = registry_of("a", server=server)
    stopped = asyncio.new_event_loop()
    stopped.run_until_complete(visit_in(registry))
    closed = asyncio.new_event_loop()
    closed.run_until_complete(visit_in(registry))
    closed.close()
    assert len(server.open) == 2
    registry.close_at_exit()
    assert server.open == []
    assert sorted(call.split()[0] for call in server.calls[-2:]) == ["abandon", "close"]
    assert registry.count() == 0
    stopped.close()
    registry.close_at_exit()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_has_no_pools_and_touches_no_socket_of_the_parent() -> None:
    server = FakeServer()
    registry = registry_of("a", server=server, max_size=1)

    async def main() -> None:
        pool = registry["a"]
        lease = await pool.acquire()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # nothing here may reach pytest
            code = 1
            try:
                calls = list(server.calls)
                assert registry.count() == 0
                thread = threading.Thread(target=asyncio.run, args=[visit_in(registry)])
                thread.start()
                thread.join()
                assert server.calls == [*calls, "create", "close 2"]
                assert registry.count() == 0
                code = 0
            finally:
                os._exit(code)
        os.close(write)
        os.close(read)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert registry["a"] is pool
        assert lease.connection.open
        lease.release()
        await visit(pool)

    asyncio.run(main())
    assert server.calls == ["create", "close 1"]
