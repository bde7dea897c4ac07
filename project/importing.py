"""Bring the standard library into the stores: entries and documents all together or not at all."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
from elasticsearch import ApiError, AsyncElasticsearch, TransportError
from elasticsearch.helpers import async_streaming_bulk

from project.pagecache import forget
from project.readers import prepare_notes
from project.search import MAPPINGS, SETTINGS, document
from project.sources import are_stored, store_sources
from project.stdlib import Entry
from project.stores import INDEX, postgres, search_engine

type_of_progress = Callable[[str, int, int | None], None]

WALKER: Final = Path(__file__).with_name("stdlib.py")
# One module's record is a line; the longest (tkinter's) is about half a megabyte.
LONGEST_LINE: Final = 16 * 1024 * 1024
BULK_SIZE: Final = 1_000
# Any number that nothing else of this database locks.
IMPORT_LOCK: Final = 7_095_110_001

CACHED_PAGES: Final = ("/",)

COLUMNS: Final = (
    "qualified_name", "name", "module", "kind", "parent", "signature", "summary", "docstring",
    "source_file", "source_line", "aliases",
)  # fmt: skip


class ImportFailed(Exception):
    """The import stopped; both stores hold what they held before."""


async def is_done() -> bool:
    """Tell whether the stores hold this interpreter's library."""
    async with postgres() as connection:
        done = await connection.fetchrow(
            "SELECT interpreter, index_name, entries FROM project_import"
            " ORDER BY finished DESC LIMIT 1"
        )
    if done is None or done["interpreter"] != sys.version:
        return False
    async with search_engine() as client:
        if not await client.indices.exists_alias(name=INDEX, index=done["index_name"]):
            return False
        if (await client.count(index=INDEX))["count"] != done["entries"]:
            return False
    return await are_stored()


async def collect(progress: type_of_progress) -> list[Entry]:
    """Walk the library in an interpreter of its own; reports modules done, of how many."""
    # -I -S: neither this project nor site-packages can stand in for a library module.
    walker = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(WALKER),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )  # fmt: skip
    assert walker.stdout is not None
    assert walker.stderr is not None
    complaints = asyncio.create_task(walker.stderr.read())
    entries: list[Entry] = []
    total = None
    try:
        done = 0
        async for line in walker.stdout:
            record = json.loads(line)
            if "modules" in record:
                total = record["modules"]
                continue
            entries.extend(Entry(**fields) for fields in record["entries"])
            done += 1
            progress("Collecting", done, total)
        if await walker.wait() != 0:
            last = (await complaints).decode(errors="replace").strip().splitlines()[-1:]
            raise ImportFailed(f"Walking the library failed: {''.join(last) or 'no message'}")
        progress("Collecting", total or done, total)
    finally:
        if walker.returncode is None:
            walker.kill()
            await walker.wait()
        await complaints
    return entries


async def store(entries: list[Entry], progress: type_of_progress) -> None:
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
    async with postgres() as connection, search_engine() as client, connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", IMPORT_LOCK):
            raise ImportFailed("Another import is running.")
        try:
            await _store_rows(connection, entries)
            progress("Storing", len(entries), total)
            async with aclosing(_index(client, index, entries)) as steps:
                async for done in steps:
                    progress("Storing", len(entries) + done, total)
            await connection.execute(
                "INSERT INTO project_import (interpreter, index_name, entries, finished)"
                " VALUES ($1, $2, $3, now())",
                sys.version, index, len(entries),
            )  # fmt: skip
            await _switch(client, index)
        except BaseException:
            # The next import deletes what can't be deleted now.
            with suppress(ApiError, TransportError):
                await client.options(ignore_status=404).indices.delete(index=index)
            raise
    await _delete_old_indexes(index)
    await forget(*CACHED_PAGES)


async def _store_rows(connection: asyncpg.Connection, entries: list[Entry]) -> None:
    names = ", ".join(COLUMNS)
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS[1:])
    await connection.execute(
        f"CREATE TEMP TABLE incoming ON COMMIT DROP AS"  # noqa: S608  our own column names
        f" SELECT {names} FROM project_entry WITH NO DATA"
    )
    await connection.copy_records_to_table("incoming", records=_rows(entries), columns=COLUMNS)
    await connection.execute(
        "DELETE FROM project_entry WHERE qualified_name NOT IN"
        " (SELECT qualified_name FROM incoming)"
    )
    await connection.execute(
        f"INSERT INTO project_entry ({names}) SELECT {names} FROM incoming"  # noqa: S608
        f" ON CONFLICT (qualified_name) DO UPDATE SET {changes}"
    )


def _rows(entries: list[Entry]) -> Iterator[tuple[Any, ...]]:
    for entry in entries:
        yield tuple(getattr(entry, name) for name in COLUMNS)


async def _index(
    client: AsyncElasticsearch, index: str, entries: list[Entry]
) -> AsyncGenerator[int, None]:
    """Yield how many documents are stored, now and then."""
    await client.indices.create(index=index, settings=SETTINGS, mappings=MAPPINGS)
    actions = (
        {"_index": index, "_id": entry.qualified_name, **document(entry)} for entry in entries
    )
    done = 0
    # It raises BulkIndexError at the first chunk with a document that is refused.
    async for _ in async_streaming_bulk(client, actions, chunk_size=BULK_SIZE):
        done += 1
        if done % BULK_SIZE == 0:
            yield done
    await client.indices.refresh(index=index)
    yield done


async def _switch(client: AsyncElasticsearch, index: str) -> None:
    # One request, so that no search falls between the old index and the new.
    await client.indices.update_aliases(
        actions=[
            {"remove": {"index": f"{INDEX}-*", "alias": INDEX, "must_exist": False}},
            {"add": {"index": index, "alias": INDEX}},
        ]
    )


async def _delete_old_indexes(current: str) -> None:
    async with search_engine() as client:
        names = (await client.indices.get(index=f"{INDEX}-*")).keys()
        for name in names:
            if name != current:
                await client.options(ignore_status=404).indices.delete(index=name)
