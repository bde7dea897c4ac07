"""What runs beside the pools, and is told of their end."""

import asyncio
import threading

from poolapp.core.registry import Registry
from poolapp.core.work import WORK, working


async def test_what_is_spawned_runs_on_the_pool_loop_in_a_context_of_its_own() -> None:
    registry = Registry()
    told: asyncio.Future[tuple[str, object]] = asyncio.get_running_loop().create_future()
    here = asyncio.get_running_loop()

    async def tell() -> None:
        found = (threading.current_thread().name, WORK.get())
        here.call_soon_threadsafe(told.set_result, found)

    with working("view", "entry"):
        registry.spawn(tell)
    assert await told == ("poolapp", None)
    await asyncio.to_thread(registry.close_at_exit)


def test_the_end_of_the_process_cancels_it_and_waits_for_its_goodbye() -> None:
    registry = Registry()
    started = threading.Event()
    said: list[str] = []

    async def stay() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("goodbye")

    registry.spawn(stay)
    started.wait()
    registry.close_at_exit()
    assert said == ["goodbye"]


async def test_companions_are_called_whenever_all_pools_are_closed() -> None:
    registry = Registry()
    called: list[object] = []

    async def leave() -> None:
        called.append(asyncio.get_running_loop())

    registry.on_close(leave)
    await registry.close_all()
    async with registry:
        assert called == [asyncio.get_running_loop()]
    assert len(called) == 2
