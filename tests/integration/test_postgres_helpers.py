"""``pool.fetch`` and its kind: one statement on whatever connection is free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from poolapp import BackendUnavailable, PoolTimeout
from tests.real import eventually, postgres_pool, sessions


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Any]:
    async with postgres_pool(postgres_url, alias="helpers", max_size=2) as pool:
        yield pool


@pytest.fixture
async def table(pg_admin: Any) -> AsyncIterator[str]:
    await pg_admin.execute("DROP TABLE IF EXISTS helped")
    await pg_admin.execute("CREATE TABLE helped (id int PRIMARY KEY, name text)")
    yield "helped"
    await pg_admin.execute("DROP TABLE helped")


async def test_each_does_what_the_connections_own_does(pool: Any, table: str) -> None:
    assert await pool.execute("INSERT INTO helped VALUES (1, 'one')") == "INSERT 0 1"
    assert await pool.execute("INSERT INTO helped VALUES ($1, $2)", 2, "two") == "INSERT 0 1"
    assert (
        await pool.executemany("INSERT INTO helped VALUES ($1, $2)", [(3, "a"), (4, "b")]) is None
    )
    rows = await pool.fetch("SELECT * FROM helped ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "one"), (2, "two"), (3, "a"), (4, "b")]
    assert dict(await pool.fetchrow("SELECT * FROM helped WHERE id = $1", 2)) == {
        "id": 2,
        "name": "two",
    }
    assert await pool.fetchrow("SELECT * FROM helped WHERE id = 9") is None
    assert await pool.fetchval("SELECT id, name FROM helped WHERE id = $1", 1, column=1) == "one"
    assert await pool.fetchval("SELECT id FROM helped WHERE id = 9") is None


async def test_a_record_class_is_passed_on(pool: Any) -> None:
    class Row(asyncpg.Record):
        pass

    assert type(await pool.fetchrow("SELECT 1", record_class=Row)) is Row
    assert type((await pool.fetch("SELECT 1", record_class=Row))[0]) is Row


async def test_a_refused_statement_raises_the_drivers_error_and_keeps_the_connection(
    pool: Any, table: str
) -> None:
    await pool.execute("INSERT INTO helped VALUES (1)")
    for _ in range(5):
        with pytest.raises(asyncpg.UniqueViolationError):
            await pool.execute("INSERT INTO helped VALUES (1)")
        with pytest.raises(asyncpg.DataError):
            await pool.fetch("SELECT $1::int", "not a number")
        with pytest.raises(asyncpg.InterfaceError):
            await pool.fetch("SELECT $1::int")
    assert await pool.fetchval("SELECT count(*) FROM helped") == 1
    assert pool.stats().connected == 1
    assert pool.in_use == 0


async def test_many_in_executemany_are_all_or_none(pool: Any, table: str) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.executemany("INSERT INTO helped VALUES ($1)", [(1,), (2,), (1,)])
    assert await pool.fetchval("SELECT count(*) FROM helped") == 0


async def test_the_timeout_bounds_the_statement_and_the_server_stops_it(
    pool: Any, pg_admin: Any
) -> None:
    with pytest.raises(TimeoutError) as info:
        await pool.execute("SELECT pg_sleep(60)", timeout=0.05)
    assert not isinstance(info.value, PoolTimeout)

    async def stopped() -> bool:
        return not await pg_admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'poolapp:helpers:%' AND state = 'active'"
        )

    await eventually(stopped)
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().connected == 1


async def test_a_cancelled_statement_is_cancelled_on_the_server(pool: Any, pg_admin: Any) -> None:
    async def active() -> int:
        count = await pg_admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'poolapp:helpers:%' AND state = 'active'"
        )
        assert isinstance(count, int)
        return count

    task = asyncio.create_task(pool.execute("SELECT pg_sleep(60)"))
    await eventually(active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def none_active() -> bool:
        return not await active()

    await eventually(none_active)
    assert pool.in_use == 0
    assert await pool.fetchval("SELECT 1") == 1


async def test_a_connection_lost_during_a_statement_is_an_outage_with_its_cause(
    pool: Any, pg_admin: Any
) -> None:
    task = asyncio.create_task(pool.fetchval("SELECT pg_sleep(60)"))

    async def asleep() -> Any:
        return await pg_admin.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
            " AND application_name LIKE 'poolapp:helpers:%' AND state = 'active'"
        )

    pid = await eventually(asleep)
    await pg_admin.fetchval("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises(BackendUnavailable, match="may or may not have taken effect") as info:
        await task
    assert info.value.retryable
    assert isinstance(info.value.__cause__, asyncpg.PostgresConnectionError)
    assert pool.in_use == 0
    assert await pool.fetchval("SELECT 1") == 1


async def test_the_place_of_the_call_is_known_also_when_a_task_runs_it(pool: Any) -> None:
    await pool.fetchval("SELECT 1")
    task = asyncio.create_task(pool.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0)  # the task's turn
    (lease,) = pool.leases()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Path(__file__).name in lease.site
    assert "test_the_place_of_the_call" in lease.site


async def test_many_tasks_share_few_connections(pool: Any, pg_admin: Any) -> None:
    answers = await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(200)))
    assert answers == list(range(200))
    assert len(await sessions(pg_admin, "poolapp:helpers:%")) <= 2


async def test_copy_works_on_a_raw_lease(pool: Any, table: str) -> None:
    async with pool.acquire() as connection:
        records = [(n, str(n)) for n in range(100)]
        assert await connection.copy_records_to_table("helped", records=records) == "COPY 100"
    assert await pool.fetchval("SELECT count(*) FROM helped") == 100
