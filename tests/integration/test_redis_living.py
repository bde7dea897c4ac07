"""A Redis client in use: sockets, losses, outages, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import redis

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from tests.acceptance.test_broken_connections import Load
from tests.real import Proxy, eventually
from tests.valkey import Valkey, all_can_be_held, redis_config, redis_pool


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def pool(server: Valkey) -> AsyncIterator[Any]:
    async with redis_pool(server.url, max_size=4) as pool:
        yield pool


async def fill(pool: Any) -> None:
    """Have as many sockets opened as there may be."""
    async with pool.acquire() as client:
        await asyncio.gather(*(client.ping() for _ in range(pool.config.max_size)))


class TestSockets:
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

    async def test_two_hundred_tasks_open_no_more_than_max_size(
        self, server: Valkey, pool: Any
    ) -> None:
        most = 0

        async def work(number: int) -> None:
            nonlocal most
            for turn in range(5):
                if turn % 2:
                    async with pool.acquire() as client:
                        await client.set(f"k{number}", turn)
                        most = max(most, pool.stats().sockets.open)
                else:
                    await pool.execute("INCR", "count")

        await asyncio.gather(*(work(number) for number in range(200)))
        assert await pool.execute("GET", "count") == b"600"
        assert 1 < most <= 4
        assert len(await server.clients(pool.alias)) <= 4
        assert pool.stats().lost == 0

    async def test_more_commands_at_once_than_sockets_are_the_holders_error(
        self, pool: Any
    ) -> None:
        async with pool.acquire() as client:
            found = await asyncio.gather(*(client.ping() for _ in range(9)), return_exceptions=True)
        assert found.count(True) == 4
        errors = [each for each in found if each is not True]
        assert all("Too many connections" in str(each) for each in errors)
        assert pool.stats().lost == 0

    async def test_sockets_are_counted(self, pool: Any) -> None:
        await pool.ping()
        async with pool.acquire() as client:
            blocked = asyncio.create_task(client.blpop(["list"], timeout=10))

            async def busy() -> bool:
                return bool(pool.stats().sockets.in_use == 1)

            await eventually(busy)
            assert pool.stats().sockets.open == 1
            await pool.execute("RPUSH", "list", "x")
            assert tuple(await blocked) == (b"list", b"x")
        assert pool.stats().sockets.in_use == 0

    async def test_a_resize_makes_a_client_with_as_many_sockets(self, pool: Any) -> None:
        await pool.ping()
        pools.resize(pool.alias, max_size=9)
        async with pool.acquire() as client:
            assert client.connection_pool.max_connections == 9

    async def test_a_client_that_its_holder_closed_still_works_for_the_next(
        self, pool: Any
    ) -> None:
        async with pool.acquire() as client:
            await client.ping()
            await client.aclose()
        assert await pool.execute("PING")

    async def test_a_command_may_block_for_longer_than_the_socket_timeout(
        self, server: Valkey
    ) -> None:
        async with redis_pool(server.url, options={"socket_timeout": 0.2}) as pool:
            async with pool.acquire() as client:
                assert await client.blpop(["nothing"], timeout=0.5) is None
                assert await client.ping()
            assert await pool.execute("BLPOP", "nothing", 0.5) is None
            assert pool.stats().lost == 0


class TestLosses:
    async def test_nobody_notices_that_all_idle_sockets_were_killed(
        self, server: Valkey, pool: Any
    ) -> None:
        """Scenario 18: all idle killed: zero errors to callers."""
        await fill(pool)
        assert await server.kill_clients(pool.alias) == 4
        await asyncio.gather(*(pool.execute("SET", f"k{n}", n) for n in range(100)))
        await asyncio.gather(*(one_by_one(pool, f"k{n}", b"%d" % n) for n in range(100)))
        assert pool.stats().timed_out == pool.stats().connect_failed == 0

    async def test_a_read_is_repeated_and_a_write_is_not(self, server: Valkey) -> None:
        """Scenario 18 and 19: only what is safe to repeat is repeated."""
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, max_size=4) as pool:
                await pool.execute("SET", "k", "v")
                for read in (
                    lambda: pool.execute("GET", "k"),
                    lambda: one_by_one(pool, "k", b"v"),
                ):
                    proxy.fall_silent()
                    reading = asyncio.create_task(read())
                    await proxy.swallowed.wait()
                    proxy.swallowed.clear()
                    proxy.drop()
                    proxy.speak()
                    assert await reading == b"v"
                proxy.fall_silent()
                writing = asyncio.create_task(pool.execute("INCR", "count"))
                await proxy.swallowed.wait()
                proxy.drop()
                proxy.speak()
                with pytest.raises(BackendUnavailable, match="may not have taken effect"):
                    await writing

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(
        self, server: Valkey, pool: Any
    ) -> None:
        """Scenario 19: killed while borrowed."""
        await fill(pool)

        async def hold() -> None:
            async with pool.acquire() as client:
                await client.blpop(["nothing"], timeout=30)

        holding = [asyncio.create_task(hold()) for _ in range(4)]

        async def blocked() -> bool:
            return (await server.admin.info("clients"))["blocked_clients"] == 4

        await eventually(blocked)
        await server.kill_clients(pool.alias)
        errors = await asyncio.gather(*holding, return_exceptions=True)
        assert {type(error) for error in errors} == {redis.exceptions.ConnectionError}
        await all_can_be_held(pool)

    async def test_a_restart_under_load_costs_no_slot(self, server: Valkey) -> None:
        """Scenario 20: kill -9 under load: recovers, no permanent loss of slots."""
        settings = {"max_size": 5, "breaker": None, "acquire_timeout": 5.0}
        async with redis_pool(server.url, **settings) as pool:

            async def ask() -> None:
                await pool.execute("SET", "k", "v")
                async with pool.acquire() as client:
                    await client.get("k")

            async with Load(ask, 20) as load:
                await load.until(answers=50)
                server.kill()
                await load.until(errors=5)
                await server.start()
                await load.until(answers=200)
            await all_can_be_held(pool)
            assert pool.stats().sockets.open <= 5
            known = (PoolError, redis.exceptions.ConnectionError)
            assert not [error for error in load.errors if not isinstance(error, known)]

    async def test_a_silent_network_ends_at_check_timeout(self, server: Valkey) -> None:
        """Scenario 22: a black-holed network ends at CHECK_TIMEOUT."""
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            settings = {"check_after": 0.0, "check_timeout": 0.2, "connect_timeout": 0.3}
            async with redis_pool(url, acquire_timeout=20.0, breaker=None, **settings) as pool:
                await pool.ping()
                proxy.fall_silent()
                waiting = asyncio.create_task(pool.execute("GET", "k"))

                async def lost() -> bool:
                    return bool(pool.stats().lost)

                await eventually(lost, within=3.0)
                proxy.speak()
                assert await waiting is None

    async def test_an_idle_socket_that_died_in_silence_costs_no_error(self, server: Valkey) -> None:
        """Scenario 22: the driver checks the sockets that the pool's check does not see."""
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            options = {"health_check_interval": 0.3, "socket_timeout": 0.2}
            async with redis_pool(url, max_size=2, check_after=60.0, options=options) as pool:
                await fill(pool)
                proxy.forget()
                async with pool.acquire() as client:
                    sockets = client.registers[0].open()

                async def due() -> bool:
                    now = asyncio.get_running_loop().time()
                    return all(now > each.next_health_check for each in sockets)

                await eventually(due)
                assert await pool.execute("INCR", "count") == 1

    async def test_a_server_that_becomes_a_replica_is_left(self, server: Valkey) -> None:
        """Scenario 21: after READONLY the sockets are made anew: the address may lead elsewhere."""
        async with redis_pool(server.url, max_size=2) as pool:
            await pool.execute("SET", "k", "v")
            before = {each["id"] for each in await server.clients(pool.alias)}
            await server.admin.replicaof("127.0.0.1", 1)
            for write in (pool.execute("SET", "k", "w"), pool.pipeline().set("k", "w").execute()):
                with pytest.raises(BackendUnavailable, match="read only replica"):
                    await write
            await server.admin.replicaof("NO", "ONE")
            assert await pool.execute("SET", "k", "w") is True
            assert not before & {each["id"] for each in await server.clients(pool.alias)}


async def one_by_one(pool: Any, key: str, expected: bytes) -> bytes:
    async with pool.acquire() as client:
        found: bytes = await client.get(key)
    assert found == expected
    return found


class TestOutage:
    async def test_an_outage_is_never_not_found(self, server: Valkey) -> None:
        """Scenario 41: get, exists and delete on a stopped server raise BackendUnavailable."""
        settings = {"acquire_timeout": 0.1, "check_after": 60.0}
        async with redis_pool(server.url, **settings) as pool:
            await pool.execute("SET", "k", "v")
            server.kill()
            for command in (("GET", "k"), ("EXISTS", "k"), ("DEL", "k"), ("HGETALL", "h")):
                with pytest.raises((BackendUnavailable, PoolTimeout)) as info:
                    await pool.execute(*command)
                assert "k" not in str(info.value).split()
            with pytest.raises((BackendUnavailable, PoolTimeout)):
                await pool.pipeline().get("k").execute()
            with pytest.raises((BackendUnavailable, PoolTimeout)):
                await pool.commands.scan()

    async def test_the_first_error_after_a_loss_says_that_the_server_was_lost(
        self, server: Valkey
    ) -> None:
        async with redis_pool(server.url, check_after=60.0) as pool:
            await pool.execute("SET", "k", "v")
            server.kill()
            with pytest.raises(BackendUnavailable, match="lost") as info:
                await pool.execute("GET", "k")
            assert isinstance(info.value.__cause__, redis.exceptions.ConnectionError)

    async def test_no_secret_is_shown_anywhere(
        self, tmp_path: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Scenario 39: for a password with ``@ / # : %``."""
        caplog.set_level(logging.DEBUG)
        password = "se@cr/e#t:1%25"
        async with Valkey(tmp_path, password=password) as server:
            url = f"redis://:{quote(password, safe='')}@127.0.0.1:{server.port}/0"
            settings = {"acquire_timeout": 0.3, "check_after": 60.0}
            async with redis_pool(url, **settings) as pool:
                async with pool.acquire() as client, pool.subscribe("x") as messages:
                    shown = [repr(client), repr(messages), repr(pool.backend)]
                server.kill()
                for _ in range(3):
                    with pytest.raises(PoolError) as info:
                        await pool.execute("GET", "k")
                    shown += [str(info.value), repr(info.value), str(info.value.__cause__)]
                shown += [repr(pool), repr(pool.config), json.dumps(pool.stats().as_dict())]
        for text in (*shown, caplog.text):
            for form in (password, quote(password, safe=""), quote(password)):
                assert form not in text


class TestEnding:
    async def test_aborting_cuts_the_commands_under_way_and_none_comes_back(
        self, server: Valkey
    ) -> None:
        config = redis_config(server.url, max_size=3)
        pools.register(config.alias, config)
        pool = pools[config.alias]

        async def hold() -> None:
            async with pool.acquire() as client:
                await client.blpop(["nothing"], timeout=30)

        holding = asyncio.create_task(hold())

        async def blocked() -> bool:
            return (await server.admin.info("clients"))["blocked_clients"] == 1

        await eventually(blocked)
        kept = (await pool.acquire()).connection
        await pool.close(timeout=0)
        with pytest.raises(redis.exceptions.ConnectionError):
            await holding
        with pytest.raises(redis.exceptions.ConnectionError, match="closed by its pool"):
            await kept.ping()
        await pools.remove(config.alias)

        async def gone() -> bool:
            return not await server.clients(config.alias)

        await eventually(gone)

    def test_loops_that_end_without_close_leave_no_socket(self, redis_url: str) -> None:
        """Scenario 31: 20 x asyncio.run with no growth in the server's connections."""
        config = redis_config(redis_url, max_size=3)
        pools.register(config.alias, config)

        async def use() -> int:
            pool = pools[config.alias]
            await fill(pool)
            async with pool.subscribe("x"):
                await pool.execute("PING")
            return sum(
                each["name"].startswith(f"poolapp:{config.alias}:")
                for each in await pool.commands.client_list()
            )

        try:
            assert max(asyncio.run(use()) for _ in range(20)) <= 4
        finally:
            asyncio.run(pools.remove(config.alias))
        assert not [pool for pool in pools.all(initialized_only=True) if pool.alias == config.alias]

    def test_loops_that_are_closed_without_a_word_leave_no_socket(self, redis_url: str) -> None:
        """Scenario 31, where nothing runs at the loop's end: the next look-up drops the sockets."""
        config = redis_config(redis_url, max_size=3)
        pools.register(config.alias, config)

        async def use() -> None:
            await fill(pools[config.alias])
            # Nobody leaves this one.
            await pools[config.alias].subscribe("x").__aenter__()

        async def count() -> int:
            found = await pools[config.alias].commands.client_list()
            return sum(each["name"].startswith(f"poolapp:{config.alias}:") for each in found)

        for _ in range(20):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(use())
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
        try:
            assert asyncio.run(count()) <= 1
        finally:
            asyncio.run(pools.remove(config.alias))


class TestAsking:
    async def test_the_server_tells_its_version_and_its_limits(self, pool: Any) -> None:
        async with pool.acquire() as client:
            info = await pool.backend.server_info(client)
            assert await pool.backend.health(client) == ("healthy", "")
        assert info["server"] in ("redis", "valkey")
        assert info["version"].split(".")[0].isdigit()
        assert info["mode"] == "standalone"
        assert info["connected_clients"] >= 1
        assert info["max_clients"] > 10
