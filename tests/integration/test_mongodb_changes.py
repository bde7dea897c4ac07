"""Change streams that outlive the connections they came by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from poolapp import BackendUnavailable, PoolError, pools
from poolapp.core.exceptions import ConfigurationError
from poolapp.devservices.ports import free_port
from tests.mongodb_server import MONGODB, address, mongodb_pool, outsider, through
from tests.real import Proxy, config_of, eventually


@pytest.fixture
async def admin(mongodb_url: str) -> AsyncIterator[Any]:
    async with outsider(mongodb_url) as admin:
        await admin.drop_database("shop")
        await admin.shop.create_collection("things")
        yield admin


@pytest.fixture
def url(mongodb_url: str) -> str:
    return mongodb_url.replace("/?", "/shop?")


@pytest.fixture
async def pool(url: str, admin: Any) -> AsyncIterator[Any]:
    async with mongodb_pool(url, max_size=4) as pool:
        yield pool


async def write(admin: Any, *ids: int) -> None:
    await admin.shop.things.insert_many([{"_id": each} for each in ids])


async def read(changes: Any, count: int) -> list[Any]:
    async with asyncio.timeout(30):
        return [(await anext(changes))["documentKey"]["_id"] for _ in range(count)]


class TestWatching:
    async def test_what_happens_to_a_collection(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things") as changes:
            await admin.shop.others.insert_one({})
            await write(admin, 1, 2)
            assert await read(changes, 2) == [1, 2]
            assert pool.in_use == 1
        assert pool.in_use == 0

    async def test_what_happens_to_a_database(self, pool: Any, admin: Any) -> None:
        async with pool.watch() as changes:
            await admin.shop.others.insert_one({"_id": "other"})
            await write(admin, 1)
            assert await read(changes, 2) == ["other", 1]

    async def test_what_a_pipeline_lets_through_with_the_drivers_options(
        self, pool: Any, admin: Any
    ) -> None:
        pipeline = [{"$match": {"operationType": "update"}}]
        async with pool.watch("things", pipeline, full_document="updateLookup") as changes:
            await write(admin, 1)
            await admin.shop.things.update_one({"_id": 1}, {"$set": {"title": "new"}})
            assert (await anext(changes))["fullDocument"] == {"_id": 1, "title": "new"}

    async def test_from_where_another_stopped(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things") as changes:
            await write(admin, 1, 2, 3)
            assert await read(changes, 1) == [1]
            token = changes.resume_token
        async with pool.watch("things", resume_after=token) as changes:
            assert await read(changes, 2) == [2, 3]

    async def test_a_dropped_collection_ends_it(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things") as changes:
            await admin.shop.things.drop()
            assert [each["operationType"] async for each in changes] == ["drop", "invalidate"]
            assert [each async for each in changes] == []

    async def test_it_is_never_a_leak(self, url: str, admin: Any) -> None:
        async with mongodb_pool(url, leak_after=0.001) as pool, pool.watch("things") as changes:
            await write(admin, 1)
            await read(changes, 1)
            pool.sweep()
            assert pool.stats().leaked == 0

    async def test_to_read_before_it_has_begun_is_an_error(self, pool: Any) -> None:
        with pytest.raises(PoolError, match="async with"):
            await anext(pool.watch("things"))

    async def test_to_begin_raises_what_acquire_raises(self) -> None:
        url = f"mongodb://127.0.0.1:{free_port()}/shop"
        async with mongodb_pool(url, acquire_timeout=0.2) as pool:
            with pytest.raises(PoolError):
                await pool.watch("things").__aenter__()

    async def test_to_begin_where_no_database_is_named(self, mongodb_url: str) -> None:
        async with mongodb_pool(mongodb_url) as pool:
            with pytest.raises(ConfigurationError, match="names no database"):
                await pool.watch("things").__aenter__()
            assert pool.in_use == 0
            async with pool.watch("things", database="shop"):
                assert pool.in_use == 1

    async def test_a_pipeline_that_the_server_refuses(self, pool: Any) -> None:
        with pytest.raises(OperationFailure):
            await pool.watch("things", [{"$nonsense": 1}]).__aenter__()
        assert pool.in_use == 0


class TestEnding:
    async def test_the_end_of_the_pool_ends_the_iteration(self, url: str, admin: Any) -> None:
        config = config_of(MONGODB, url)
        pools.register(config.alias, config)
        pool = pools[config.alias]
        seen: list[Any] = []
        first = asyncio.Event()

        async def follow() -> None:
            async with pool.watch("things", max_await_time_ms=60_000) as changes:
                async for each in changes:
                    seen.append(each["documentKey"]["_id"])
                    first.set()

        task = asyncio.create_task(follow())
        await eventually(lambda: _watching(pool))
        await write(admin, 1)
        await first.wait()
        await pool.close(timeout=60)
        await task
        assert seen == [1]
        await pools.remove(config.alias)

    async def test_a_cancelled_read_loses_nothing(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things", max_await_time_ms=60_000) as changes:
            await write(admin, 1)
            assert await read(changes, 1) == [1]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(changes)
            await write(admin, 2)
            assert await read(changes, 1) == [2]

    async def test_a_timeout_of_the_readers_own_is_not_the_end(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things", max_await_time_ms=60_000) as changes:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.05)
            await write(admin, 1)
            assert await read(changes, 1) == [1]


async def _watching(pool: Any) -> bool:
    return bool(pool._watching and pool.stats().sockets.in_use)


class TestGoingOn:
    async def test_after_its_connections_were_cut(self, url: str, admin: Any) -> None:
        async with (
            Proxy(*address(url)) as proxy,
            mongodb_pool(through(proxy, url)) as pool,
            pool.watch("things") as changes,
        ):
            await write(admin, 1)
            assert await read(changes, 1) == [1]
            for number in (2, 4):
                proxy.drop()
                await write(admin, number, number + 1)
                assert await read(changes, 2) == [number, number + 1]
            assert pool.in_use == 1

    async def test_after_an_outage_of_the_server(
        self, url: str, services: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "poolapp.mongodb")
        settings = {"connect_timeout": 1.0, "acquire_timeout": 0.2, "check_timeout": 0.2}
        async with mongodb_pool(url, **settings) as pool, pool.watch("things") as changes:
            async with outsider(url) as admin:
                await write(admin, 101)
            assert await read(changes, 1) == [101]
            reading = asyncio.create_task(read(changes, 2))
            await asyncio.to_thread(services.kill, "mongodb")

            async def told() -> bool:
                return "goes on when the server is back" in caplog.text

            await eventually(told)
            await asyncio.to_thread(services.restart, "mongodb")
            async with outsider(url) as admin:
                await write(admin, 102, 103)
            assert await reading == [102, 103]
        assert pool.in_use == 0

    async def test_on_another_client_after_a_drain(self, pool: Any, admin: Any) -> None:
        async with pool.watch("things", max_await_time_ms=10) as changes:
            await write(admin, 1)
            assert await read(changes, 1) == [1]
            (before,) = pool.leases()
            client = before.connection
            pool.drain()
            await write(admin, 2)
            assert await read(changes, 1) == [2]
            (after,) = pool.leases()
            assert after.connection is not client
        assert pool.stats().closed == {"drained": 1}

    async def test_not_where_the_log_of_the_server_reaches_no_longer(
        self, url: str, admin: Any
    ) -> None:
        """The driver's error: nobody may believe that nothing was missed."""
        async with mongodb_pool(url) as pool:
            with pytest.raises((OperationFailure, BackendUnavailable)):
                async with pool.watch("things", resume_after={"_data": "00"}) as changes:
                    await anext(changes)
            assert pool.in_use == 0

    async def test_nothing_is_raised_by_the_end_of_a_lost_one(self, url: str, admin: Any) -> None:
        async with Proxy(*address(url)) as proxy:
            settings = {"check_timeout": 0.1, "connect_timeout": 0.2, "acquire_timeout": 0.2}
            async with mongodb_pool(through(proxy, url), **settings) as pool:
                async with pool.watch("things", max_await_time_ms=10) as changes:
                    await write(admin, 1)
                    assert await read(changes, 1) == [1]
                    proxy.fall_silent()
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.3):
                            await anext(changes)
                assert pool.in_use == 0
                proxy.speak()
