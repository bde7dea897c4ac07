"""The library's source files: put into S3 by the import, read back by URL through the HTTP pool."""

from __future__ import annotations

import asyncio
import inspect
import platform
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Final

from django.core.cache import caches

from poolapp import PoolError, pools
from project.models import Source
from project.stdlib import ROOT
from project.stores import StoreUnavailable, stored_in_s3

LONGEST_EXCERPT: Final = 40
KEPT_FOR: Final = 3600  # seconds that an excerpt stays in the cache
URL_LIVES_FOR: Final = 900

_VERSION: Final = platform.python_version()
_COMPLETE: Final = f"{_VERSION}/.complete"


@dataclass(frozen=True)
class Excerpt:
    """The lines of a definition, with their numbers; `more` tells that it goes on."""

    lines: tuple[tuple[int, str], ...]
    more: bool
    url: str = ""
    """Of the whole file, for as long as `URL_LIVES_FOR`."""


@stored_in_s3
async def are_stored() -> bool:
    """Whether a whole set of this interpreter's files is there."""
    return await Source.files.filter(pk=_COMPLETE).aexists()


@stored_in_s3
async def store_sources(files: Collection[str], done: Callable[[int], None]) -> None:
    """Store each file of the library, a few at once; `done` is told how many are."""

    async def sources() -> AsyncIterator[Source]:
        for number, file in enumerate(files, 1):
            text = await asyncio.to_thread((ROOT / file).read_bytes)
            yield Source(path=f"{_VERSION}/{file}", text=text)
            done(number)

    await Source.files.ensure()
    result = await Source.files.abulk_create(sources(), update_conflicts=True)
    if result.failed:
        raise ImportError(str(result.failed[0]))
    await Source.files.asave(Source(path=_COMPLETE, text=b""))


@stored_in_s3
async def excerpt(file: str, line: int | None) -> Excerpt | None:
    """The definition that begins at a line, or a file's beginning; None when nobody stored it.

    Raises StoreUnavailable.
    """
    path = f"{_VERSION}/{file}"
    found = await _cached_excerpt(path, line)
    if found is None:
        return None
    url = await Source.files.apresign(path, expires=URL_LIVES_FOR)
    return Excerpt(found.lines, found.more, url)


async def _cached_excerpt(path: str, line: int | None) -> Excerpt | None:
    cache, name = caches["default"], f"excerpt:{path}:{line}"
    try:
        if (found := await cache.aget(name)) is not None:
            return found
    except PoolError:
        return await _read_excerpt(path, line)  # slower, but there
    found = await _read_excerpt(path, line)
    if found is not None:
        await cache.aset(name, found, KEPT_FOR)
    return found


async def _read_excerpt(path: str, line: int | None) -> Excerpt | None:
    url = await Source.files.apresign(path, expires=60)
    answer = await pools["web"].get(url)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise StoreUnavailable("The store of source files", f"It answered {answer.status}.")
    return _cut((await answer.text("utf-8")).splitlines(keepends=True), line)


def _cut(lines: list[str], line: int | None) -> Excerpt:
    start = (line or 1) - 1
    block = lines[start:]
    if line:
        block = inspect.getblock(block)
    shown = block[:LONGEST_EXCERPT]
    return Excerpt(
        lines=tuple((start + number, text.rstrip("\n")) for number, text in enumerate(shown, 1)),
        more=len(block) > len(shown),
    )
