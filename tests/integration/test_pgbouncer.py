"""PgBouncer, Debian's own, in transaction mode before a real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import asyncpg
import pytest
from django.db import connections, transaction

from poolapp import PoolConfig
from poolapp.devservices import Supervisor
from poolapp.devservices.record import Record
from poolapp.devservices.service import Account, Service
from poolapp.devservices.services import Postgres
from tests.debian import program
from tests.real import Heard, heard, pool_of, postgres_config, postgres_pool
from tests.servers import SESSION

TASKS, STATEMENTS = 60, 100
UNCACHED = {"statement_cache_size": 0}
OF_OTHERS = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


class PgBouncer(Service):
    """Its databases are the one behind it, by way of ``five``, ``two`` or one session."""

    name = "pgbouncer"
    title = "PgBouncer"

    def __init__(self, binary: Path, behind: SplitResult) -> None:
        self._binary = binary
        self._behind = behind

    def account(self, home: Path) -> Account | None:
        return Postgres().account(home)  # it refuses to run as root too

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        super().prepare(home, record, log)
        where = f"host={self._behind.hostname} port={self._behind.port} dbname=postgres"
        files = {
            "users.txt": f'"postgres" "{self._behind.password}"\n',
            "pgbouncer.ini": "\n".join(
                [
                    "[databases]",
                    *(f"{name} = {where} pool_size={size}" for name, size in SESSIONS.items()),
                    "[pgbouncer]",
                    "pool_mode = transaction",
                    "auth_type = scram-sha-256",
                    "auth_file = users.txt",
                    "listen_addr = 127.0.0.1",
                    f"listen_port = {record.port}",
                    "unix_socket_dir =",
                ]
            ),
        }
        for name, text in files.items():
            (home / name).touch(mode=0o600)
            (home / name).write_text(text)
            if account := self.account(home):
                os.chown(home / name, *account)

    def command(self, home: Path, record: Record) -> list[str]:
        return [str(self._binary), "pgbouncer.ini"]

    def recognises(self, executable: str, arguments: list[str]) -> bool:
        return Path(executable).name == "pgbouncer"

    def url(self, record: Record) -> str:
        return f"postgresql://postgres:{self._behind.password}@127.0.0.1:{record.port}"

    def probe(self, record: Record) -> None:
        Postgres().probe(record)


SESSIONS = {"postgres": 5, "five": 5, "two": 2, "one": 1}
"""Database -> how many sessions of the server it has for all of its clients."""


@pytest.fixture(scope="module")
def pgbouncer(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    """Its URL, to which the name of a database belongs."""
    binary = program("pgbouncer", "pgbouncer")
    folder = request.config.stash[SESSION].folder / "pgbouncer"
    folder.mkdir()
    folder.chmod(0o711)
    supervisor = Supervisor(folder, [PgBouncer(binary, urlsplit(postgres_url))], environment={})
    yield supervisor.up()["pgbouncer"]
    supervisor.down(discard=True)


@contextlib.asynccontextmanager
async def watched(config: PoolConfig) -> AsyncIterator[tuple[Any, Heard]]:
    """The pool, and what is heard of it."""
    with heard(config.alias) as events:
        async with pool_of(config) as pool:
            yield pool, events


def tells_what_to_do(error: BaseException, alias: str) -> bool:
    (note,) = error.__notes__
    return f"pool {alias!r}" in note and 'OPTIONS["statement_cache_size"] must be 0' in note


class TestWithoutStatementCache:
    async def test_six_thousand_statements_get_their_own_answers(self, pgbouncer: str) -> None:
        """From twenty connections that share five sessions."""
        config = {"max_size": 20, "max_connecting": 20, "acquire_timeout": 30.0}
        async with postgres_pool(f"{pgbouncer}/five", options=UNCACHED, **config) as pool:

            async def answers(task: int) -> list[tuple[int, str]]:
                return [
                    (
                        await pool.fetchval(f"SELECT $1::int * 1000 + {task}", number),
                        await pool.fetchval("SELECT $1::text", f"{task} of {number}"),
                    )
                    for number in range(STATEMENTS // 2)
                ]

            given = await asyncio.gather(*map(answers, range(TASKS)))
            stats = pool.stats()
        for task, values in enumerate(given):
            assert values == [
                (number * 1000 + task, f"{task} of {number}") for number in range(STATEMENTS // 2)
            ]
        assert (stats.connected, stats.lost) == (20, 0)
        assert stats.acquired == TASKS * STATEMENTS

    async def test_a_raw_lease_is_reset_and_its_connection_lent_again(self, pgbouncer: str) -> None:
        config = postgres_config(f"{pgbouncer}/one", options=UNCACHED, max_size=1)
        async with watched(config) as (pool, events):
            async with pool.acquire() as first:
                await first.execute("SET work_mem = '123kB'")
                await first.execute("CREATE TEMP TABLE left_behind (id int)")
            async with pool.acquire() as second:
                assert second is first
                assert await second.fetchval("SHOW work_mem") == "4MB"
                assert await second.fetchval("SELECT to_regclass('left_behind')") is None
            assert events.closed_because == []

    async def test_a_lease_that_ends_within_a_transaction_gives_its_session_back(
        self, pgbouncer: str
    ) -> None:
        """The only one that there is: another client would wait for it without end."""
        config = postgres_config(f"{pgbouncer}/one", options=UNCACHED)
        async with watched(config) as (pool, events):
            async with pool.acquire() as holder:
                await holder.execute("BEGIN")
            assert await pool.fetchval("SELECT 1", timeout=5) == 1
            assert events.closed_because == []

    async def test_transactions_and_copy_stay_in_one_session(self, pgbouncer: str) -> None:
        config = postgres_config(f"{pgbouncer}/two", options=UNCACHED)
        async with pool_of(config) as pool, pool.acquire() as connection:
            busy = await asyncpg.connect(f"{pgbouncer}/two", **UNCACHED)
            async with busy.transaction(), connection.transaction():
                await busy.execute("SELECT 1")
                await connection.execute("CREATE TEMP TABLE copied (id int) ON COMMIT DROP")
                rows = [(number,) for number in range(100)]
                await connection.copy_records_to_table("copied", records=rows)
                assert await connection.fetchval("SELECT sum(id) FROM copied") == 4950
            await busy.close()

    async def test_the_name_of_alias_and_process_arrives(self, pgbouncer: str) -> None:
        config = postgres_config(f"{pgbouncer}/two", options=UNCACHED)
        async with watched(config) as (pool, _):
            shown = await pool.fetchval("SHOW application_name")
        assert shown == f"poolapp:{config.alias}:{os.getpid()}"


class TestWithStatementCache:
    async def test_it_is_warned_of_once(
        self, pgbouncer: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = postgres_config(f"{pgbouncer}/two", max_size=2)
        async with watched(config) as (pool, _), pool.acquire(), pool.acquire():
            assert pool.size == 2
        (warning,) = [each for each in caplog.records if each.name == "poolapp.postgres"]
        assert warning.levelno == logging.WARNING
        assert warning.getMessage().startswith(
            f"Pool {config.alias!r}: there is a connection pooler before the server"
        )
        assert 'OPTIONS["statement_cache_size"] must be 0' in warning.getMessage()

    @pytest.mark.parametrize("size", [0, 100])
    async def test_a_size_that_was_chosen_is_not_warned_of(
        self, pgbouncer: str, caplog: pytest.LogCaptureFixture, size: int
    ) -> None:
        async with postgres_pool(f"{pgbouncer}/two", options={"statement_cache_size": size}) as it:
            await it.execute("SELECT 1")
        assert "pooler" not in caplog.text

    async def test_the_server_itself_is_not_warned_of(
        self, postgres_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with postgres_pool(postgres_url) as pool:
            await pool.fetchval("SELECT 1")
        assert "pooler" not in caplog.text

    async def test_a_statement_that_another_session_has_says_what_to_do(
        self, pgbouncer: str
    ) -> None:
        cached = postgres_config(f"{pgbouncer}/two", options={"statement_cache_size": 100})
        async with watched(cached) as (pool, events):
            assert await pool.fetchval("SELECT 4711") == 4711
            # The session where it was prepared is taken, and the next statement gets the other.
            holder = await asyncpg.connect(f"{pgbouncer}/two", statement_cache_size=0)
            try:
                await holder.execute("BEGIN")
                with pytest.raises(OF_OTHERS) as caught:
                    await pool.fetchval("SELECT 4711")
            finally:
                await holder.close()
            assert tells_what_to_do(caught.value, cached.alias)
            await events.until(lambda: events.closed_because == ["lost"])


class TestNatively:
    async def test_django_gets_its_own_answers_from_sessions_that_are_shared(
        self, pgbouncer: str
    ) -> None:
        config = {"max_size": 10, "max_connecting": 10, "acquire_timeout": 30.0}
        async with postgres_pool(f"{pgbouncer}/two", options=UNCACHED, **config) as pool:

            def answers(task: int) -> list[Any]:
                found = []
                with connections[pool.alias].cursor() as cursor:
                    for number in range(10):
                        cursor.execute("SELECT %s * 1000 + %s, %s", [number, task, f"of {task}"])
                        found += cursor.fetchall()
                    with transaction.atomic(using=pool.alias):
                        cursor.execute("SELECT pg_backend_pid()")
                        session = cursor.fetchone()
                        cursor.execute("SELECT pg_backend_pid(), %s", [task])
                        found.append(cursor.fetchone() == (*session, task))
                return found

            given = await asyncio.gather(*(pool.natively(answers, task) for task in range(30)))
        for task, values in enumerate(given):
            asked = [(number * 1000 + task, f"of {task}") for number in range(10)]
            assert values == [*asked, True]


class TestDiscardAll:
    async def test_it_spoils_one_lease_and_not_all_that_follow(self, postgres_url: str) -> None:
        """Without a pooler: the statements go, and the driver does not notice."""
        config = postgres_config(postgres_url, max_size=1)
        async with watched(config) as (pool, events):
            assert await pool.fetchval("SELECT 4711") == 4711
            async with pool.acquire() as connection:
                await connection.execute("DISCARD ALL")
            with pytest.raises(asyncpg.InvalidSQLStatementNameError) as caught:
                await pool.fetchval("SELECT 4711")
            assert tells_what_to_do(caught.value, config.alias)
            assert await pool.fetchval("SELECT 4711") == 4711
            assert events.closed_because == ["lost"]

    async def test_a_name_of_the_users_own_changes_nothing(self, postgres_url: str) -> None:
        config = postgres_config(postgres_url, max_size=1)
        async with watched(config) as (pool, events):
            with pytest.raises(asyncpg.InvalidSQLStatementNameError) as caught:
                await pool.execute("EXECUTE no_such_statement")
            assert not hasattr(caught.value, "__notes__")
            assert await pool.fetchval("SELECT 1") == 1
            assert events.closed_because == []
