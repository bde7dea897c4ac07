"""A MongoDB client in use: seats, sockets, health, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp import PoolTimeout, pools
from poolapp.backends.mongodb import MongoBackend
from tests.mongodb_server import (
    MONGODB,
    MONITORS,
    address,
    failing,
    mongodb_pool,
    outsider,
    own_server,
    sockets_open,
    through,
)
from tests.real import Proxy, config_of, eventually, heard


@pytest.fixture
async def pool(mongodb_url: str) -> AsyncIterator[Any]:
    async with mongodb_pool(mongodb_url, max_size=4) as pool:
        yield pool


@pytest.fixture(scope="module")
def playful_url(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that can be told to fail."""
    with own_server(tmp_path_factory.mktemp("mongodb"), "--enable-test-commands") as url:
        yield url


@contextlib.asynccontextmanager
async def busy_socket(pool: Any, client: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A socket in use for as long as the block runs."""

    async def in_use() -> bool:
        return bool(pool.stats().sockets.in_use)

    changes = await client.shop.watch(max_await_time_ms=60_000)
    waiting = asyncio.create_task(changes.try_next())
    await eventually(in_use)
    yield waiting
    waiting.cancel()
    await asyncio.wait([waiting])


class TestSeats:
    async def test_all_holders_have_the_same_client(self, pool: Any) -> None:
        async with pool.acquire() as one, pool.acquire() as other:
            assert one is other
        assert pool.stats().connected == 1

    async def test_no_more_than_max_size_hold_it_at_once(self, pool: Any) -> None:
        leases = [await pool.acquire() for _ in range(4)]
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)
        for lease in leases:
            lease.release()

    async def test_a_holders_error_of_the_server_changes_nothing(self, pool: Any) -> None:
        with pytest.raises(Exception, match="no such command"):
            async with pool.acquire() as client:
                await client.admin.command("nonsense")
        async with pool.acquire() as client:
            await client.admin.command("ping")
        assert (pool.stats().connected, pool.stats().lost) == (1, 0)

    async def test_a_holder_who_wants_more_sockets_than_there_are_is_told_in_time(
        self, mongodb_url: str
    ) -> None:
        """That is no fault of the client."""
        settings = {"max_size": 1, "acquire_timeout": 0.2}
        async with mongodb_pool(mongodb_url, **settings) as pool, pool.acquire() as client:
            async with busy_socket(pool, client):
                with pytest.raises(Exception, match="Timed out while checking out") as info:
                    await client.admin.command("ping")
            assert not pool.backend.breaks(client, info.value)

    async def test_a_resize_makes_a_client_with_as_many_sockets(self, pool: Any) -> None:
        await pool.ping()
        pools.resize(pool.alias, max_size=9)
        async with pool.acquire() as client:
            assert client.options.pool_options.max_pool_size == 9

    async def test_a_client_that_its_holder_closed_is_replaced(self, pool: Any) -> None:
        async with pool.acquire() as first:
            with heard(pool.alias) as events:
                await first.close()
                assert events.lost_count == 1
        async with pool.acquire() as second:
            assert second is not first
            await second.admin.command("ping")
        assert pool.stats().connect_failed == 0


class TestSockets:
    async def test_what_the_driver_has_open_and_in_use_is_told(self, pool: Any) -> None:
        assert pool.stats().sockets is None
        async with pool.acquire() as client:
            idle = pool.stats().sockets
            assert (idle.open, idle.in_use) == (1, 0)
            async with busy_socket(pool, client):
                await client.admin.command("ping")
                busy = pool.stats().sockets
                assert (busy.open, busy.in_use) == (2, 1)
            assert pool.stats().sockets.in_use == 0
        pool.drain()
        await pool.ping()
        assert pool.stats().sockets.open == 1

    async def test_those_that_break_are_counted_as_closed(self, mongodb_url: str) -> None:
        async with (
            Proxy(*address(mongodb_url)) as proxy,
            mongodb_pool(through(proxy, mongodb_url), max_size=4) as pool,
        ):
            await asyncio.gather(*(pool.run(ping, database="shop") for _ in range(20)))
            assert 1 <= pool.stats().sockets.open <= 4
            proxy.drop()

            async def none_left() -> bool:
                return bool(pool.stats().sockets.open == 0)

            await eventually(none_left)
            assert pool.stats().sockets.in_use == 0

    async def test_two_hundred_tasks_open_no_more_than_max_size(self, mongodb_url: str) -> None:
        async with outsider(mongodb_url) as admin, Proxy(*address(mongodb_url)) as proxy:
            before = await sockets_open(admin)
            settings = {"max_size": 5, "max_connecting": 5, "acquire_timeout": 60}
            async with mongodb_pool(through(proxy, mongodb_url), **settings) as pool:
                most = 0

                async def work() -> None:
                    nonlocal most
                    for _ in range(5):
                        await pool.run(lambda db: db.things.find_one({}), database="shop")
                        most = max(most, pool.stats().sockets.open)

                await asyncio.gather(*(work() for _ in range(200)))
                assert most == 5
                assert await sockets_open(admin) <= before + 5 + MONITORS
            assert proxy.accepted <= 5 + MONITORS

    async def test_min_size_is_kept_open_by_the_driver(self, mongodb_url: str) -> None:
        async with mongodb_pool(mongodb_url, min_size=3, max_size=4) as pool:
            await pool.prewarm()

            async def all_open() -> bool:
                return bool(pool.stats().sockets.open == 3)

            await eventually(all_open)


class TestHealth:
    async def test_the_server_tells_its_version_its_set_and_its_connections(
        self, pool: Any
    ) -> None:
        async with pool.acquire() as client:
            info = await pool.backend.server_info(client)
            assert await pool.backend.health(client) == ("healthy", "")
        assert info["version"].split(".")[0].isdigit()
        assert info["set_name"] == "secantus"
        assert info["primary"].startswith("127.0.0.1:")
        assert info["connections"] >= 1
        assert info["connections_available"] >= 0

    async def test_a_user_who_may_not_ask_is_told_less(self, playful_url: str) -> None:
        async with (
            mongodb_pool(playful_url) as pool,
            pool.acquire() as client,
            outsider(playful_url) as admin,
            failing(admin, "serverStatus", times=1, errorCode=13),
        ):
            info = await pool.backend.server_info(client)
        assert info.keys() == {"version", "set_name", "primary"}

    async def test_a_replica_set_without_a_primary_is_degraded(self, playful_url: str) -> None:
        async with (
            mongodb_pool(playful_url) as pool,
            pool.acquire() as client,
            outsider(playful_url) as admin,
        ):
            await admin.admin.command("replSetStepDown", 1, force=True)
            assert await pool.backend.health(client) == (
                "degraded",
                "replica set 'secantus' has no primary: reads only",
            )
            await pool.backend.check(client)

            async def elected() -> bool:
                return bool(await pool.backend.health(client) == ("healthy", ""))

            await eventually(elected)

    async def test_a_standalone_server_is_healthy(self, tmp_path: Any) -> None:
        with own_server(tmp_path, "--standalone") as url:
            async with mongodb_pool(url) as pool, pool.acquire() as client:
                assert await pool.backend.health(client) == ("healthy", "")
                assert "set_name" not in await pool.backend.server_info(client)


class TestEnding:
    async def test_a_reset_with_operations_under_way_leaves_nothing_open(
        self, mongodb_url: str
    ) -> None:
        async with outsider(mongodb_url) as admin:
            before = await sockets_open(admin)
            async with mongodb_pool(mongodb_url) as pool:
                async with pool.acquire() as client:
                    with heard(pool.alias) as events:
                        asking = asyncio.create_task(client.admin.command("ping"))
                        await asyncio.sleep(0)
                        pool.reset()
                        await asyncio.wait([asking])
                    assert not events.closed_because
                assert pool.size == 0

                async def gone() -> bool:
                    return await sockets_open(admin) == before

                await eventually(gone)
                await pool.ping()

    async def test_aborting_cuts_the_operations_under_way(self, mongodb_url: str) -> None:
        config = config_of(MONGODB, mongodb_url)
        pools.register(config.alias, config)
        pool = pools[config.alias]
        lease = await pool.acquire()
        client = lease.connection
        async with busy_socket(pool, client) as waiting:
            await pool.close(timeout=0)
            with pytest.raises(Exception, match=r"closed|after close"):
                await waiting
        with pytest.raises(Exception, match="after close"):
            await client.admin.command("ping")
        await pools.remove(config.alias)

    async def test_a_connect_that_is_cancelled_leaves_nothing_open(self, mongodb_url: str) -> None:
        async with outsider(mongodb_url) as admin:
            before = await sockets_open(admin)
            backend = MongoBackend(config_of(MONGODB, mongodb_url))
            for turns in range(40):
                task = asyncio.create_task(backend.connect())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                client = (await asyncio.gather(task, return_exceptions=True))[0]
                if not isinstance(client, BaseException):
                    await backend.close(client)
            del client, task

            async def gone() -> bool:
                return await sockets_open(admin) == before

            await eventually(gone)
            gc.collect()

    async def test_a_goodbye_to_a_silent_server_does_not_take_long(self, mongodb_url: str) -> None:
        async with Proxy(*address(mongodb_url)) as proxy:
            settings = {"check_timeout": 0.1, "connect_timeout": 60.0, "close_timeout": 60.0}
            async with mongodb_pool(through(proxy, mongodb_url), **settings) as pool:
                async with pool.transaction() as session:
                    await session.client.shop.things.find_one({}, session=session)
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    pool.drain()
                    await events.until(lambda: events.closed_because == ["drained"])


class TestLoops:
    """Scenario 31: a loop that ends without a close leaves no socket, and makes no noise."""

    def open_now(self, url: str) -> int:
        async def ask() -> int:
            async with outsider(url) as admin:
                return await sockets_open(admin)

        return asyncio.run(ask())

    def settled(self, url: str, count: int) -> None:
        async def ask() -> None:
            async with outsider(url) as admin:

                async def gone() -> bool:
                    return await sockets_open(admin) <= count

                await eventually(gone)

        asyncio.run(ask())

    def test_that_are_run(self, mongodb_url: str) -> None:
        config = config_of(MONGODB, mongodb_url)
        pools.register(config.alias, config)

        async def main() -> None:
            await asyncio.gather(
                *(pools[config.alias].run(ping, database="shop") for _ in range(5))
            )

        before = self.open_now(mongodb_url)
        for _ in range(20):
            asyncio.run(main())
            assert pools.count() == 0
        self.settled(mongodb_url, before)
        asyncio.run(pools.remove(config.alias))

    def test_that_are_closed_by_hand(
        self, mongodb_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Noticed at the next look-up."""
        config = config_of(MONGODB, mongodb_url)
        pools.register(config.alias, config)

        async def main() -> None:
            pool = pools[config.alias]
            await asyncio.gather(*(pool.run(ping, database="shop") for _ in range(5)))

        before = self.open_now(mongodb_url)
        for _ in range(20):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
        asyncio.run(main())
        gc.collect()
        self.settled(mongodb_url, before)
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []
        asyncio.run(pools.remove(config.alias))


async def ping(database: Any) -> None:
    await database.command("ping")
