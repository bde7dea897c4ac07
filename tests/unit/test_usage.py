"""What was counted for an alias over the last hour, whatever its pools came to."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextvars import Context, ContextVar
from typing import Any

import pytest

from poolapp.core.registry import Registry
from poolapp.monitoring.history import History
from poolapp.monitoring.rates import ErrorRates
from poolapp.monitoring.usage import STEP, STEPS, Usage, Use
from tests.fake import FakePool, lab
from tests.virtual import Clock, virtual


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def borrow(pool: Any, *, times: int = 1, at_once: int = 1) -> None:
    for _ in range(times):
        leases = [await pool.acquire() for _ in range(at_once)]
        for lease in leases:
            lease.release()


async def use_it(usage: Usage, **settings: Any) -> None:
    async with lab(**settings) as pool:
        usage.pool_opened(pool)
        pool.events.add(usage)
        await borrow(pool, times=3)


@pytest.fixture
async def pool(clock: Clock) -> AsyncIterator[FakePool]:
    async with lab(max_size=5) as pool:
        yield pool


@pytest.fixture
def usage(clock: Clock, pool: FakePool) -> Usage:
    usage = Usage(clock)
    usage.pool_opened(pool)
    pool.events.add(usage)
    return usage


async def test_acquires_connects_and_the_peak_are_seen(
    usage: Usage, pool: FakePool, clock: Clock
) -> None:
    await borrow(pool, times=2, at_once=3)
    clock.advance(60)
    window = usage.window("fake")
    assert window.seconds == 60
    assert (window.use.acquired, window.use.connected, window.peak) == (6, 3, 3)
    assert window.use.released == 6


async def test_what_is_older_than_an_hour_is_forgotten(
    usage: Usage, pool: FakePool, clock: Clock
) -> None:
    await borrow(pool, times=10)
    for _ in range(STEPS):
        clock.advance(STEP)
        usage.window("fake")
    assert usage.window("fake").use.acquired == 10
    clock.advance(STEP)
    await borrow(pool)
    window = usage.window("fake")
    assert window.use.acquired == 1
    assert window.seconds == STEP * STEPS
    assert usage.total("fake").acquired == 11


async def test_a_peak_leaves_the_window_with_its_step(
    usage: Usage, pool: FakePool, clock: Clock
) -> None:
    await borrow(pool, at_once=5)
    clock.advance(STEP)
    usage.window("fake")
    pool.drain()
    await pool.close()  # nothing is open any more
    peaks = []
    for _ in range(STEPS + 2):
        clock.advance(STEP)
        peaks.append(usage.window("fake").peak)
    assert peaks[0] == 5
    assert peaks[-1] == 0


async def test_pools_that_are_closed_go_on_to_count(clock: Clock) -> None:
    usage = Usage(clock)
    for _ in range(4):
        await use_it(usage)
    assert usage.total("fake").acquired == 12
    assert usage.window("fake").use.acquired == 12
    assert usage.aliases() == ["fake"]


async def test_the_sizes_of_several_loops_are_added(clock: Clock) -> None:
    usage = Usage(clock)
    async with lab(max_size=4) as one, lab(max_size=4) as two:
        for pool in (one, two):
            usage.pool_opened(pool)
            pool.events.add(usage)
            await borrow(pool, at_once=2)
        assert usage.window("fake").peak == 4


async def test_of_an_alias_that_nobody_used_nothing_is_known() -> None:
    assert Usage().window("nobody").use == Use()
    assert Usage().total("nobody") == Use()


async def test_a_forked_child_begins_anew(usage: Usage, pool: FakePool) -> None:
    await borrow(pool)
    usage.forget()
    assert usage.total("fake") == Use()
    usage.pool_closed(pool)  # the parent's
    assert usage.total("fake") == Use()


@virtual
async def test_a_pool_is_looked_at_again_and_again_until_it_is_closed() -> None:
    loop = asyncio.get_running_loop()
    usage = Usage(loop.time)
    async with lab(max_size=3) as pool:
        usage.pool_opened(pool)
        pool.events.add(usage)
        await borrow(pool, times=7)
        await asyncio.sleep(STEP * (STEPS + 2))
        assert usage.window("fake").use.acquired == 0
        assert usage.window("fake").seconds > STEP * (STEPS - 1)
    await asyncio.sleep(STEP)  # else the loop would see no end of timers


@pytest.mark.parametrize("kind", [Usage, ErrorRates, History])
@virtual
async def test_looking_again_keeps_nobody_s_context_alive(kind: Any) -> None:
    class Request: ...

    current: ContextVar[Any] = ContextVar("current")

    def open_it() -> weakref.ref[Request]:
        request = Request()
        current.set(request)
        usage.pool_opened(pool)
        return weakref.ref(request)

    usage = kind(asyncio.get_running_loop().time)
    async with lab() as pool:
        gone = Context().run(open_it)
        gc.collect()
        assert gone() is None


def test_waits_are_those_of_all_acquires() -> None:
    waits = [0] * 19
    waits[9] = 10  # of up to 0.1 s
    use = Use(acquired=100, queued=10, waits=tuple(waits))
    assert use.wait(0.5) == 0.0
    assert 0.05 < use.wait(0.95) <= 0.1


def test_uses_are_added_and_subtracted() -> None:
    uses = (*[0] * 9, 3, *[0] * 9)
    a = Use(acquired=3, closed={"idle": 1}, use_seconds=1.5, uses=uses)
    b = Use(acquired=1, closed={"idle": 1, "lost": 2}, use_seconds=0.5, uses=(1, *[0] * 18))
    assert (a + b).closed == {"idle": 2, "lost": 2}
    assert (a + b).released == 4
    assert a + b - b == a
    assert (a + b).mean_use == 0.5
    assert Use().mean_use == Use().mean_connect == 0.0


def test_it_is_told_of_all_pools_of_the_process() -> None:
    from poolapp.monitoring import _LISTENERS
    from poolapp.monitoring.health import monitor

    assert monitor.usage in _LISTENERS
    assert isinstance(monitor.registry, Registry)
