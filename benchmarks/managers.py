"""PostgreSQL through Django's QuerySets: natively, by Django's own way, and by hand.

Django has psycopg's pool, the best that it has to offer; what is done by hand makes the same
instances of what asyncpg's pool fetches. ``benchmarks.postgres`` runs this as a part of its suite.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
from asgiref.sync import sync_to_async

from benchmarks import peers
from benchmarks.measure import Goal, Lab, Row, nothing_to_collect, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools

CONNECTIONS = 10
ROWS = 1000
GATHERED = 2000
FETCHED = 100
BULK = 10_000
TABLE = "poolapp_managers"
COLUMNS = ("id", "title", "body", "size", "at")

ONE = f"SELECT id, title, body, size, at FROM {TABLE} WHERE id = $1"
MANY = f"SELECT id, title, body, size, at FROM {TABLE} WHERE id <= $1 ORDER BY id"
EMPTY = f"TRUNCATE {TABLE}_bulk"

OURS, ORM, BY_HAND = "ours", "orm", "asyncpg"
LABELS = {
    OURS: "PostgresManager",
    ORM: "Django, psycopg's pool",
    BY_HAND: "asyncpg's pool, by hand",
}

Operation = Callable[[int], Awaitable[Any]]


async def run(lab: Lab) -> None:
    goals = lab.report.goals
    goals["postgres.native_aget_vs_orm"] = Goal(">=", 1.5)
    goals["postgres.native_gather_2000_vs_orm"] = Goal(">=", 4.0)
    goals["postgres.rows_100_vs_orm"] = Goal(">=", 1.5)
    goals["postgres.bulk_10000_vs_copy"] = Goal(">=", 0.85)
    async with _field(lab.urls["postgres"]) as (model, bulk, pool):
        one = _by_key(model, pool)
        await _alike([await get(7) for get in one.values()])
        await _race(lab, "native_aget", "aget(pk=...) in one task", one, _one_by_one)
        title = f"{GATHERED} times aget(pk=...) at once"
        await _race(lab, "native_gather_2000", title, one, _gathered)
        many = _many(model, pool)
        for found in zip(*[await fetch(0) for fetch in many.values()], strict=True):
            await _alike(list(found))
        await _race(lab, "rows_100", f"{FETCHED} instances", many, _one_by_one)
        await _bulk(lab, bulk, pool)


# -- reading ---------------------------------------------------------------------------------------


def _by_key(model: Any, pool: Any) -> dict[str, Operation]:
    async def natively(key: int) -> Any:
        return await model.rows.aget(pk=key)

    async def by_django(key: int) -> Any:
        return await model.objects.aget(pk=key)

    async def by_hand(key: int) -> Any:
        return model(*await pool.fetchrow(ONE, key))

    return {OURS: natively, ORM: by_django, BY_HAND: by_hand}


def _many(model: Any, pool: Any) -> dict[str, Operation]:
    async def natively(_: int) -> Any:
        return [each async for each in model.rows.filter(pk__lte=FETCHED).order_by("pk")]

    async def by_django(_: int) -> Any:
        return [each async for each in model.objects.filter(pk__lte=FETCHED).order_by("pk")]

    async def by_hand(_: int) -> Any:
        return [model(*row) for row in await pool.fetch(MANY, FETCHED)]

    return {OURS: natively, ORM: by_django, BY_HAND: by_hand}


async def _alike(found: list[Any]) -> None:
    """All must give the same, before it is measured how fast."""
    values = [tuple(getattr(each, name) for name in COLUMNS) for each in found]
    if len(set(values)) != 1:
        raise AssertionError(f"the contestants differ: {values!r}")


async def _one_by_one(operation: Operation, count: int) -> int:
    for number in range(count):
        await operation(number % ROWS + 1)
    return count


async def _gathered(operation: Operation, count: int) -> int:
    # Fewer only while it is found out how many fill a round.
    size = min(count, GATHERED)
    for _ in range(count // size):
        await asyncio.gather(*(operation(number % ROWS + 1) for number in range(size)))
    return count // size * size


async def _race(
    lab: Lab,
    name: str,
    title: str,
    field: Mapping[str, Operation],
    way: Callable[[Operation, int], Awaitable[int]],
) -> None:
    def work(operation: Operation) -> Callable[[int], Awaitable[int]]:
        return lambda count: way(operation, count)

    found = await lab.race({each: work(operation) for each, operation in field.items()})
    _tell(lab, name, f"{title}: operations per second", found, LABELS, (ORM, BY_HAND))


def _tell(
    lab: Lab,
    name: str,
    title: str,
    seconds: Mapping[str, list[float]],
    labels: Mapping[str, str],
    others: tuple[str, ...],
) -> None:
    """Ours, and what it is of each of the others."""
    speeds = {each: [1 / value for value in values] for each, values in seconds.items()}
    section = lab.report.section(title, "ours against it")
    for each, label in labels.items():
        part = "" if each == OURS else f"_{each}"
        ops = lab.report.add(f"postgres.{name}{part}_ops", speeds[each], "ops/s")
        ratio = None
        if each in others:
            key = f"postgres.{name}_vs_{each}"
            ratio = lab.report.add(key, ratios(speeds[OURS], speeds[each]), f"of {each}")
        section.rows.append(Row(label, ops, ratio))


# -- writing ---------------------------------------------------------------------------------------


async def _bulk(lab: Lab, model: Any, pool: Any) -> None:
    """Each into the empty table; emptying it is not measured."""
    now = datetime.datetime.now(datetime.UTC)

    def made(*, keys: bool) -> list[Any]:
        return [
            model(pk=number if keys else None, title=f"title {number}", body="body " * 20,
                  size=number, at=now)
            for number in range(1, BULK + 1)
        ]  # fmt: skip

    with_keys = made(keys=True)

    async def by_hand(instances: list[Any]) -> None:
        async with pool.acquire() as connection:
            await connection.copy_records_to_table(
                f"{TABLE}_bulk",
                records=[(e.id, e.title, e.body, e.size, e.at) for e in instances],
                columns=COLUMNS,
            )

    field: dict[str, tuple[Callable[[list[Any]], Awaitable[Any]], bool]] = {
        OURS: (model.rows.abulk_create, True),
        "copy": (by_hand, True),
        ORM: (model.objects.abulk_create, True),
        "returning": (model.rows.abulk_create, False),
        "orm_returning": (model.objects.abulk_create, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in field}
    names = list(field)
    with nothing_to_collect():
        for _ in range(lab.effort.rounds):
            for name in names:
                create, keys = field[name]
                instances = with_keys if keys else made(keys=False)
                await pool.execute(EMPTY)
                gc.collect()
                started = time.perf_counter()
                await create(instances)
                seconds[name].append(time.perf_counter() - started)
                if await pool.fetchval(f"SELECT count(*) FROM {TABLE}_bulk") != BULK:
                    raise AssertionError(f"{name} has not created them all")
            names.append(names.pop(0))
    labels = {
        OURS: "PostgresManager.abulk_create",
        "copy": "asyncpg, COPY by hand",
        ORM: "Django, psycopg's pool",
    }
    title = f"{BULK} instances with their keys: bulks per second"
    _tell(lab, "bulk_10000", title, seconds, labels, ("copy", ORM))
    returning = {OURS: seconds["returning"], ORM: seconds["orm_returning"]}
    title = f"{BULK} instances whose keys come back: bulks per second"
    labels = {OURS: labels[OURS], ORM: labels[ORM]}
    _tell(lab, "bulk_10000_returning", title, returning, labels, (ORM,))


# -- the field -------------------------------------------------------------------------------------


@asynccontextmanager
async def _field(url: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A model with rows to read, one with none, and asyncpg's pool."""
    shipped_observers()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_tables(url))
        await stack.enter_async_context(_database(url))
        pool = await stack.enter_async_context(peers.asyncpg_pool(url, CONNECTIONS, resets=False))
        yield *_models(), pool


def _models() -> tuple[Any, Any]:
    from django.db import models

    from poolapp.managers import PostgresManager

    class Entry(models.Model):
        title = models.CharField(max_length=100)
        body = models.TextField()
        size = models.IntegerField()
        at = models.DateTimeField()

        objects = models.Manager()
        rows = PostgresManager()

        class Meta:
            app_label = "benchmarks"
            db_table = TABLE

    class BulkEntry(models.Model):
        title = models.CharField(max_length=100)
        body = models.TextField()
        size = models.IntegerField()
        at = models.DateTimeField()

        objects = models.Manager()
        rows = PostgresManager()

        class Meta:
            app_label = "benchmarks"
            db_table = f"{TABLE}_bulk"

    return Entry, BulkEntry


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[None]:
    """The alias ``default`` of Django's, and the pool that leads to it."""
    from django.db import connections

    from poolapp.conf.database import DatabaseLocation

    parts = urlsplit(url)
    settings = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname,
        "PORT": parts.port,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": parts.path.lstrip("/"),
        "OPTIONS": {"pool": {"min_size": CONNECTIONS, "max_size": CONNECTIONS}},
    }
    before = connections.settings["default"]
    connections.settings.update(connections.configure_settings({"default": settings}))
    config = PoolConfig(
        alias="default",
        backend="poolapp.backends.postgres.PostgresBackend",
        locations=DatabaseLocation("default"),
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
    )
    pools.register("default", config)
    try:
        await pools["default"].prewarm()
        yield
    finally:
        await pools.remove("default")
        await sync_to_async(_close_djangos)()
        connections.settings["default"] = before


def _close_djangos() -> None:
    from django.db import connections

    connections["default"].close()
    connections["default"].close_pool()


@asynccontextmanager
async def _tables(url: str) -> AsyncIterator[None]:
    columns = (
        "(id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, title varchar(100) NOT NULL,"
        " body text NOT NULL, size integer NOT NULL, at timestamptz NOT NULL)"
    )
    drop = f"DROP TABLE IF EXISTS {TABLE}, {TABLE}_bulk"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"{drop}; CREATE TABLE {TABLE} {columns}; CREATE TABLE {TABLE}_bulk {columns};"
            f"INSERT INTO {TABLE} (title, body, size, at) SELECT 'title ' || n,"
            f" repeat('body ', 20), n, now() FROM generate_series(1, {ROWS}) n; ANALYZE {TABLE}"
        )
        yield
    finally:
        await connection.execute(drop)
        await connection.close()
