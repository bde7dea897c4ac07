"""channels_redis' layer on the connections of an alias, between tasks, loops and processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from channels_redis.core import RedisChannelLayer as ChannelsRedisLayer
from django.test import override_settings

from poolapp import BackendUnavailable, InvalidPoolError, PoolTimeout, pools
from poolapp.channel_layer import RedisChannelLayer
from tests.real import eventually, postgres_config
from tests.valkey import Valkey, redis_config, redis_pool


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def pool(server: Valkey) -> AsyncIterator[Any]:
    async with redis_pool(server.url, max_size=4) as pool:
        yield pool


async def test_messages_reach_a_channel_and_a_group(pool: Any) -> None:
    layer = RedisChannelLayer(pool=pool.alias)
    one, other = await layer.new_channel(), await layer.new_channel()
    await layer.send(one, {"type": "hello"})
    assert await layer.receive(one) == {"type": "hello"}
    for channel in (one, other):
        await layer.group_add("group", channel)
    await layer.group_send("group", {"type": "all", "data": b"\xff"})
    assert [await layer.receive(each) for each in (one, other)] == (
        [{"type": "all", "data": b"\xff"}] * 2
    )
    await layer.group_discard("group", other)
    await layer.group_send("group", {"type": "one"})
    assert await layer.receive(one) == {"type": "one"}
    await layer.flush()
    await layer.close_pools()
    assert await pool.execute("DBSIZE") == 0


async def test_it_is_what_channel_layers_says(pool: Any) -> None:
    config = {"pool": pool.alias, "capacity": 2, "prefix": "site"}
    layers = {
        "default": {"BACKEND": "poolapp.channel_layer.RedisChannelLayer", "CONFIG": config},
    }
    with override_settings(CHANNEL_LAYERS=layers):
        layer: Any = get_channel_layer()
        assert isinstance(layer, RedisChannelLayer)
        assert layer.prefix == "site"
        await layer.send("worker", {"type": "a"})
        await layer.send("worker", {"type": "b"})
        with pytest.raises(ChannelFull):
            await layer.send("worker", {"type": "c"})
        assert [(await layer.receive("worker"))["type"] for _ in range(2)] == ["a", "b"]
        assert pool.alias in str(layer)


async def test_it_understands_channels_redis_by_itself(server: Valkey, pool: Any) -> None:
    """Processes may change over one after the other."""
    theirs = ChannelsRedisLayer(hosts=[server.url])
    ours = RedisChannelLayer(pool=pool.alias)
    for sender, receiver in ((theirs, ours), (ours, theirs)):
        channel = await receiver.new_channel()
        await receiver.group_add("g", channel)
        await sender.group_send("g", {"type": "x", "n": 1})
        assert await receiver.receive(channel) == {"type": "x", "n": 1}
        await receiver.group_discard("g", channel)
    await theirs.close_pools()


async def test_many_consumers_use_no_more_connections_than_the_alias_may(
    server: Valkey, pool: Any
) -> None:
    layer = RedisChannelLayer(pool=pool.alias)
    channels = [await layer.new_channel() for _ in range(50)]
    await asyncio.gather(*(layer.group_add("g", channel) for channel in channels))
    receiving = [asyncio.create_task(layer.receive(channel)) for channel in channels]
    await layer.group_send("g", {"type": "x"})
    assert await asyncio.gather(*receiving) == [{"type": "x"}] * 50
    assert len(await server.clients(pool.alias)) <= 4


async def test_a_consumer_that_goes_gives_its_connection_back(server: Valkey, pool: Any) -> None:
    layer = RedisChannelLayer(pool=pool.alias)
    receiving = asyncio.create_task(layer.receive(await layer.new_channel()))

    async def blocked() -> bool:
        return (await server.admin.info("clients"))["blocked_clients"] == 1

    await eventually(blocked)
    assert pool.in_use == 1
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    assert pool.in_use == 0

    async def freed() -> bool:
        return not await blocked()

    await eventually(freed)


async def test_loops_that_come_and_go_leave_no_connection(server: Valkey) -> None:
    """Each ``async_to_sync`` has a loop of its own: what channels_redis opens there, it keeps."""
    config = redis_config(server.url, max_size=4)
    pools.register(config.alias, config)
    layer = RedisChannelLayer(pool=config.alias)
    channel = await layer.new_channel()
    await layer.group_add("g", channel)

    async def tell(number: int) -> None:
        await layer.group_send("g", {"type": "x", "number": number})

    for number in range(20):
        await asyncio.to_thread(asyncio.run, tell(number))
    assert [(await layer.receive(channel))["number"] for _ in range(20)] == list(range(20))

    async def only_this_loops() -> bool:
        return len(await server.clients(config.alias)) <= 2

    await eventually(only_this_loops)
    await pools.remove(config.alias)


async def test_short_lived_loops_may_use_the_connections_of_the_process_s_own(
    server: Valkey,
) -> None:
    async with redis_pool(server.url, max_size=4, loops="shared") as pool:
        layer = RedisChannelLayer(pool=pool.alias)
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        for _ in range(5):
            await asyncio.to_thread(asyncio.run, layer.group_send("g", {"type": "x"}))
        assert [await layer.receive(channel) for _ in range(5)] == [{"type": "x"}] * 5
        found = [each.connected for each in pools.info() if each.alias == pool.alias]
        assert sorted(found) == [0, 1]


OTHER_PROCESS = """
import asyncio, sys
from poolapp import PoolConfig, pools
from poolapp.channel_layer import RedisChannelLayer
from poolapp.core.config import Location

pools.register("cache", PoolConfig(
    alias="cache", backend="poolapp.backends.redis.RedisBackend",
    locations=(Location.parse(sys.argv[1]),),
))

async def main():
    layer = RedisChannelLayer(pool="cache")
    channel = await layer.new_channel()
    await layer.group_add("both", channel)
    await layer.group_send("both", {"type": "ready"})
    while True:
        message = await layer.receive(channel)
        if message["type"] == "question":
            await layer.group_send("both", {"type": "answer", "to": message["text"]})
            return

asyncio.run(main())
"""


async def test_groups_reach_other_processes(server: Valkey, pool: Any) -> None:
    layer = RedisChannelLayer(pool=pool.alias)
    channel = await layer.new_channel()
    await layer.group_add("both", channel)
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", OTHER_PROCESS, server.url, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(30):
        assert await layer.receive(channel) == {"type": "ready"}
        await layer.group_send("both", {"type": "question", "text": "who?"})
        heard = [await layer.receive(channel) for _ in range(2)]
        assert {"type": "answer", "to": "who?"} in heard
        _, said = await other.communicate()
    assert (other.returncode, said) == (0, b"")


async def test_an_outage_is_told_and_survived(server: Valkey) -> None:
    settings = {"acquire_timeout": 0.3, "breaker": None}
    async with redis_pool(server.url, **settings) as pool:
        layer = RedisChannelLayer(pool=pool.alias)
        channel = await layer.new_channel()
        await layer.send(channel, {"type": "before"})
        server.kill()
        with pytest.raises((BackendUnavailable, PoolTimeout)):
            await layer.send(channel, {"type": "lost"})
        await server.start()

        async def works() -> bool:
            try:
                await layer.send(channel, {"type": "after"})
            except (BackendUnavailable, PoolTimeout):
                return False
            return True

        await eventually(works)
        assert await layer.receive(channel) == {"type": "after"}


class TestSettings:
    def test_hosts_stand_in_pools(self) -> None:
        with pytest.raises(InvalidPoolError, match="remove 'hosts'"):
            RedisChannelLayer(pool="cache", hosts=["redis://host"])

    async def test_an_unknown_alias_is_named(self) -> None:
        with pytest.raises(InvalidPoolError, match="no pool 'nothing'"):
            await RedisChannelLayer(pool="nothing").send("a", {"type": "x"})

    async def test_an_alias_of_another_kind_is_refused(self, postgres_url: str) -> None:
        config = postgres_config(postgres_url)
        pools.register(config.alias, config)
        with pytest.raises(InvalidPoolError, match="no Redis alias"):
            await RedisChannelLayer(pool=config.alias).send("a", {"type": "x"})
        await pools.remove(config.alias)

    async def test_an_alias_that_decodes_is_refused(self, server: Valkey) -> None:
        options = {"decode_responses": True}
        async with redis_pool(server.url, options=options) as pool:
            with pytest.raises(InvalidPoolError, match="decode_responses"):
                await RedisChannelLayer(pool=pool.alias).send("a", {"type": "x"})

    async def test_a_cluster_is_refused(self) -> None:
        async with redis_pool("redis+cluster://127.0.0.1:1") as pool:
            with pytest.raises(InvalidPoolError, match="one server"):
                await RedisChannelLayer(pool=pool.alias).send("a", {"type": "x"})
