"""Pages read ahead of whoever reads them, in bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def read_ahead(pages: AsyncIterator[T], prefetch: int) -> AsyncGenerator[T, None]:
    """The same pages; up to ``prefetch`` of them wait here while one is being used.

    ``pages`` is an async generator, and is closed in any case, by the task that read it.
    """
    if prefetch <= 0:
        async with aclosing(pages):  # type: ignore[type-var]
            async for page in pages:
                yield page
        return
    read: asyncio.Queue[T | None] = asyncio.Queue(prefetch)

    async def read_all() -> None:
        try:
            async with aclosing(pages):  # type: ignore[type-var]
                async for page in pages:
                    await read.put(page)
        finally:
            # Who waits in get() has to wake up; who does not has room to be told nothing.
            if not read.full():
                read.put_nowait(None)

    reader = asyncio.create_task(read_all())
    try:
        while not (reader.done() and read.empty()):
            ahead = await read.get()
            if ahead is None:
                break
            yield ahead
        await reader
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if not reader.cancelled():
            reader.exception()  # of pages that nobody wanted any more
