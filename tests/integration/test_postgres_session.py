"""What a holder leaves behind in a session, and what the next one finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.real import postgres_pool, sessions


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Any]:
    """One connection, so that the next holder has the last one's."""
    async with postgres_pool(postgres_url, alias="session", max_size=1) as pool:
        yield pool


async def left_behind(pool: Any, *statements: str) -> None:
    async with pool.acquire() as connection:
        for statement in statements:
            await connection.execute(statement)


@pytest.fixture
async def bob(pg_admin: Any) -> AsyncIterator[str]:
    await pg_admin.execute("CREATE ROLE bob")
    yield "bob"
    await pg_admin.execute("DROP ROLE bob")


@pytest.mark.parametrize("statement", ["SET ROLE bob", "SET SESSION AUTHORIZATION bob"])
async def test_nobody_inherits_a_role(pool: Any, bob: str, statement: str) -> None:
    await left_behind(pool, statement)
    assert await pool.fetchval("SELECT current_user || session_user") == "postgrespostgres"


async def test_nobody_inherits_a_setting(pool: Any) -> None:
    zone = await pool.fetchval("SELECT current_setting('timezone')")
    await left_behind(pool, "SET timezone = 'Asia/Tokyo'")
    assert await pool.fetchval("SELECT current_setting('timezone')") == zone


async def test_the_applications_own_server_settings_stay(postgres_url: str) -> None:
    options = {"server_settings": {"timezone": "Asia/Tokyo"}}
    async with postgres_pool(postgres_url, options=options, max_size=1) as pool:
        await left_behind(pool, "SET timezone = 'UTC'")
        assert await pool.fetchval("SELECT current_setting('timezone')") == "Asia/Tokyo"


async def test_nobody_inherits_a_temporary_table(pool: Any) -> None:
    await left_behind(pool, "CREATE TEMP TABLE secret (a int)")
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.fetch("SELECT * FROM secret")


async def test_nobody_inherits_an_advisory_lock(pool: Any, pg_admin: Any) -> None:
    await left_behind(pool, "SELECT pg_advisory_lock(4711)")
    await pool.fetchval("SELECT 1")
    assert await pg_admin.fetchval("SELECT pg_try_advisory_lock(4711)")
    await pg_admin.execute("SELECT pg_advisory_unlock_all()")


async def test_nobody_inherits_a_cursor(pool: Any) -> None:
    await left_behind(pool, "DECLARE c CURSOR WITH HOLD FOR SELECT 1")
    assert await pool.fetchval("SELECT count(*) FROM pg_cursors WHERE name = 'c'") == 0


async def test_nobody_inherits_a_listener(pool: Any) -> None:
    heard: list[object] = []
    async with pool.acquire() as connection:
        await connection.add_listener("news", lambda *details: heard.append(details))
    async with pool.acquire() as connection:
        assert await connection.fetch("SELECT pg_listening_channels()") == []
        await connection.execute("NOTIFY news")
        await connection.execute("SELECT 1")
    assert heard == []


async def test_nobody_inherits_a_transaction(pool: Any) -> None:
    await left_behind(pool, "BEGIN", "CREATE TABLE half_done (a int)")
    async with pool.acquire() as connection:
        assert not connection.is_in_transaction()
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.fetch("SELECT * FROM half_done")


async def test_nobody_inherits_a_transaction_object_that_was_never_ended(pool: Any) -> None:
    # The driver tells the loop that its user has forgotten it; that is true, and expected here.
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
    async with pool.acquire() as connection:
        await connection.transaction().start()
    async with pool.acquire() as connection, connection.transaction():
        # A savepoint, where the driver believed the old transaction to be open still.
        assert await connection.fetchval("SELECT 1") == 1
    assert len(complaints) == 1


async def test_a_failed_transaction_does_not_reach_the_next_holder(pool: Any) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with pool.acquire() as connection:
            await connection.execute("BEGIN")
            await connection.execute("SELECT 1/0")
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().connected == 1


async def test_prepared_statements_survive_the_reset(pool: Any) -> None:
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 815 + $1::int", 1)
    async with pool.acquire() as connection:
        kept = await connection.fetch("SELECT statement FROM pg_prepared_statements")
    assert "SELECT 815 + $1::int" in [row["statement"] for row in kept]


async def test_a_cancelled_query_is_waited_for_before_the_next_holder(
    pool: Any, pg_admin: Any
) -> None:
    async def sleep() -> None:
        async with pool.acquire() as connection:
            started.set()
            await connection.execute("SELECT pg_sleep(60)")

    started = asyncio.Event()
    task = asyncio.create_task(sleep())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().connected == 1


class TestWhatGoesOverTheWire:
    """The last thing a connection was told, as the server has written it down."""

    async def last_told(self, admin: Any) -> str:
        (pid,) = await sessions(admin, "poolapp:session:%")
        told = await admin.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
        assert isinstance(told, str)
        return told

    async def test_a_raw_lease_is_reset(self, pool: Any, pg_admin: Any) -> None:
        await left_behind(pool, "SELECT 1")
        await pool.ping()  # after the reset
        async with pool.acquire(clean=True):
            pass
        await left_behind(pool, "SELECT 2")
        async with pool.acquire(clean=True):
            assert "RESET ALL" in await self.last_told(pg_admin)

    @pytest.mark.parametrize(
        "statement", ["SELECT 4712", "UPDATE pg_class SET relname = relname WHERE false"]
    )
    async def test_a_clean_statement_costs_no_reset(
        self, pool: Any, pg_admin: Any, statement: str
    ) -> None:
        await pool.execute(statement)
        assert await self.last_told(pg_admin) == statement

    async def test_a_statement_that_the_server_refused_costs_no_reset(
        self, pool: Any, pg_admin: Any
    ) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await pool.fetchval("SELECT 1/0")
        assert await self.last_told(pg_admin) == "SELECT 1/0"

    async def test_a_statement_that_may_change_the_session_is_undone(
        self, pool: Any, pg_admin: Any
    ) -> None:
        await pool.execute("SET timezone = 'Asia/Tokyo'")
        async with pool.acquire(clean=True) as connection:
            assert "RESET ALL" in await self.last_told(pg_admin)
            assert await connection.fetchval("SELECT current_setting('timezone')") != "Asia/Tokyo"
