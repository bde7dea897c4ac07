"""MongoDB: a bulk of 5,000 instances, beside the driver's own ``bulk_write`` of documents that are
made of the same instances by hand.

Both send the same fields; ours has a version in each document besides, and tells of each item what
became of it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bson import Decimal128
from pymongo import AsyncMongoClient, InsertOne

from benchmarks import peers
from benchmarks.measure import SMOKE, Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ("mongodb",)

BULK = 5000
FEW = 100
DATABASE = "poolapp_benchmark"
OURS, DRIVER = "ours", "driver"

Write = Callable[[Sequence[Any]], Awaitable[Any]]


async def run(lab: Lab) -> None:
    lab.report.goals["mongo.bulk_vs_driver"] = Goal(">=", 0.9)
    async with contestants(lab.urls["mongodb"]) as (make, writes):
        # What is measured is a bulk of this size, however few would fill a round.
        size = FEW if lab.effort is SMOKE else BULK
        works = {name: _work(make, write, size) for name, write in writes.items()}
        found = await lab.race(works)
    section = lab.report.section(
        f"{BULK:,} instances in one bulk: instances per second", "ours / it"
    )
    labels = {OURS: "MongoManager.abulk_create", DRIVER: "bulk_write of documents made by hand"}
    for name, label in labels.items():
        speeds = [1 / seconds for seconds in found[name]]
        key = lab.report.add(f"mongo.bulk_{name}_ops", speeds, "ops/s")
        ratio = None
        if name != OURS:
            times = ratios(found[name], found[OURS])
            ratio = lab.report.add(f"mongo.bulk_vs_{name}", times, "x")
        section.rows.append(Row(label, key, ratio))


def _work(
    make: Callable[[int], Sequence[Any]], write: Write, size: int
) -> Callable[[int], Awaitable[int]]:
    async def work(count: int) -> int:
        """In whole bulks; what warms up, or finds out how much fits, in small ones."""
        bulk = size if count >= size / 4 else FEW
        done = 0
        while done < count:
            await write(make(bulk))
            done += bulk
        return done

    return work


@asynccontextmanager
async def contestants(
    url: str,
) -> AsyncIterator[tuple[Callable[[int], Sequence[Any]], dict[str, Write]]]:
    """What makes so many new instances, and what writes them."""
    shipped_observers()
    model = _note()
    pools.register(
        peers.ALIAS,
        PoolConfig(
            alias=peers.ALIAS,
            backend="poolapp.backends.mongodb.MongoBackend",
            locations=(Location.parse(url.replace("/?", f"/{DATABASE}?")),),
            max_size=10,
        ),
    )
    numbers = itertools.count(1)
    instances = [
        model(
            id=0, title=f"Note {at}", text="Of what a note says. " * 5, likes=at, rating=at / 7,
            price=Decimal(at) / 100, is_public=at % 3 > 0,
            written=datetime(2024, 2, 29, 12, tzinfo=UTC),
        )
        for at in range(BULK)
    ]  # fmt: skip

    def make(count: int) -> Sequence[Any]:
        # The same ones under other keys: their making is nobody's work here.
        chosen = instances[:count]
        for each in chosen:
            each.id = next(numbers)
        return chosen

    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.drop_database(DATABASE)
        database = client[DATABASE]
        await database.create_collection(DRIVER)
        documents = _manager(model)
        await documents.ensure()
        try:
            yield (
                make,
                {
                    OURS: documents.abulk_create,
                    DRIVER: lambda batch: database[DRIVER].bulk_write(
                        [InsertOne(_by_hand(each)) for each in batch], ordered=False
                    ),
                },
            )
        finally:
            await client.drop_database(DATABASE)
            await pools.remove(peers.ALIAS)


def _note() -> Any:
    """A model, once Django has its settings; its rows are nowhere."""
    from django.db import models

    class Note(models.Model):
        id = models.BigIntegerField(primary_key=True)
        title = models.CharField(max_length=200)
        text = models.TextField()
        likes = models.IntegerField()
        rating = models.FloatField()
        price = models.DecimalField(max_digits=12, decimal_places=2)
        is_public = models.BooleanField()
        written = models.DateTimeField()

        class Meta:
            app_label = "benchmarks"
            managed = False

    return Note


def _manager(model: Any) -> Any:
    from poolapp.managers.mongodb import MongoManager

    manager: Any = MongoManager(peers.ALIAS, collection=OURS)
    manager.name = "documents"
    return manager.__get__(None, model)


def _by_hand(note: Any) -> dict[str, Any]:
    return {
        "_id": note.id,
        "title": note.title,
        "text": note.text,
        "likes": note.likes,
        "rating": note.rating,
        "price": Decimal128(note.price),
        "is_public": note.is_public,
        "written": note.written,
    }
