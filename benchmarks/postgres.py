"""PostgreSQL: 32 tasks fetch rows by primary key over 10 connections.

The ceiling is the same driver without a pool: 10 tasks, each with a connection of its own, fetch as
many rows. What a pool keeps of it is its ratio. Then the managers: see ``benchmarks.managers``.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import psycopg
from sqlalchemy import text

from benchmarks import managers, peers
from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import pools

SERVICES = ("postgres",)

TASKS = 32
CONNECTIONS = 10
ROWS = 1000
TABLE = "poolapp_benchmark"

WITH_NUMBER = f"SELECT id, title, body FROM {TABLE} WHERE id = $1"
WITH_FORMAT = f"SELECT id, title, body FROM {TABLE} WHERE id = %s"
WITH_NAME = text(f"SELECT id, title, body FROM {TABLE} WHERE id = :key")

Fetch = Callable[[int], Awaitable[Any]]
"""Fetches the row of a primary key."""

HELD = "held"
"""The ceiling's part of the keys: asyncpg's connections, each held by one task."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    """``name`` is its part of the keys, empty for ours; ``fetches`` has one for each task.

    ``ceiling`` names the held connections of its own driver, where that is not asyncpg's.
    """

    name: str
    label: str
    fetches: Sequence[Fetch]
    ceiling: str = HELD

    @property
    def key(self) -> str:
        return f"postgres.fetch_32_on_10_{self.name}".rstrip("_")

    async def work(self, count: int) -> int:
        each = max(1, count // len(self.fetches))
        await asyncio.gather(
            *(_rows(fetch, number, each) for number, fetch in enumerate(self.fetches))
        )
        return each * len(self.fetches)


async def _rows(fetch: Fetch, number: int, count: int) -> None:
    for turn in range(number, number + count):
        await fetch(turn % ROWS)


async def run(lab: Lab) -> None:
    lab.report.goals["postgres.fetch_32_on_10"] = Goal(">=", 0.75)
    async with _rows_to_fetch(lab.urls["postgres"]), contestants(lab) as (field, ceilings):
        everyone = [*field, *ceilings]
        for each in everyone:
            await _same_row(each)
        found = await lab.race({each.name: each.work for each in everyone})
    _tell(lab, field, ceilings, found)
    await managers.run(lab)


def _tell(
    lab: Lab,
    field: Sequence[Contestant],
    ceilings: Sequence[Contestant],
    found: Mapping[str, list[float]],
) -> None:
    speeds = {name: [1 / value for value in seconds] for name, seconds in found.items()}
    section = lab.report.section(
        f"{TASKS} tasks fetch by key over {CONNECTIONS} connections: fetches per second", "of held"
    )
    for ceiling in ceilings:
        key = f"postgres.fetch_{ceiling.name}_ops"
        lab.report.add(key, speeds[ceiling.name], "ops/s")
        section.rows.append(Row(ceiling.label, key))
    for each in field:
        speed = speeds[each.name]
        ops = lab.report.add(f"{each.key}_ops", speed, "ops/s")
        ratio = lab.report.add(each.key, ratios(speed, speeds[HELD]), "of held")
        section.rows.append(Row(each.label, ops, ratio))
        if each.ceiling != HELD:
            own = ratios(speed, speeds[each.ceiling])
            ratio = lab.report.add(f"{each.key}_own", own, "of its driver held")
            section.rows.append(Row("  of its own driver held", ops, ratio))


@asynccontextmanager
async def contestants(lab: Lab) -> AsyncIterator[tuple[list[Contestant], list[Contestant]]]:
    """The pools, and the held connections that they are measured against."""
    url = lab.urls["postgres"]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        shipped_observers()
        ours = await enter(peers.poolapp_postgres(pools, url, CONNECTIONS))
        theirs = await enter(peers.asyncpg_pool(url, CONNECTIONS, resets=True))
        unreset = await enter(peers.asyncpg_pool(url, CONNECTIONS, resets=False))
        psycopg_pool = await enter(peers.psycopg_pool(url, CONNECTIONS))
        engine = await enter(peers.sqlalchemy_engine(url, CONNECTIONS))

        held, held_psycopg = [], []
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(url)
            stack.push_async_callback(connection.close)
            held.append(partial(connection.fetchrow, WITH_NUMBER))
            own = await enter(await psycopg.AsyncConnection.connect(url, autocommit=True))
            held_psycopg.append(partial(_by_psycopg, own))
        busy = await enter(peers.sqlalchemy_engine(url, CONNECTIONS))
        held_sqlalchemy = [
            partial(_by_sqlalchemy, await enter(busy.connect())) for _ in range(CONNECTIONS)
        ]

        async def raw(key: int) -> Any:
            async with ours.acquire() as connection:
                return await connection.fetchrow(WITH_NUMBER, key)

        async def clean(key: int) -> Any:
            async with ours.acquire(clean=True) as connection:
                return await connection.fetchrow(WITH_NUMBER, key)

        async def by_psycopg(key: int) -> Any:
            async with psycopg_pool.connection() as connection:
                return await _by_psycopg(connection, key)

        async def by_sqlalchemy(key: int) -> Any:
            async with engine.connect() as connection:
                return await _by_sqlalchemy(connection, key)

        def crowd(fetch: Fetch) -> list[Fetch]:
            return [fetch] * TASKS

        yield (
            [
                Contestant(
                    "", "poolapp, pool.fetchrow", crowd(partial(ours.fetchrow, WITH_NUMBER))
                ),
                Contestant("clean", "poolapp, acquire(clean=True)", crowd(clean)),
                Contestant("raw", "poolapp, acquire() and reset", crowd(raw)),
                Contestant(
                    "asyncpg_noreset",
                    "asyncpg's pool, no reset",
                    crowd(partial(unreset.fetchrow, WITH_NUMBER)),
                ),
                Contestant(
                    "asyncpg",
                    "asyncpg's pool",
                    crowd(partial(theirs.fetchrow, WITH_NUMBER)),
                ),
                Contestant("psycopg", "psycopg_pool", crowd(by_psycopg), "psycopg_held"),
                Contestant(
                    "sqlalchemy", "SQLAlchemy async engine", crowd(by_sqlalchemy), "sqlalchemy_held"
                ),
            ],
            [
                Contestant(HELD, "10 held, asyncpg", held),
                Contestant("psycopg_held", "10 held, psycopg", held_psycopg),
                Contestant("sqlalchemy_held", "10 held, SQLAlchemy", held_sqlalchemy),
            ],
        )


async def _by_psycopg(connection: psycopg.AsyncConnection[Any], key: int) -> Any:
    return await (await connection.execute(WITH_FORMAT, (key,))).fetchone()


async def _by_sqlalchemy(connection: Any, key: int) -> Any:
    return (await connection.execute(WITH_NAME, {"key": key})).one()


async def _same_row(contestant: Contestant) -> None:
    """All must fetch the same, before it is measured how fast."""
    row = await contestant.fetches[0](7)
    if row is None or tuple(row) != (7, "title 7", "body " * 20):
        raise AssertionError(f"{contestant.label} fetched {row!r}")


@asynccontextmanager
async def _rows_to_fetch(url: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"DROP TABLE IF EXISTS {TABLE};"
            f"CREATE TABLE {TABLE} (id integer PRIMARY KEY, title text, body text);"
            f"INSERT INTO {TABLE} SELECT n, 'title ' || n, repeat('body ', 20)"
            f" FROM generate_series(0, {ROWS - 1}) n;"
            f"ANALYZE {TABLE}"
        )
        yield
    finally:
        await connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
        await connection.close()
