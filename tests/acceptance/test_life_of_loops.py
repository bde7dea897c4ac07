"""Pools go with their loops, however those end, and whatever step that falls into."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from poolapp.core.exceptions import PoolClosed
from poolapp.core.registry import Registry
from tests.fake import (
    KINDS,
    FakePool,
    FakeServer,
    all_can_be_held,
    config_of,
)
from tests.virtual import VirtualLoop, forget, turns


def registry_of(**settings: Any) -> tuple[Registry, FakeServer]:
    registry = Registry()
    server = FakeServer()
    registry.register("fake", config_of(server=server, **settings))
    return registry, server


async def hold(pool: FakePool, seconds: float = 0.0) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


def run_virtual_with_leftovers(main: Any) -> None:
    """Run on a loop that ends like any other, with tasks still running."""
    complaints: list[Any] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        runner.run(main)
    gc.collect(1)
    assert not complaints


@KINDS
def test_close_that_the_loops_end_cancels_is_taken_up_again(shared: bool) -> None:
    """Scenario 25: the end of a loop cancels all tasks, the pool's own too; its generator closes
    what they left."""
    registry, server = registry_of(shared=shared)
    for turn in range(12):

        async def main(turn: int = turn) -> None:
            pool = registry["fake"]
            asyncio.create_task(hold(pool, 1000))  # type: ignore[arg-type]  # noqa: RUF006
            await turns(turn)
            pool.close_soon()
            await turns(turn // 2)

        with contextlib.suppress(asyncio.CancelledError):
            run_virtual_with_leftovers(main())
        assert registry.count() == 0
        assert server.open == []
        assert registry._plans["fake"].budget.used == 0


@KINDS
@pytest.mark.parametrize("step", ["create", "check", "reset", "close"])
def test_loop_that_ends_within_a_step(shared: bool, step: str) -> None:
    """Scenario 31: whatever step the end of the loop falls into, no permit is lost."""
    registry, server = registry_of(shared=shared, resets=not shared, max_lifetime=20)
    gate = getattr(server, step)
    for turn in range(30):

        async def main(turn: int = turn) -> None:
            pool = registry["fake"]
            await hold(pool)  # type: ignore[arg-type]
            await asyncio.sleep(10 if step != "close" else 30)
            gate.slow(turns=8)
            if step == "create":
                pool.drain()
            asyncio.create_task(hold(pool, 1))  # type: ignore[arg-type]  # noqa: RUF006
            await turns(turn)

        run_virtual_with_leftovers(main())
        gate.ok()
        assert registry._plans["fake"].budget.used == 0, turn
        assert registry._plans["fake"].budget.connecting == 0, turn
        assert registry.count() == 0
        assert server.open == []
    assert server.broken_rules == []


@KINDS
def test_loop_that_ends_without_a_close_closes_its_pools(shared: bool) -> None:
    """Scenario 31: 100 times asyncio.run: the connections are closed, the registry is empty."""
    registry, server = registry_of(shared=shared)

    async def main() -> None:
        await asyncio.gather(*(hold(registry["fake"]) for _ in range(20)))  # type: ignore[arg-type]
        assert registry.count() == 1

    for _ in range(100):
        asyncio.run(main())
        assert registry.count() == 0
        assert server.open == []
    assert registry._plans["fake"].budget.used == 0
    assert registry._loops == {}
    assert registry._guards == {}
    assert server.count("abandon") == 0, "they were closed while their loop ran"


@KINDS
def test_loop_closed_by_hand_is_noticed_at_the_next_look_up(shared: bool) -> None:
    """Scenario 31: a loop that was closed without finalising its generators."""
    registry, server = registry_of(shared=shared, max_size=2)

    async def main() -> None:
        pool = registry["fake"]
        await all_can_be_held(pool)  # type: ignore[arg-type]
        await pool.acquire()

    async def other() -> None:
        await all_can_be_held(registry["fake"])  # type: ignore[arg-type]

    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
    assert len(server.open) == (1 if shared else 2)
    asyncio.run(other())
    assert server.open == []
    assert server.broken_rules == []
    assert registry.count() == 0
    assert registry._plans["fake"].budget.used == 0


@KINDS
@pytest.mark.parametrize("step", ["create", "check", "reset", "close"])
@pytest.mark.parametrize("collected", ["before", "after"])
def test_loop_closed_by_hand_within_a_step(shared: bool, step: str, collected: str) -> None:
    """Scenario 31: and whatever step that fell into, whether its task is collected before or
    after the look-up, the permits come back once."""
    registry, server = registry_of(shared=shared, resets=not shared, max_size=2)

    async def main() -> asyncio.Task[None]:
        pool = registry["fake"]
        if step != "create":
            await hold(pool)  # type: ignore[arg-type]
            await asyncio.sleep(10)
        getattr(server, step).never()
        if step == "close":
            pool.drain()
        task = asyncio.create_task(hold(pool))  # type: ignore[arg-type]
        await turns(6)
        forget(task)
        return task

    async def other() -> None:
        getattr(server, step).ok()
        await all_can_be_held(registry["fake"])  # type: ignore[arg-type]

    loop = VirtualLoop()
    loop.set_exception_handler(lambda loop, context: None)  # "destroyed but it is pending"
    loop.run_until_complete(main())
    loop.close()
    budget = registry._plans["fake"].budget
    assert budget.used > 0
    if collected == "before":
        for pool in registry.all(initialized_only=True):
            pool._supply._tasks.clear()
        del pool, loop
        gc.collect()
        asyncio.run(other())
    else:
        asyncio.run(other())
        del loop
        gc.collect()
    assert (budget.used, budget.connecting, budget.closing) == (0, 0, 0)
    assert registry.count() == 0
    assert server.open == []


@KINDS
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_loop_closed_by_hand_as_a_close_begins_leaves_no_noise(shared: bool, taken: int) -> None:
    """Scenario 31: a goodbye that had no turn, or no time, is told to nobody."""
    registry, server = registry_of(shared=shared, max_size=2)
    told: list[str] = []

    async def main() -> None:
        pool = registry["fake"]
        await hold(pool)  # type: ignore[arg-type]
        server.close.never()
        pool.drain()
        await turns(taken)

    async def look_up() -> None:
        registry["fake"]

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    loop.run_until_complete(main())
    loop.close()
    asyncio.run(look_up())
    assert registry.count() == 0
    assert server.open == []
    del loop
    gc.collect()
    assert told == []


@KINDS
def test_each_loop_has_a_pool_of_its_own_and_is_freed(shared: bool) -> None:
    """Scenario 32: a second loop gets its own pool; loops, pools and connections are freed; a new
    loop at a reused address never gets the old pool."""
    registry, _ = registry_of(shared=shared)
    loops: list[weakref.ref[Any]] = []
    addresses: set[int] = set()
    reused = 0

    async def main() -> None:
        nonlocal reused
        loop = asyncio.get_running_loop()
        reused += id(loop) in addresses
        addresses.add(id(loop))
        pool = registry["fake"]
        assert pool.loop is loop
        assert pool is registry["fake"]
        assert pool.counters.acquired == 0, "a new loop got an old pool"
        await hold(pool)  # type: ignore[arg-type]
        loops.append(weakref.ref(loop))
        loops.append(weakref.ref(pool))

    for _ in range(300):
        asyncio.run(main())
        gc.collect()
        if reused > 2:
            break
    assert [each for each in loops if each() is not None] == []
    assert reused > 0, "no address was reused, so nothing was tried"


def test_eight_loops_in_eight_threads_open_and_close_at_once() -> None:
    """Scenario 34: 8 loops in 8 threads opening and closing at once."""
    registry, server = registry_of(max_size=4, max_connecting=4)
    for alias in ("a", "b", "c"):
        registry.register(alias, config_of(alias, server=server, max_size=4))
    failures: list[BaseException] = []
    ready = threading.Barrier(9)

    async def main(number: int) -> None:
        for alias in list(registry):
            await hold(registry[alias])  # type: ignore[arg-type]
        registry.info()
        if number % 2:
            await registry["a"].close()

    def thread(number: int) -> None:
        ready.wait()
        try:
            for _ in range(25):
                asyncio.run(main(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread, args=[number]) for number in range(8)]
    for each in threads:
        each.start()
    ready.wait()
    while any(each.is_alive() for each in threads):
        registry.info()
        registry.all(initialized_only=True)
        registry.drain("a")
        time.sleep(0.001)  # drained without a pause, no connection would live to be lent
    for each in threads:
        each.join()
    assert failures == []
    assert registry.count() == 0
    assert server.open == []
    assert [plan.budget.used for plan in registry._plans.values()] == [0, 0, 0, 0]


def test_close_all_while_other_loops_come_and_go() -> None:
    """Scenario 34: close_all from one loop, while the loops of other threads end and begin."""
    registry, server = registry_of(max_size=16, max_connecting=16)
    failures: list[BaseException] = []
    over = threading.Event()

    async def visit() -> None:
        with contextlib.suppress(PoolClosed):
            await hold(registry["fake"])  # type: ignore[arg-type]

    def thread() -> None:
        try:
            for _ in range(40):
                asyncio.run(visit())
        except BaseException as error:
            failures.append(error)

    async def close() -> None:
        while not over.is_set():
            await asyncio.wait_for(registry.close_all(), 20)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    closer = threading.Thread(target=lambda: _note(failures, close()))
    for each in [*threads, closer]:
        each.start()
    for each in threads:
        each.join()
    over.set()
    closer.join()
    assert failures == []
    assert registry.count() == 0
    assert server.open == []


def _note(failures: list[BaseException], main: Any) -> None:
    try:
        asyncio.run(main)
    except BaseException as error:
        failures.append(error)
