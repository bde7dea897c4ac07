"""Work of the driver's that may have to be ended in the middle."""

from __future__ import annotations

import asyncio
import gc

import pytest

from poolapp.backends.mongodb.tasks import begin, end


async def test_how_it_ended_nobody_has_to_ask(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ConnectionError("lost")

    task = begin(fail())
    await asyncio.wait([task])
    await end(task, 1.0)
    del task
    gc.collect()
    assert caplog.records == []


async def test_who_asks_is_told() -> None:
    async def fail() -> None:
        raise ConnectionError("lost")

    with pytest.raises(ConnectionError, match="lost"):
        await begin(fail())


async def test_it_is_cancelled_as_often_as_it_takes() -> None:
    cancels = 0

    async def work() -> None:
        nonlocal cancels
        while cancels < 3:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancels += 1

    task = begin(work())
    await asyncio.sleep(0)
    await end(task, 30.0)
    assert task.done()
    assert cancels == 3


async def test_patience_ends() -> None:
    allowed = asyncio.Event()

    async def work() -> None:
        while not allowed.is_set():
            try:
                await allowed.wait()
            except asyncio.CancelledError:
                continue

    task = begin(work())
    await asyncio.sleep(0)
    await end(task, 0.01)
    assert not task.done()
    allowed.set()
    await task
