"""One upstream for all processes: who leads, what the others hear, and what happens when the leader
goes away."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels.testing import WebsocketCommunicator

from poolapp import pools
from poolapp.consumers import PooledUpstreamMixin
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.subscription import Gap
from poolapp.devservices.ports import free_port
from poolapp.integrations import fleet_relay
from poolapp.integrations.fleet_relay import subscribe_in_fleet
from tests.feed import WEBSOCKET, Feed
from tests.real import config_of, eventually, pool_of

REDIS = "poolapp.backends.redis.RedisBackend"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_relay, "LOCK_SECONDS", 0.3)


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    async with Feed() as feed:
        yield feed


@pytest.fixture
async def lock(redis_url: str) -> AsyncIterator[Any]:
    async with pool_of(config_of(REDIS, redis_url, alias="locks")) as pool:
        yield pool


@pytest.fixture
async def prices(feed: Feed) -> AsyncIterator[Any]:
    options = {"linger": 0, "reconnect": 0.02, "topic_of": "tests.integration.relaying.topic_of"}
    config = config_of(WEBSOCKET, feed.url, alias="fleet-prices", options=options)
    async with pool_of(config) as pool:
        yield pool


def joined(layer: Any, **settings: Any) -> Any:
    return subscribe_in_fleet("locks", layer, "fleet-prices", **settings)


async def told(feed: Feed, messages: Any) -> None:
    """Until what the upstream says arrives."""
    await feed.until(lambda feed: feed.open)

    async def connected() -> bool:
        return bool(messages.connected)

    await eventually(connected)


async def test_all_subscribers_of_a_process_are_one_member(
    feed: Feed, lock: Any, prices: Any
) -> None:
    layer = InMemoryChannelLayer()
    async with joined(layer) as one, joined(layer) as two, joined(layer, topic="eur") as eur:
        await told(feed, one)
        feed.tell("usd 1", "eur 2", b"eur 3")
        for each in (one, two):
            assert [await anext(each) for _ in range(3)] == ["usd 1", "eur 2", b"eur 3"]
        assert await anext(eur) == "eur 2"
        assert feed.accepted == 1
        ((group, members),) = layer.groups.items()
        assert len(members) == 1
        assert await lock.execute("EXISTS", group) == 1
    await feed.until(lambda feed: not feed.open)

    async def free() -> bool:
        return not await lock.execute("EXISTS", group) and not layer.groups

    await eventually(free)


async def test_gaps_reach_everyone(feed: Feed, lock: Any, prices: Any) -> None:
    async with joined(InMemoryChannelLayer()) as messages:
        await told(feed, messages)
        feed.tell("before")
        assert await anext(messages) == "before"
        await feed.close_all(1001)
        gap = await anext(messages)
        assert isinstance(gap, Gap)
        assert "1001" in gap.reason
        feed.tell("after")
        assert await anext(messages) == "after"


async def test_what_the_channel_layer_drops_is_a_gap(feed: Feed, lock: Any, prices: Any) -> None:
    layer = InMemoryChannelLayer(capacity=20)
    async with joined(layer) as messages:
        await told(feed, messages)
        (member,) = [each for key, each in fleet_relay._members.items() if layer in key]
        await asyncio.gather(*(member._send({"message": str(each)}) for each in range(40)))
        await member._send({"message": "last"})
        found = [await anext(messages)]
        while found[-1] != "last":
            found.append(await anext(messages))
        gaps = [each for each in found if isinstance(each, Gap)]
        assert gaps
        assert "dropped" in gaps[-1].reason


async def test_without_a_lock_nobody_leads_and_it_is_told(
    feed: Feed, prices: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    async with (
        pool_of(config_of(REDIS, url, alias="locks", acquire_timeout=0.1)),
        joined(InMemoryChannelLayer()) as messages,
    ):

        async def complained() -> bool:
            return "there is no lock" in caplog.text

        await eventually(complained)
        assert not messages.connected
        assert feed.accepted == 0


async def test_an_upstream_out_of_reach_is_tried_again(feed: Feed, lock: Any, prices: Any) -> None:
    await feed.stop()
    async with joined(InMemoryChannelLayer()) as messages:
        await eventually(lambda: refused(prices))
        await feed.start()
        await told(feed, messages)
        feed.tell("x")
        found = [await anext(messages)]
        while isinstance(found[-1], Gap):
            found.append(await anext(messages))
        assert found[-1] == "x"


async def refused(pool: Any) -> bool:
    return bool(pool.stats().connect_failed)


async def test_it_needs_a_layer_a_setting_and_topics(settings: Any, prices: Any) -> None:
    with pytest.raises(ConfigurationError, match="CHANNEL_LAYERS"):
        joined(None)
    settings.POOLAPP = {}
    with pytest.raises(ConfigurationError, match="FLEET"):
        subscribe_in_fleet(True, InMemoryChannelLayer(), "fleet-prices")
    settings.POOLAPP = {"FLEET": "locks"}
    subscribe_in_fleet(True, InMemoryChannelLayer(), "fleet-prices")
    async with pool_of(config_of(WEBSOCKET, "ws://x/", alias="plain")):
        with pytest.raises(ValueError, match="topic_of"):
            subscribe_in_fleet("locks", InMemoryChannelLayer(), "plain", topic="eur")


async def test_a_loops_end_leaves_nothing(feed: Feed, redis_url: str) -> None:
    """Nobody left the subscription before the loop ended."""
    configs = [
        config_of(REDIS, redis_url, alias="locks"),
        config_of(WEBSOCKET, feed.url, alias="fleet-prices"),
    ]
    for config in configs:
        pools.register(config.alias, config)

    async def use() -> None:
        messages = joined(InMemoryChannelLayer())
        await messages.__aenter__()

        async def connected() -> bool:
            return bool(messages.connected)

        await eventually(connected)

    for _ in range(3):
        await asyncio.to_thread(asyncio.run, use())
    await feed.until(lambda feed: feed.accepted == 3 and not feed.open)
    assert [each for each in fleet_relay._members if each[0].is_closed()] == []
    for config in configs:
        await pools.remove(config.alias)


class Prices(PooledUpstreamMixin):
    upstream = "fleet-prices"
    fleet = "locks"


async def test_consumers_relay_what_the_fleet_hears(
    feed: Feed, lock: Any, prices: Any, settings: Any
) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    browsers = [WebsocketCommunicator(Prices.as_asgi(), "/") for _ in range(3)]
    for each in browsers:
        assert (await each.connect())[0]

    async def all_are_there() -> bool:
        members = list(fleet_relay._members.values())
        return len(members) == 1 and len(members[0].audience) == 3 and members[0].connected

    await eventually(all_are_there)
    feed.tell("x")
    assert [await each.receive_from() for each in browsers] == ["x"] * 3
    assert feed.accepted == 1
    for each in browsers:
        await each.disconnect()
    await feed.until(lambda feed: not feed.open)
    assert not fleet_relay._members


# -- several processes -----------------------------------------------------------------------------


class Worker:
    """A process that subscribes, and prints what it is told; see ``relaying.py``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, question: Any) -> Any:
        assert self.process.stdout is not None
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), 20)
            assert line, "it has ended"
            told = json.loads(line)
            if question(told):
                return told


@asynccontextmanager
async def worker(feed: Feed, redis_url: str) -> AsyncIterator[Worker]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-m", "tests.integration.relaying", feed.url, redis_url),
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Worker(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def test_the_next_process_takes_over_when_the_leader_is_killed(
    feed: Feed, redis_url: str
) -> None:
    async with worker(feed, redis_url) as one, worker(feed, redis_url) as two:
        for each in (one, two):
            await each.until(lambda told: "ready" in told)
        await feed.until(lambda feed: feed.open)
        workers = {"one": one, "two": two}
        for each in workers.values():
            await each.until(lambda told: told.get("connected"))
        feed.tell("first")
        for each in workers.values():
            await each.until(lambda told: told.get("message") == "first")
        assert feed.accepted == 1
        leads = {
            name: (await each.until(lambda told: "leads" in told))["leads"]
            for name, each in workers.items()
        }
        (leader,) = [name for name, led in leads.items() if led]
        (heir,) = workers.keys() - {leader}
        workers[leader].process.send_signal(signal.SIGKILL)
        await workers[heir].until(lambda told: "took over" in told.get("gap", ""))
        await feed.until(lambda feed: feed.accepted == 2 and len(feed.open) == 1)
        feed.tell("second")
        await workers[heir].until(lambda told: told.get("message") == "second")
        assert feed.most == 1
