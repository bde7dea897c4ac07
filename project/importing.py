"""Bring the standard library into the stores: entries and documents all together or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from elasticsearch import ApiError, TransportError

from poolapp import PoolError, pools
from poolapp.reindexing import Progress, reindex
from project import stdlib
from project.collecting import ImportFailed, type_of_progress
from project.models import Entry, Import, entries_in
from project.pagecache import forget
from project.readers import prepare_notes
from project.sources import are_stored, store_sources
from project.stores import IMPORT_LOCK, INDEX, stored_in_elasticsearch, stored_in_postgres

CACHED_PAGES: Final = ("/",)


async def is_done() -> bool:
    """Tell whether the stores hold this interpreter's library."""
    done = await _last_import()
    return (
        done is not None
        and done.interpreter == sys.version
        and await _is_indexed(done)
        and await are_stored()
    )


@stored_in_postgres
async def _last_import() -> Import | None:
    return await Import.rows.order_by("-finished").afirst()


@stored_in_elasticsearch
async def _is_indexed(done: Import) -> bool:
    async with pools["search"].acquire() as client:
        if not await client.indices.exists_alias(name=INDEX, index=done.index_name):
            return False
    return await Entry.search.acount() == done.entries


async def store(entries: list[stdlib.Entry], progress: type_of_progress) -> None:
    """Put `entries` in place of what the stores hold; on any error they keep what they hold.

    The source files come first: alone they do no harm. The rows change in one transaction and the
    documents go to an index that nobody reads yet. Its name is switched as the last thing before
    the commit.
    """
    files = sorted({entry.source_file for entry in entries if entry.source_file})
    await store_sources(files, lambda done: progress("Sources", done, len(files)))
    await prepare_notes()
    total = 2 * len(entries)
    index = f"{INDEX}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    try:
        await _replace(entries, index, lambda done: progress("Storing", done, total))
    except BaseException:
        # The next import deletes what can't be deleted now.
        with suppress(PoolError, ApiError, TransportError):
            await _delete_indexes(index)
        raise
    await _delete_old_indexes(index)
    await forget(*CACHED_PAGES)


@stored_in_postgres
async def _replace(
    entries: list[stdlib.Entry], index: str, progress: Callable[[int], None]
) -> None:
    async with pools["default"].atomic():
        question = "SELECT pg_try_advisory_xact_lock($1)"
        if not await pools["default"].fetchval(question, IMPORT_LOCK):
            raise ImportFailed("Another import is running.")
        count = await _store_rows(entries)
        progress(count)
        await _index(index, lambda now: progress(count + now.succeeded))
        await Import.rows.acreate(interpreter=sys.version, index_name=index, entries=count)
        await _switch(index)


async def _store_rows(entries: list[stdlib.Entry]) -> int:
    """In place of all that are there; what has the name of one of them keeps its key."""
    keys = {name: pk async for name, pk in Entry.rows.values_list("qualified_name", "pk")}
    # No signals: the documents are all made anew as well.
    await pools["default"].execute("DELETE FROM project_entry")
    rows = [_row(entry, keys.get(entry.qualified_name)) for entry in entries]
    known = await Entry.rows.acopy(row for row in rows if row.pk is not None)
    return known + await Entry.rows.acopy(row for row in rows if row.pk is None)


def _row(entry: stdlib.Entry, pk: int | None) -> Entry:
    row = Entry(pk=pk, **asdict(entry))
    row.prepare()
    return row


@stored_in_elasticsearch
async def _index(index: str, progress: Callable[[Progress], None]) -> None:
    fresh = entries_in(index).__get__(None, Entry)
    await fresh.ensure()
    result = await reindex(Entry.rows.all(), fresh, progress=progress)
    if result.failed:
        raise ImportFailed(f"Elasticsearch refused {len(result.failed)}: {result.failed[0]}.")
    async with pools["search"].acquire() as client:
        await client.indices.refresh(index=index)


@stored_in_elasticsearch
async def _switch(index: str) -> None:
    # One request, so that no search falls between the old index and the new.
    async with pools["search"].acquire() as client:
        await client.indices.update_aliases(
            actions=[
                {"remove": {"index": f"{INDEX}-*", "alias": INDEX, "must_exist": False}},
                {"add": {"index": index, "alias": INDEX}},
            ]
        )


@stored_in_elasticsearch
async def _delete_old_indexes(current: str) -> None:
    async with pools["search"].acquire() as client:
        names = set(await client.indices.get(index=f"{INDEX}-*"))
    await _delete_indexes(*names - {current})


async def _delete_indexes(*names: str) -> None:
    async with pools["search"].acquire() as client:
        for name in names:
            await client.options(ignore_status=404).indices.delete(index=name)
