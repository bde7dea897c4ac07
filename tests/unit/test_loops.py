"""Noticing the ends of loops."""

from __future__ import annotations

import asyncio
import threading
import unittest

import pytest

from poolapp.core import loops
from poolapp.core.loops import at_loop_end, end_of_process

ended: list[bool] = []


async def close() -> None:
    await asyncio.sleep(0)
    ended.append(asyncio.get_running_loop().is_running())


@pytest.fixture(autouse=True)
def _nothing_ended() -> None:
    ended.clear()


async def guarded() -> None:
    asyncio.get_running_loop()._guard = at_loop_end(close)  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    assert ended == []


def test_asyncio_run_ends_it() -> None:
    asyncio.run(guarded())
    assert ended == [True]


def test_runner_ends_it_once_at_its_own_end() -> None:
    with asyncio.Runner() as runner:
        runner.run(guarded())
        assert ended == []
        runner.run(asyncio.sleep(0))
        assert ended == []
    assert ended == [True]


def test_failed_main_ends_it_too() -> None:
    async def fail() -> None:
        await guarded()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(fail())
    assert ended == [True]


def test_unittest_ends_it() -> None:
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test(self) -> None:
            await guarded()

    result = unittest.TestResult()
    Case("test").run(result)
    assert result.wasSuccessful(), result.errors
    assert ended == [True]


def test_async_to_sync_ends_it() -> None:
    sync = pytest.importorskip("asgiref.sync")
    sync.async_to_sync(guarded)()
    assert ended == [True]


def test_uvloop_ends_it() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        guard = at_loop_end(close)
        await asyncio.sleep(0)
        main.guard = guard  # type: ignore[attr-defined]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert ended == [True]


def test_stopped_loop_runs_once_more_at_the_end_of_the_process() -> None:
    loop = asyncio.new_event_loop()
    end_of_process(loop, close)
    assert ended == [True]
    loop.close()


def test_loop_that_runs_in_another_thread_is_asked_and_waited_for() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    end_of_process(loop, close)
    assert ended == [True]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_closed_loop_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    end_of_process(loop, close)
    assert ended == []


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_close_that_hangs_or_fails_does_not_keep_the_process(
    running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "EXIT_PATIENCE", 0.01)
    release = asyncio.Event()

    async def hang() -> None:
        await release.wait()

    async def fail() -> None:
        raise RuntimeError("the executor is shut down")

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    if running:
        thread.start()
    end_of_process(loop, hang)
    end_of_process(loop, fail)
    if running:
        loop.call_soon_threadsafe(release.set)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        assert not asyncio.all_tasks(loop)
    loop.close()
