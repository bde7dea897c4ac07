"""Work of the driver's that may have to be ended in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN = 0.05
"""Seconds from one cancel to the next."""


def begin(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that nobody has to ask how it ended."""
    task = asyncio.create_task(work)
    task.add_done_callback(_retrieve)
    return task


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


async def end(task: asyncio.Task[Any], patience: float) -> None:
    """Cancel a task until it has ended, for ``patience`` seconds at most.

    One cancel is not enough. Before Python 3.12 it gets lost when it comes in the very turn in
    which what the driver waits for happens; and once cancelled the driver says goodbye to a cursor,
    which takes for ever where the server has fallen silent.
    """
    deadline = asyncio.get_running_loop().time() + patience
    while not task.done() and asyncio.get_running_loop().time() < deadline:
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN)
