"""Which objects there are: names, by listing and by asking for single ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any, TypeVar

from poolapp.managers.s3.keys import Keys
from poolapp.managers.s3.refusals import told
from poolapp.managers.s3.spans import Span, contains, is_point

T = TypeVar("T")
R = TypeVar("R")

LISTED = 1000
"""Keys of one page of a listing: S3's own limit."""


class Finder:
    """Reads names out of a bucket. Only those are told that are a primary key's, directly below
    the prefix: whatever else lies there, or in folders, is somebody else's."""

    def __init__(self, pool: Any, bucket: str | None, keys: Keys) -> None:
        self._pool = pool
        self._bucket = bucket
        self._keys = keys

    async def present(
        self, spans: Sequence[Span], size: int, listed: int | None = None
    ) -> AsyncGenerator[list[str], None]:
        """The names in these spans that there are, in their order, in lists of ``size`` at most;
        ``listed`` are asked for at a time, unless all that a listing can tell."""
        for single, some in groupby(spans, is_point):
            if single:
                names = [low[0] for low, _ in some]
                for start in range(0, len(names), size):
                    chunk = names[start : start + size]
                    there = await gathered(self._exists, chunk, self._pool.config.max_size)
                    yield [name for name, is_there in zip(chunk, there, strict=True) if is_there]
                continue
            for span in some:
                async with aclosing(self._listed(span, size, listed or LISTED)) as pages:
                    async for page in pages:
                        yield page

    async def candidates(
        self, spans: Sequence[Span], size: int, listed: int | None = None
    ) -> AsyncGenerator[list[str], None]:
        """The same, but single names untried: whoever reads the objects will see."""
        for single, some in groupby(spans, is_point):
            if single:
                names = [low[0] for low, _ in some]
                for start in range(0, len(names), size):
                    yield names[start : start + size]
                continue
            async with aclosing(self.present(list(some), size, listed)) as pages:
                async for page in pages:
                    yield page

    async def _exists(self, name: str) -> bool:
        with told(self._pool.alias):
            there: bool = await self._pool.exists(self._keys.prefix + name, bucket=self._bucket)
        return there

    async def _listed(self, span: Span, size: int, listed: int) -> AsyncGenerator[list[str], None]:
        (low, after), (high, _) = span
        shared = _shared(low, high)
        prefix = self._keys.prefix
        where: dict[str, Any] = {"Delimiter": "/"}
        if low > shared:
            # A listing begins behind a key: where that key itself is wanted, behind what could at
            # most be before it.
            start = low if after else low[:-1] + chr(ord(low[-1]) - 1) + "~"
            where["StartAfter"] = prefix + start
        pages = self._pool.pages(
            prefix + shared, bucket=self._bucket, page_size=min(listed, LISTED), **where
        )
        with told(self._pool.alias):
            async with aclosing(pages):
                async for page in pages:
                    names = [each["Key"][len(prefix) :] for each in page.get("Contents", ())]
                    found = [
                        name
                        for name in names
                        if contains(span, name) and self._keys.value(name) is not None
                    ]
                    for start_at in range(0, len(found), size):
                        yield found[start_at : start_at + size]
                    if names and names[-1] > high:
                        return


def _shared(one: str, other: str) -> str:
    """What both begin with."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return one[:length]
    return min(one, other, key=len)


async def gathered(work: Callable[[T], Awaitable[R]], items: Iterable[T], at_once: int) -> list[R]:
    """The results in the order of the items, of which no more than ``at_once`` are worked on at a
    time. The first that raises ends the others."""
    waiting = list(enumerate(items))
    results: dict[int, R] = {}
    waiting.reverse()

    async def one_after_another() -> None:
        while waiting:
            index, item = waiting.pop()
            results[index] = await work(item)

    if len(waiting) == 1:
        await one_after_another()
        return [results[0]]
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(at_once, len(waiting))):
                tasks.create_task(one_after_another())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group.exceptions[0].__cause__
    return [results[index] for index in range(len(results))]
