"""A Redis pool behind Sentinels, and on a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from poolapp import BackendUnavailable, PoolTimeout, pools
from poolapp.core.subscription import Gap
from poolapp.devservices.ports import free_port
from tests.acceptance.test_broken_connections import Load
from tests.certificates import Authority
from tests.real import Proxy, eventually
from tests.valkey import Valkey, all_can_be_held, cluster, redis_config, redis_pool, sentinels


async def takes_for_down_after(sentinel: Valkey, milliseconds: int) -> None:
    await sentinel.admin.execute_command(
        "SENTINEL", "SET", "main", "down-after-milliseconds", milliseconds
    )


class TestSentinel:
    @pytest.fixture
    async def servers(self, tmp_path: Any) -> AsyncIterator[tuple[Valkey, Valkey, Valkey]]:
        async with sentinels(tmp_path) as servers:
            yield servers

    async def test_a_failover_is_survived(self, servers: Any) -> None:
        """kill -9 of the primary: the pool goes on with the replica that takes its place."""
        primary, replica, sentinel = servers
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0"
        settings = {"max_size": 4, "breaker": None, "acquire_timeout": 5.0}
        async with redis_pool(url, **settings) as pool, pool.subscribe("a") as messages:
            await pool.execute("SET", "k", "v")
            assert len(await primary.clients(pool.alias)) == 2  # one of them for messages

            async def ask() -> None:
                await pool.execute("SET", "k", "w")

            async with Load(ask, 8) as load:
                await load.until(answers=20)
                primary.kill()
                await load.until(errors=1)
                await takes_for_down_after(sentinel, 300)
                await load.until(answers=100)
            await takes_for_down_after(sentinel, 60_000)
            await all_can_be_held(pool)
            assert (await replica.admin.info("replication"))["role"] == "master"
            assert await replica.admin.get("k") == "w"
            assert isinstance(await anext(messages), Gap)
            await pool.publish("a", "x")
            assert (await anext(messages)).data == b"x"

    async def test_several_sentinels_of_which_one_is_dead(self, servers: Any) -> None:
        primary, _, sentinel = servers
        dead = free_port()
        for urls in (
            (f"redis+sentinel://127.0.0.1:{dead},127.0.0.1:{sentinel.port}/main",),
            (
                f"redis+sentinel://127.0.0.1:{dead}/main",
                f"redis+sentinel://127.0.0.1:{sentinel.port}/main",
            ),
        ):
            async with redis_pool(*urls) as pool:
                await pool.execute("SET", "k", "v")
                assert len(await primary.clients(pool.alias)) == 1

    async def test_replicas_may_be_read_from(self, servers: Any) -> None:
        primary, replica, sentinel = servers
        await primary.admin.set("k", "v")
        await primary.admin.wait(1, 5000)
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        async with redis_pool(url, options={"is_master": False}) as pool:
            assert await pool.execute("GET", "k") == b"v"
            assert len(await replica.clients(pool.alias)) == 1
            with pytest.raises(BackendUnavailable, match="read only"):
                await pool.execute("SET", "k", "w")
            assert await pool.execute("GET", "k") == b"v"

    async def test_an_unknown_service_is_named(self, servers: Any) -> None:
        url = f"redis+sentinel://127.0.0.1:{servers[2].port}/nothing"
        async with redis_pool(url, acquire_timeout=0.3, breaker=None) as pool:
            with pytest.raises(PoolTimeout, match="No master found for 'nothing'"):
                await pool.acquire()

    async def test_tls_to_the_server_and_not_to_the_sentinels(
        self, servers: Any, tmp_path: Any
    ) -> None:
        primary, _, sentinel = servers
        authority = Authority(tmp_path)
        async with (
            Proxy("127.0.0.1", primary.port, tls=authority.server_context()) as secure,
            Proxy("127.0.0.1", sentinel.port, tls=authority.server_context("s")) as asked,
        ):
            # It is told where the primary is, and is led to the relay in front of it.
            await sentinel.admin.execute_command("SENTINEL", "REMOVE", "main")
            await sentinel.admin.execute_command(
                "SENTINEL", "MONITOR", "main", "127.0.0.1", secure.port, 1
            )
            await takes_for_down_after(sentinel, 60_000)
            options = {"ssl_ca_certs": str(authority.file)}
            for port, sentinel_kwargs in ((sentinel.port, {"ssl": False}), (asked.port, None)):
                if sentinel_kwargs is not None:
                    options |= {"sentinel_kwargs": sentinel_kwargs}  # type: ignore[dict-item]
                else:
                    options.pop("sentinel_kwargs", None)
                url = f"rediss+sentinel://127.0.0.1:{port}/main"
                async with redis_pool(url, options=options, acquire_timeout=3.0) as pool:
                    assert await pool.execute("SET", "k", "v") is True


@pytest.fixture(scope="module")
def lasting_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Valkey]]:
    """A cluster takes two seconds to agree that it is one."""
    loop = asyncio.new_event_loop()
    made = cluster(tmp_path_factory.mktemp("cluster"))
    nodes = loop.run_until_complete(made.__aenter__())
    for node in nodes:
        loop.run_until_complete(node.admin.aclose())
    yield nodes
    for node in nodes:
        node.connect_admin()
    loop.run_until_complete(made.__aexit__(None, None, None))
    loop.close()


class TestCluster:
    @pytest.fixture
    async def nodes(self, lasting_nodes: list[Valkey]) -> AsyncIterator[list[Valkey]]:
        for node in lasting_nodes:
            node.connect_admin()
        yield lasting_nodes
        for node in lasting_nodes:
            await node.admin.flushall()
            await node.admin.aclose()

    async def test_keys_of_all_nodes(self, nodes: list[Valkey]) -> None:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}"
        async with redis_pool(url, max_size=5) as pool:
            assert pool.is_cluster
            commands = pool.commands
            await asyncio.gather(*(commands.set(f"k{n}", n) for n in range(60)))
            found = await asyncio.gather(*(pool.execute("GET", f"k{n}") for n in range(60)))
            assert found == [b"%d" % n for n in range(60)]
            assert all([await node.admin.dbsize() for node in nodes])
            # Five to each node, and one to each of LOCATION's, which is asked where the others are.
            assert pool.stats().sockets.open <= 3 * 5 + 2
            pipe = pool.pipeline(transaction=False)
            for number in range(10):
                pipe.get(f"k{number}")
            assert await pipe.execute() == [b"%d" % n for n in range(10)]
            async with pool.acquire() as client:
                assert isinstance(client, redis.asyncio.RedisCluster)
                info = await pool.backend.server_info(client)
            assert info["mode"] == "cluster"
            assert await pool.backend.health(client) == ("healthy", "")

    async def test_a_message_is_heard_on_every_node(self, nodes: list[Valkey]) -> None:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        async with redis_pool(url) as pool, pool.subscribe("a") as messages:
            for node in nodes:
                await node.admin.publish("a", node.port)
            heard = {int((await anext(messages)).data) for _ in nodes}
            assert heard == {node.port for node in nodes}

    async def test_an_outage_of_all_nodes_is_told(self, nodes: list[Valkey]) -> None:
        """Scenario 41 on a cluster: an outage is not "not found"."""
        settings = {"acquire_timeout": 0.5, "check_after": 60.0}
        async with contextlib.AsyncExitStack() as stack:
            relays = [
                await stack.enter_async_context(Proxy("127.0.0.1", each.port)) for each in nodes
            ]
            led = {node.port: relay.port for node, relay in zip(nodes, relays, strict=True)}
            options = {"address_remap": lambda where: (where[0], led.get(where[1], where[1]))}
            url = f"redis+cluster://127.0.0.1:{relays[0].port}"
            pool = await stack.enter_async_context(redis_pool(url, options=options, **settings))
            await pool.execute("SET", "k", "v")
            for relay in relays:
                await relay.__aexit__()
            for command in ("GET", "EXISTS", "DEL"):
                with pytest.raises((BackendUnavailable, PoolTimeout)):
                    await pool.execute(command, "k")

    async def test_one_node_is_enough_to_find_the_others(self, nodes: list[Valkey]) -> None:
        url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{nodes[2].port}"
        async with redis_pool(url) as pool:
            assert await pool.execute("SET", "k", "v")

    async def test_a_server_that_is_no_cluster_is_told_at_once(self, redis_url: str) -> None:
        url = redis_url.replace("redis://", "redis+cluster://").removesuffix("/0")
        async with redis_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="Cluster"):
                await pool.acquire()

    async def test_with_tls_the_context_is_made_once(
        self, nodes: list[Valkey], tmp_path: Any
    ) -> None:
        authority = Authority(tmp_path)
        async with contextlib.AsyncExitStack() as stack:
            relays = [
                await stack.enter_async_context(
                    Proxy("127.0.0.1", node.port, tls=authority.server_context(f"n{number}"))
                )
                for number, node in enumerate(nodes)
            ]
            led = {node.port: relay.port for node, relay in zip(nodes, relays, strict=True)}
            options = {
                "ssl_ca_certs": str(authority.file),
                "address_remap": lambda where: (where[0], led.get(where[1], where[1])),
            }
            url = f"rediss+cluster://127.0.0.1:{relays[0].port}"
            pool = await stack.enter_async_context(redis_pool(url, options=options))
            await asyncio.gather(*(pool.execute("SET", f"k{n}", n) for n in range(30)))
            async with pool.acquire() as client:
                sockets = client.registers[0].open()
            assert len(sockets) >= 3
            assert len({id(each.ssl_context) for each in sockets}) == 1

    async def test_loops_that_end_without_close_leave_no_socket(self, nodes: list[Valkey]) -> None:
        """Scenario 31 on a cluster."""
        config = redis_config(f"redis+cluster://127.0.0.1:{nodes[0].port}", max_size=3)
        pools.register(config.alias, config)

        async def use() -> None:
            await asyncio.gather(
                *(pools[config.alias].execute("SET", f"k{n}", n) for n in range(9))
            )

        async def look_up() -> None:
            assert pools[config.alias].size == 0

        def closed_without_a_word(main: Any) -> None:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main)
            loop.close()

        for way in (asyncio.run, closed_without_a_word):
            for _ in range(3):
                await asyncio.to_thread(way, use())
        await asyncio.to_thread(asyncio.run, look_up())

        async def gone() -> bool:
            return not any([await node.clients(config.alias) for node in nodes])

        await eventually(gone)
        await pools.remove(config.alias)
