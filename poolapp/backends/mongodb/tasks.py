"""Ending what the driver is in the middle of."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN = 0.05
"""Seconds from one cancel to the next."""


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
