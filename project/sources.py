"""The library's source files: put into S3 by the import, read back by URL through the HTTP pool."""

from __future__ import annotations

import asyncio
import inspect
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError
from django.core.cache import caches

from poolapp import PoolError, pools
from project.stdlib import ROOT
from project.stores import StoreUnavailable, unavailable

BUCKET: Final = "stdlib"  # as the pool's LOCATION names it
LONGEST_EXCERPT: Final = 40
KEPT_FOR: Final = 3600  # seconds that an excerpt stays in the cache
URL_LIVES_FOR: Final = 900
AT_ONCE: Final = 8

_PREFIX: Final = f"lib/{platform.python_version()}/"
_COMPLETE: Final = f"{_PREFIX}.complete"


@dataclass(frozen=True)
class Excerpt:
    """The lines of a definition, with their numbers; `more` tells that it goes on."""

    lines: tuple[tuple[int, str], ...]
    more: bool
    url: str = ""
    """Of the whole file, for as long as `URL_LIVES_FOR`."""


async def are_stored() -> bool:
    """Whether a whole set of this interpreter's files is there."""
    try:
        return await pools["media"].exists(_COMPLETE)
    except PoolError as error:
        raise unavailable("S3", error) from error


async def store_sources(files: Iterable[str], done: Callable[[int], None]) -> None:
    """Store each file of the library, a few at once; `done` is told how many are."""
    queue = iter(files)
    stored = 0

    async def work() -> None:
        nonlocal stored
        for file in queue:
            body = await asyncio.to_thread((ROOT / file).read_bytes)
            await pools["media"].put(_PREFIX + file, body, content_type="text/plain; charset=utf-8")
            stored += 1
            done(stored)

    try:
        await _make_bucket()
        async with asyncio.TaskGroup() as workers:
            for _ in range(AT_ONCE):
                workers.create_task(work())
        await pools["media"].put(_COMPLETE, b"")
    except* PoolError as errors:
        raise unavailable("S3", errors.exceptions[0]) from errors


async def _make_bucket() -> None:
    pool = pools["media"]
    async with pool.acquire() as s3:
        try:
            await s3.create_bucket(Bucket=BUCKET)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {
                "BucketAlreadyExists",
                "BucketAlreadyOwnedByYou",
            }:
                raise


async def excerpt(file: str, line: int | None) -> Excerpt | None:
    """The definition that begins at a line, or a file's beginning; None when nobody stored it.

    Raises StoreUnavailable.
    """
    key = _PREFIX + file
    try:
        found = await _cached_excerpt(key, line)
        if found is None:
            return None
        url = await pools["media"].presign("GET", key, expires=URL_LIVES_FOR)
    except PoolError as error:
        raise unavailable("The store of source files", error) from error
    return Excerpt(found.lines, found.more, url)


async def _cached_excerpt(key: str, line: int | None) -> Excerpt | None:
    cache, name = caches["default"], f"excerpt:{key}:{line}"
    try:
        if (found := await cache.aget(name)) is not None:
            return found
    except PoolError:
        return await _read_excerpt(key, line)  # slower, but there
    found = await _read_excerpt(key, line)
    if found is not None:
        await cache.aset(name, found, KEPT_FOR)
    return found


async def _read_excerpt(key: str, line: int | None) -> Excerpt | None:
    url = await pools["media"].presign("GET", key, expires=60)
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
