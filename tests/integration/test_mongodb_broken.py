"""MongoDB connections that break and servers that go away: the acceptance scenarios."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import pytest
from pymongo.errors import AutoReconnect, ConnectionFailure

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from poolapp.backends.mongodb import MongoBackend
from poolapp.core.config import Breaker
from poolapp.devservices.ports import free_port
from tests.acceptance.test_broken_connections import Load
from tests.mongodb_server import MONGODB, address, mongodb_pool, outsider, through
from tests.real import Proxy, config_of, eventually, heard


@pytest.fixture
def url(mongodb_url: str) -> str:
    return mongodb_url.replace("/?", "/shop?")


async def find(pool: Any) -> Any:
    return await pool.run(lambda db: db.things.find_one({}))


async def all_can_be_held(pool: Any) -> None:
    """Every slot is there, and works."""
    leases = [await pool.acquire(timeout=30) for _ in range(pool.config.max_size)]
    await asyncio.gather(*(lease.connection.admin.command("ping") for lease in leases))
    for lease in leases:
        lease.release()


async def test_fifty_first_acquires_make_one_client(url: str) -> None:
    """Scenario 16."""
    async with Proxy(*address(url)) as proxy:
        config = config_of(MONGODB, through(proxy, url), max_size=50)
        pools.register(config.alias, config)

        async def first() -> Any:
            async with pools[config.alias].acquire() as client:
                return client

        clients = await asyncio.gather(*(first() for _ in range(50)))
        assert len(set(map(id, clients))) == 1
        assert pools[config.alias].stats().connected == 1
        assert proxy.accepted <= 3, "the client's, and those of its monitor"
        await pools.remove(config.alias)


class TestKilled:
    async def test_nobody_notices_that_all_idle_sockets_were_killed(self, url: str) -> None:
        """Scenario 18: zero errors to callers: the driver repeats what may be repeated."""
        async with (
            Proxy(*address(url)) as proxy,
            mongodb_pool(through(proxy, url), max_size=10) as pool,
        ):
            await asyncio.gather(*(find(pool) for _ in range(30)))
            killed = proxy.accepted
            proxy.drop()
            await asyncio.gather(*(find(pool) for _ in range(50)))
            await pool.run(lambda db: db.things.insert_one({"_id": "after"}))
            await pool.run(lambda db: db.things.delete_one({"_id": "after"}))
            assert proxy.accepted > killed
            assert pool.stats().lost == 0

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(self, url: str) -> None:
        """Scenario 19, where the driver is told to repeat nothing."""
        settings = {"max_size": 4, "max_connecting": 4, "options": {"retryReads": False}}
        async with (
            Proxy(*address(url)) as proxy,
            mongodb_pool(through(proxy, url), **settings) as pool,
        ):

            async def four_open() -> bool:
                await asyncio.gather(*(find(pool) for _ in range(4)))
                return bool(pool.stats().sockets.open == 4)

            await eventually(four_open)

            async def hold() -> None:
                async with pool.acquire() as client:
                    await client.shop.things.find_one({})

            proxy.fall_silent()
            holders = [asyncio.create_task(hold()) for _ in range(4)]

            async def all_in_use() -> bool:
                return bool(pool.stats().sockets.in_use == 4)

            await eventually(all_in_use)
            proxy.drop()
            proxy.speak()
            errors = await asyncio.gather(*holders, return_exceptions=True)
            assert all(isinstance(error, AutoReconnect) for error in errors)
            assert pool.in_use == 0
            await all_can_be_held(pool)

    async def test_the_client_is_checked_after_such_an_error_and_stays(self, url: str) -> None:
        async with mongodb_pool(url, check_after=60.0) as pool:
            async with pool.acquire() as client:
                pass
            with pytest.raises(AutoReconnect):
                async with pool.acquire():
                    raise AutoReconnect("a holder's")
            async with pool.acquire() as again:
                assert again is client
            assert pool.stats().lost == 0


async def test_a_server_killed_under_load_and_started_again(url: str, services: Any) -> None:
    """Scenario 20: recovers, no permanent loss of slots."""
    settings = {
        "max_size": 8,
        "acquire_timeout": 0.5,
        "connect_timeout": 0.5,
        "check_timeout": 0.2,
        "breaker": Breaker(failures=3, reset=0.5),
    }
    async with mongodb_pool(url, **settings) as pool:
        with heard(pool.alias) as events:
            async with Load(lambda: find(pool), tasks=20) as load:
                await load.until(answers=100)
                assert not load.errors
                await asyncio.to_thread(services.kill, "mongodb")
                await load.until(errors=100)
                assert len(events.connect_errors) < 30
                await asyncio.to_thread(services.restart, "mongodb")
                await load.until(answers=100)
        # An outage, whether met inside an operation or on the way to one: never "not found".
        assert all(isinstance(error, BackendUnavailable | PoolTimeout) for error in load.errors)
        await all_can_be_held(pool)
        assert pool.in_use == 0


class TestBlackHole:
    """Scenario 22: a network that swallows everything, without a word."""

    async def test_a_check_ends_at_its_timeout(self, url: str) -> None:
        async with Proxy(*address(url)) as proxy:
            settings = {"check_after": 0.0, "check_timeout": 0.2, "connect_timeout": 60.0}
            async with mongodb_pool(through(proxy, url), **settings) as pool:
                await pool.ping()
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(find(pool))
                    await events.until(lambda: events.closed_because == ["lost"])
                    assert pool.stats().lost == 1
                    proxy.speak()
                assert await asking is None
                await all_can_be_held(pool)

    async def test_a_connect_ends_at_its_timeout(self, url: str) -> None:
        async with Proxy(*address(url)) as proxy:
            proxy.fall_silent()
            settings = {"connect_timeout": 0.2, "breaker": None}
            async with mongodb_pool(through(proxy, url), **settings) as pool:
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(find(pool))
                    await events.until(lambda: events.connect_errors)
                    proxy.speak()
                assert await asking is None

    async def test_an_operation_ends_where_the_driver_is_told_when(self, url: str) -> None:
        async with Proxy(*address(url)) as proxy:
            query = "&timeoutMS=200"
            async with mongodb_pool(through(proxy, url) + query, check_after=60.0) as pool:
                await find(pool)
                proxy.fall_silent()
                with pytest.raises(BackendUnavailable):
                    await find(pool)
                assert pool.in_use == 0
                proxy.speak()


class TestOutage:
    """Scenario 41: an outage is never "not found"."""

    OPERATIONS: ClassVar[dict[str, Any]] = {
        "get": lambda db: db.things.find_one({"_id": "x"}),
        "exists": lambda db: db.things.count_documents({"_id": "x"}, limit=1),
        "delete": lambda db: db.things.delete_one({"_id": "x"}),
        "insert": lambda db: db.things.insert_one({"_id": "x"}),
    }

    @pytest.mark.parametrize("name", OPERATIONS)
    async def test_before_anything_was_connected(self, name: str) -> None:
        url = f"mongodb://127.0.0.1:{free_port()}/shop"
        settings = {"breaker": None, "acquire_timeout": 0.2}
        async with mongodb_pool(url, **settings) as pool:
            with pytest.raises((BackendUnavailable, PoolTimeout)):
                await pool.run(self.OPERATIONS[name])

    async def test_of_a_server_that_was_there(self, url: str, services: Any) -> None:
        settings = {"check_after": 60.0, "connect_timeout": 0.3, "check_timeout": 0.3}
        async with mongodb_pool(url, **settings, acquire_timeout=1.0) as pool:
            await find(pool)
            await asyncio.to_thread(services.kill, "mongodb")
            for operation in self.OPERATIONS.values():
                with pytest.raises((BackendUnavailable, PoolTimeout)):
                    await pool.run(operation)
            with pytest.raises((ConnectionFailure, PoolError)):
                async with pool.database() as db:
                    await db.things.find_one({})


class TestWhoIsWho:
    """Scenario 37: aliases that differ in one thing share nothing."""

    async def test_passwords(self, url: str) -> None:
        wrong = url.replace(f":{urlsplit(url).password}@", ":wrong@")
        async with mongodb_pool(url) as good, mongodb_pool(wrong) as bad:
            assert await good.ping() > 0
            with pytest.raises(BackendUnavailable, match="OperationFailure"):
                await bad.acquire()

    async def test_sizes(self, url: str) -> None:
        async with mongodb_pool(url, max_size=1) as small, mongodb_pool(url, max_size=3) as large:
            held = [await small.acquire(), *[await large.acquire() for _ in range(3)]]
            for pool in (small, large):
                with pytest.raises(PoolTimeout):
                    await pool.acquire(timeout=0)
            assert held[0].connection is not held[1].connection
            sizes = [each.connection.options.pool_options.max_pool_size for each in held[:2]]
            assert sizes == [1, 3]
            for lease in held:
                lease.release()

    async def test_tls(self, url: str) -> None:
        """The server speaks none: what is not encrypted never serves who wants it to be."""
        async with mongodb_pool(url) as plain, mongodb_pool(f"{url}&tls=true") as secure:
            assert await plain.ping() > 0
            with pytest.raises(PoolError):
                await secure.acquire(timeout=0.5)

    async def test_a_changed_password_makes_a_new_client(self, url: str) -> None:
        pools.register("changing", config_of(MONGODB, url, alias="changing"))
        assert await pools["changing"].ping() > 0
        await pools.remove("changing")
        wrong = url.replace(f":{urlsplit(url).password}@", ":wrong@")
        async with mongodb_pool(wrong, alias="changing") as pool:
            with pytest.raises(BackendUnavailable):
                await pool.acquire()


PASSWORD = "p@ss/w#rd:1%2"


class TestSecrets:
    """Scenario 39: a password with ``@ / # : %`` is shown nowhere."""

    @pytest.fixture
    async def keeper(self, mongodb_url: str) -> AsyncIterator[str]:
        async with outsider(mongodb_url) as admin:
            await admin.admin.command("createUser", "keeper", pwd=PASSWORD, roles=["root"])
            yield "keeper"
            await admin.admin.command("dropUser", "keeper")

    def assert_hidden(self, *texts: object) -> None:
        for text in map(str, texts):
            for form in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "w#rd", "w%23rd"):
                assert form not in text

    async def test_of_a_pool_that_works(
        self, url: str, keeper: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        host, port = address(url)
        for form in (PASSWORD, quote(PASSWORD, safe="")):
            given = f"mongodb://{keeper}:{form}@{host}:{port}/shop?authSource=admin"
            async with mongodb_pool(given) as pool:
                async with pool.acquire() as client, pool.database() as database:
                    await database.things.find_one({})
                    info = await pool.backend.server_info(client)
                    self.assert_hidden(repr(client), repr(database), repr(database.things), info)
                    self.assert_hidden(*map(repr, pool.leases()))
                self.assert_hidden(pool, repr(pool), pool.backend, pool.stats(), pools.info())
                self.assert_hidden(pool.config, repr(pool.config), pool.config.where())
                with pytest.raises(Exception, match="no such command") as error:
                    await pool.run(lambda db: db.command("nonsense"))
                self.assert_hidden(*traceback.format_exception(error.value))
        self.assert_hidden(caplog.text)

    async def test_of_a_client_certificate_is_not_in_the_clients_name(self) -> None:
        """The driver's own ``repr`` would show it."""
        options = {"authMechanismProperties": f"AWS_SESSION_TOKEN:{quote(PASSWORD, safe='')}"}
        options |= {"authMechanism": "MONGODB-AWS", "authSource": "$external"}
        options |= {"username": "me", "password": PASSWORD}
        backend = MongoBackend(config_of(MONGODB, "mongodb://127.0.0.1", options=options))
        client = backend._make()
        self.assert_hidden(repr(client), repr(client.shop), repr(backend.config))

    @pytest.mark.parametrize("fault", ["password", "server"])
    async def test_of_a_pool_that_does_not(
        self, url: str, fault: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        host, port = address(url)
        where = f"{host}:{free_port() if fault == 'server' else port}"
        given = f"mongodb://nobody:{quote(PASSWORD, safe='')}@{where}/shop?authSource=admin"
        async with mongodb_pool(given, acquire_timeout=1.0) as pool:
            with heard(pool.alias) as events, pytest.raises(PoolError) as info:
                await pool.acquire()
            assert events.connect_errors
            self.assert_hidden(*events.connect_errors, pool.stats())
            self.assert_hidden(*traceback.format_exception(info.value))
        self.assert_hidden(caplog.text)


async def test_what_is_lost_comes_back_without_a_trace(url: str) -> None:
    """A pool whose client was lost again and again has one client, and as many sockets."""
    async with Proxy(*address(url)) as proxy:
        settings = {"check_after": 0.0, "check_timeout": 0.1, "connect_timeout": 1.0}
        async with mongodb_pool(through(proxy, url), **settings) as pool:
            for _ in range(3):
                await find(pool)
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(find(pool))
                    await events.until(lambda: events.lost_count == 1)
                proxy.speak()
                await asking

            async def one_left() -> bool:
                return len(proxy._writers) == 2 * 3

            await eventually(one_left)
            assert pool.stats().sockets.open == 1
