"""Event loops come and go: noticing their ends, and those that nobody announced."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncGenerator, Awaitable, Callable


def at_loop_end(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Have ``close`` awaited when the running loop ends; keep what this returns.

    An async generator that has been started is finalised by ``loop.shutdown_asyncgens()``, which
    ``asyncio.run``, ``asyncio.Runner``, ``async_to_sync``, uvloop and the test runners all call,
    while the loop still runs.
    """
    guard = _until_the_end(close)
    try:
        # The first step runs up to the yield without awaiting, so it can be made from plain code.
        guard.asend(None).send(None)
    except StopIteration:
        pass
    return guard


async def _until_the_end(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()


def end_of_process(loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]) -> None:
    """Run ``close`` on a loop that the interpreter's exit found open.

    A stopped loop of this thread runs once more; one that still runs in another thread is asked to
    and waited for; what can't run any more is left to the caller.
    """
    if loop.is_running():
        try:
            asyncio.run_coroutine_threadsafe(_awaited(close), loop).result(timeout=EXIT_PATIENCE)
        except (TimeoutError, RuntimeError, concurrent.futures.CancelledError):
            pass  # the last: that loop is ending by itself, and closes them then
    elif not loop.is_closed():
        try:
            loop.run_until_complete(asyncio.wait_for(_awaited(close), EXIT_PATIENCE))
        except (TimeoutError, RuntimeError):
            pass


async def _awaited(close: Callable[[], Awaitable[None]]) -> None:
    await close()


EXIT_PATIENCE = 5.0
"""Seconds that the interpreter's exit waits for each loop."""
