"""`manage.py import_stdlib` fills both stores, or changes neither."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest
from elasticsearch import AsyncElasticsearch

from project.stores import IMPORT_LOCK, INDEX
from tests.demo_process import PROJECT, devservices, discard, environment

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("import")
    try:
        run(folder, "devservices", "up", "postgres", "elasticsearch", "s3", "mongodb")
        run(folder, "migrate", "--verbosity=0")
        assert "Imported" in run(folder, "import_stdlib").stdout
        yield folder
    finally:
        discard(folder)


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(PROJECT / "manage.py"), *arguments]


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        command(*arguments), env=environment(folder), capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result


@pytest.fixture
async def postgres(folder: Path) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(devservices(folder, "urls")["postgres"])
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def elastic(folder: Path) -> AsyncIterator[AsyncElasticsearch]:
    async with AsyncElasticsearch(devservices(folder, "urls")["elasticsearch"]) as client:
        yield client


async def state(postgres: asyncpg.Connection, elastic: AsyncElasticsearch) -> dict[str, Any]:
    """What both stores hold, in short."""
    return {
        "rows": await postgres.fetchval(
            "SELECT md5(string_agg(id || qualified_name || docstring, '' ORDER BY id))"
            " FROM project_entry"
        ),
        "imports": await postgres.fetchval("SELECT count(*) FROM project_import"),
        "index": list(await elastic.indices.get_alias(name=INDEX)),
        "documents": (await elastic.count(index=INDEX))["count"],
    }


async def test_both_stores_hold_the_same_entries(
    folder: Path, postgres: asyncpg.Connection, elastic: AsyncElasticsearch
) -> None:
    rows = await postgres.fetchval("SELECT count(*) FROM project_entry")

    assert rows > 10_000
    assert (await elastic.count(index=INDEX))["count"] == rows
    assert await postgres.fetchval("SELECT entries FROM project_import") == rows


async def test_a_second_import_has_nothing_to_do(
    folder: Path, postgres: asyncpg.Connection, elastic: AsyncElasticsearch
) -> None:
    before = await state(postgres, elastic)

    output = run(folder, "import_stdlib").stdout

    assert "imported already" in output
    assert await state(postgres, elastic) == before


async def test_a_forced_import_keeps_each_row_but_what_is_no_longer_there_and_one_index(
    folder: Path, postgres: asyncpg.Connection, elastic: AsyncElasticsearch
) -> None:
    before = await state(postgres, elastic)
    await postgres.execute(
        "INSERT INTO project_entry SELECT (jsonb_populate_record(entry, "
        '\'{"id": 0, "qualified_name": "gone.forever"}\')).* '
        "FROM project_entry AS entry WHERE qualified_name = 'json'"
    )
    assert (await state(postgres, elastic))["rows"] != before["rows"]

    run(folder, "import_stdlib", "--force")

    after = await state(postgres, elastic)
    assert after["rows"] == before["rows"]
    assert after["imports"] == before["imports"] + 1
    assert after["index"] != before["index"]
    assert list(await elastic.indices.get(index=f"{INDEX}-*")) == after["index"]


async def test_a_lost_search_index_is_noticed_and_filled_again_with_bars_on_a_terminal(
    folder: Path, elastic: AsyncElasticsearch
) -> None:
    index = next(iter(await elastic.indices.get_alias(name=INDEX)))
    await elastic.indices.delete(index=index)

    text = run_on_a_terminal(folder, "import_stdlib")

    assert (await elastic.count(index=INDEX))["count"] > 10_000
    assert "Collecting" in text
    assert "Storing" in text
    assert "━" in text


def run_on_a_terminal(folder: Path, *arguments: str) -> str:
    """What the command draws there."""
    master, terminal = os.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env={**environment(folder), "TERM": "xterm", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    drawn = b""
    try:
        while piece := os.read(master, 65536):
            drawn += piece
    except OSError:  # Linux says so at the terminal's end
        pass
    finally:
        os.close(master)
    assert process.wait() == 0
    return drawn.decode()


class BlockedImport:
    """A forced import that filled everything and waits at its last statement."""

    def __init__(self, folder: Path, postgres: asyncpg.Connection) -> None:
        self._folder = folder
        self._transaction = postgres.transaction()
        self._postgres = postgres

    async def __aenter__(self) -> Self:
        await self._transaction.start()
        await self._postgres.execute("LOCK TABLE project_import IN ACCESS EXCLUSIVE MODE")
        self._process = await asyncio.create_subprocess_exec(
            *command("import_stdlib", "--force"),
            env=environment(self._folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if b"Storing: done" in line:
                break
        return self

    async def finish(self) -> str:
        """Let it go on; return the rest of what it said."""
        await self._transaction.rollback()
        output, _ = await self._process.communicate()
        assert self._process.returncode == 1, output
        return output.decode()

    async def __aexit__(self, *exception: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


async def test_losing_elasticsearch_at_the_end_leaves_both_stores_as_they_were(
    folder: Path, postgres: asyncpg.Connection, elastic: AsyncElasticsearch
) -> None:
    before = await state(postgres, elastic)
    async with BlockedImport(folder, postgres) as blocked:
        devservices(folder, "down", "elasticsearch")
        try:
            output = await blocked.finish()
        finally:
            devservices(folder, "restart", "elasticsearch")

    assert "Elasticsearch is unavailable" in output
    assert await state(postgres, elastic) == before


async def test_losing_postgresql_at_the_end_leaves_both_stores_as_they_were(
    folder: Path, postgres: asyncpg.Connection, elastic: AsyncElasticsearch
) -> None:
    before = await state(postgres, elastic)
    async with BlockedImport(folder, postgres) as blocked:
        await postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE 'poolapp%'"
        )
        output = await blocked.finish()

    assert "PostgreSQL is unavailable" in output
    assert await state(postgres, elastic) == before


async def test_two_imports_at_once_are_refused(folder: Path, postgres: asyncpg.Connection) -> None:
    async with postgres.transaction():
        await postgres.execute("SELECT pg_advisory_xact_lock($1)", IMPORT_LOCK)
        error = run(folder, "import_stdlib", "--force", code=1).stderr

    assert "Another import is running. Nothing was changed." in error
    assert "Traceback" not in error


def test_without_servers_it_says_how_to_start_them(tmp_path: Path) -> None:
    error = run(tmp_path, "import_stdlib", code=1).stderr

    assert error.splitlines()[-1] == (
        "CommandError: PostgreSQL is unavailable. Start the servers: manage.py devservices up"
    )
    assert "Traceback" not in error


def test_before_migrating_it_says_so(folder: Path) -> None:
    run(folder, "migrate", "project", "zero", "--verbosity=0")
    try:
        error = run(folder, "import_stdlib", code=1).stderr
    finally:
        run(folder, "migrate", "--verbosity=0")

    assert "run `migrate`" in error
