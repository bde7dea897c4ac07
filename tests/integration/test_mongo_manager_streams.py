"""Streams: bounded memory, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from poolapp import BackendUnavailable, pools
from poolapp.managers.mongodb import MongoManager
from tests.mongodb_manager import database_url, documents_of
from tests.mongodb_server import MONGODB, address, mongodb_pool, outsider, through
from tests.real import Proxy, config_of, eventually
from tests.stores.models import Article, Author, bind

MANY = 200_000
MEGABYTE = 1024 * 1024


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        await documents.abulk_create(Article(slug=f"{at:04}") for at in range(3000))
        yield documents


async def cursors(admin: Any) -> int:
    status = await admin.admin.command("serverStatus")
    return int(status["metrics"]["cursor"]["open"]["total"])


async def test_200_000_documents_stay_under_100_mb(url: str) -> None:
    """Of a view, which the server computes on the way."""
    made = [
        {"$project": {"number": {"$range": [0, MANY]}}},
        {"$unwind": "$number"},
        {"$project": {"_id": "$number", "name": {"$literal": "Of what is written. " * 20}}},
    ]
    async with mongodb_pool(url) as pool:
        async with pool.database() as database:
            await database.drop_collection("many")
            await database.seed.replace_one({"_id": 1}, {}, upsert=True)
            await database.create_collection("many", viewOn="seed", pipeline=made)
        documents = bind(MongoManager(pool.alias, "many"), Author)
        gc.collect()
        process = psutil.Process()
        before = highest = process.memory_info().rss
        count = total = 0
        async for each in documents.aiterator():
            count += 1
            total += each.id
            if count % 5000 == 0:
                highest = max(highest, process.memory_info().rss)
        assert (count, total) == (MANY, MANY * (MANY - 1) // 2)
        assert highest - before < 100 * MEGABYTE
        async with pool.database() as database:
            await database.drop_collection("many")


async def test_no_more_is_held_than_the_pages_that_are_read_ahead(articles: Any) -> None:
    tracemalloc.start()
    try:
        stream = articles.aiterator(chunk_size=100, prefetch=2)
        await anext(stream)
        await asyncio.sleep(0)
        first, _ = tracemalloc.get_traced_memory()
        async for _ in stream:
            pass
        _, highest = tracemalloc.get_traced_memory()
        assert highest - first < 3 * MEGABYTE
    finally:
        tracemalloc.stop()


async def test_one_that_is_left_closes_its_cursor_and_gives_the_seat_back(
    url: str, articles: Any
) -> None:
    pool = articles.store().pool
    async with outsider(url) as admin:
        before = await cursors(admin)
        stream = articles.aiterator(chunk_size=10)
        await anext(stream)
        assert pool.in_use == 1
        await stream.aclose()
        assert pool.in_use == 0

        async def closed() -> bool:
            return await cursors(admin) <= before

        await eventually(closed)


async def test_a_cancel_gives_the_seat_back(articles: Any) -> None:
    pool = articles.store().pool
    started = asyncio.Event()

    async def read() -> None:
        async for _ in articles.aiterator(chunk_size=10):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def returned() -> bool:
        return bool(pool.in_use == 0)

    await eventually(returned)


async def test_a_server_that_goes_away_is_told_in_the_middle(url: str, articles: Any) -> None:
    options = {"serverSelectionTimeoutMS": 300}
    async with (
        Proxy(*address(url)) as proxy,
        mongodb_pool(through(proxy, url), options=options) as pool,
    ):
        far = bind(MongoManager(pool.alias, articles.collection), Article)
        read = 0
        with pytest.raises(BackendUnavailable):
            async for _ in far.aiterator(chunk_size=100):
                read += 1
                if read == 150:
                    proxy.refuse()
        assert 150 <= read < 3000
        assert pool.in_use == 0


async def test_from_short_lived_loops_on_the_process_own_one(url: str, articles: Any) -> None:
    config = config_of(MONGODB, url, loops="shared", max_size=2)
    pools.register(config.alias, config)
    far = bind(MongoManager(config.alias, articles.collection), Article)

    async def work(at: int) -> list[str]:
        await far.acreate(slug=f"new{at}")
        first = await far.order_by("-pk").afirst()
        assert first is not None
        every = [each.pk async for each in far.filter(pk__startswith="new").order_by("pk")]
        async with pools[config.alias].atomic():
            await far.acreate(slug=f"too{at}")
        return every

    def from_sync() -> list[list[str]]:
        return [asyncio.run(work(at)) for at in range(3)]

    seen = await asyncio.to_thread(from_sync)
    assert seen[-1] == ["new0", "new1", "new2"]
    assert await articles.filter(pk__startswith="too").acount() == 3
    await pools.remove(config.alias)
