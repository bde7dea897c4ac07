"""The rows of a QuerySet into a model's documents."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from django.db.models import QuerySet

from poolapp.managers.documents.bulk import BulkError, BulkResult, each_of
from poolapp.managers.documents.manager import DocumentManager
from poolapp.reindexing.progress import Progress

MOST_ERRORS = 20
"""Failures whose words a Progress carries; the BulkResult has all."""

OnProgress = Callable[[Progress], Any]


async def reindex(
    rows: QuerySet[Any],
    into: DocumentManager[Any],
    *,
    batch_size: int | None = None,
    concurrency: int | None = None,
    progress: OnProgress | None = None,
) -> BulkResult:
    """Write the document of each row, replacing one that is there, in bounded memory.

    ``progress``, a function or an async one, is called at the start and after every
    ``batch_size`` times ``concurrency`` rows. A document that is refused is a failure in the
    result, and the rest goes on. Raises BackendUnavailable, with the BulkResult so far as its
    ``result``, when the server is away, and what the database raises.
    """
    started = time.monotonic()
    store = into.store()
    size = (batch_size or store.batch_size) * (concurrency or store.concurrency)
    total = await rows.acount()
    result = BulkResult()
    await _tell(progress, total, result, started)
    read = 0
    async with aclosing(_chunks(rows, size)) as chunks:
        async for chunk in chunks:
            try:
                written = await into.abulk_create(
                    chunk, batch_size, concurrency=concurrency, update_conflicts=True
                )
            except Exception as error:
                _add(result, getattr(error, "result", BulkResult()), read)
                result.duration = time.monotonic() - started
                error.result = result  # type: ignore[attr-defined]
                raise
            _add(result, written, read)
            read += len(chunk)
            await _tell(progress, total, result, started)
    result.duration = time.monotonic() - started
    return result


async def _chunks(rows: QuerySet[Any], size: int) -> AsyncGenerator[list[Any], None]:
    chunk: list[Any] = []
    async for row in each_of(rows, size):
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _add(result: BulkResult, part: BulkResult, read: int) -> None:
    result.succeeded += part.succeeded
    result.failed += [
        BulkError(read + each.index, each.id, each.error, each.status) for each in part.failed
    ]


async def _tell(
    progress: OnProgress | None, total: int, result: BulkResult, started: float
) -> None:
    if progress is not None:
        told = progress(progress_of(result, total, time.monotonic() - started))
        if inspect.isawaitable(told):
            await told


def progress_of(result: BulkResult, total: int, duration: float) -> Progress:
    return Progress(
        total=total,
        succeeded=result.succeeded,
        failed=len(result.failed),
        duration=duration,
        errors=tuple(map(str, result.failed[:MOST_ERRORS])),
    )
