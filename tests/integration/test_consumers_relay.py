"""PooledUpstreamMixin: what browsers get of an upstream, and what ends with their consumers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.sessions import SessionMiddlewareStack
from channels.testing import WebsocketCommunicator
from django.urls import path

from poolapp.consumers import PooledUpstreamMixin
from poolapp.core.subscription import Gap
from poolapp.devservices.ports import free_port
from tests.feed import WEBSOCKET, Feed
from tests.real import config_of, eventually, pool_of


class Bytes(PooledUpstreamMixin, AsyncWebsocketConsumer):
    upstream = "relayed"


class Json(PooledUpstreamMixin, AsyncJsonWebsocketConsumer):
    upstream = "relayed"


class Chosen(Json):
    """Even numbers, doubled; gaps as messages of its own."""

    async def filter(self, message: Any) -> bool:
        return bool(message["n"] % 2 == 0)

    async def transform(self, message: Any) -> Any:
        return {"n": message["n"] * 2}

    async def on_gap(self, gap: Gap) -> None:
        await self.send_json({"gap": gap.reason})


class ByPath(Json):
    async def connect(self) -> None:
        self.topic = self.scope["url_route"]["kwargs"]["symbol"]
        await self.accept()


class Refusing(Json):
    async def connect(self) -> None:
        await self.close()


class Broken(Json):
    async def transform(self, message: Any) -> Any:
        raise RuntimeError("no")


def first_word(message: Any) -> Any:
    return message.split()[0]


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    async with Feed() as feed:
        yield feed


@pytest.fixture
async def pool(feed: Feed) -> AsyncIterator[Any]:
    options = {"linger": 0, "reconnect": 0.02, "topic_of": first_word}
    async with pool_of(config_of(WEBSOCKET, feed.url, alias="relayed", options=options)) as pool:
        yield pool


@contextlib.asynccontextmanager
async def browser(
    consumer: Any, pool: Any, *, url: str = "/"
) -> AsyncIterator[WebsocketCommunicator]:
    application = consumer.as_asgi() if isinstance(consumer, type) else consumer
    communicator = WebsocketCommunicator(application, url)
    before = pool.subscribers
    assert (await communicator.connect())[0]

    async def subscribed() -> bool:
        return bool(pool.subscribers == before + 1)

    await eventually(subscribed)
    yield communicator
    await communicator.disconnect()


async def test_many_browsers_share_one_upstream(feed: Feed, pool: Any) -> None:
    async with browser(Bytes, pool) as one, browser(Json, pool) as two:
        feed.tell("not { json", b"bytes")
        for each in (one, two):
            assert await each.receive_from() == "not { json"
            assert await each.receive_from() == b"bytes"
        assert feed.accepted == 1
    assert pool.subscribers == 0
    await feed.until(lambda feed: not feed.open)


async def test_hooks_choose_and_change(feed: Feed, pool: Any) -> None:
    async with browser(Chosen, pool) as chosen:
        feed.tell(*(json.dumps({"n": each}) for each in range(5)))
        assert [await chosen.receive_json_from() for _ in range(3)] == [
            {"n": 0},
            {"n": 4},
            {"n": 8},
        ]


async def test_browsers_are_told_of_gaps(feed: Feed, pool: Any) -> None:
    async with browser(Chosen, pool) as chosen:
        await feed.close_all(1001)
        assert "1001" in (await chosen.receive_json_from())["gap"]
        feed.tell('{"n": 2}')
        assert await chosen.receive_json_from() == {"n": 4}


async def test_garbage_costs_a_message_not_the_browser(
    feed: Feed, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(Chosen, pool) as chosen:
        feed.tell("no json", '{"n": 2}')
        assert await chosen.receive_json_from() == {"n": 4}
    assert "no JSON" in caplog.text


async def test_topics_by_route_and_behind_middleware(feed: Feed, pool: Any) -> None:
    routes = URLRouter([path("prices/<symbol>", ByPath.as_asgi())])
    async with browser(SessionMiddlewareStack(routes), pool, url="/prices/eur") as eur:
        feed.tell("usd 1", "eur 2")
        assert await eur.receive_from() == "eur 2"


async def test_a_consumer_that_refuses_subscribes_to_nothing(feed: Feed, pool: Any) -> None:
    communicator = WebsocketCommunicator(Refusing.as_asgi(), "/")
    assert not (await communicator.connect())[0]
    await communicator.disconnect()
    assert feed.accepted == 0


async def test_a_hook_that_fails_closes_the_browser(
    feed: Feed, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with browser(Broken, pool) as broken:
        feed.tell("{}")
        assert await broken.receive_output() == {"type": "websocket.close", "code": 4011}
        await eventually(lambda: unsubscribed(pool))
    assert "RuntimeError: no" in caplog.text


async def unsubscribed(pool: Any) -> bool:
    return bool(pool.subscribers == 0)


async def test_an_upstream_out_of_reach_closes_the_browser() -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    async with pool_of(config_of(WEBSOCKET, url, alias="relayed", acquire_timeout=0.1)):
        communicator = WebsocketCommunicator(Json.as_asgi(), "/")
        assert (await communicator.connect())[0]
        assert await communicator.receive_output() == {"type": "websocket.close", "code": 4013}
        await communicator.disconnect()


async def test_closing_the_pool_closes_the_browser(feed: Feed, pool: Any) -> None:
    async with browser(Json, pool) as one:
        await pool.close()
        assert await one.receive_output() == {"type": "websocket.close", "code": 4001}


async def test_a_cancelled_consumer_leaves_nothing(feed: Feed, pool: Any) -> None:
    """As Daphne does on SIGTERM: ``disconnect`` is never called."""
    communicator = WebsocketCommunicator(Json.as_asgi(), "/")
    assert (await communicator.connect())[0]
    await eventually(lambda: subscribed_once(pool))
    consumer = communicator.future
    consumer.cancel()
    await asyncio.wait([consumer])
    assert pool.subscribers == 0
    await feed.until(lambda feed: feed.goodbyes == [1000])
    assert [each for each in asyncio.all_tasks() if "_relay" in repr(each.get_coro())] == []


async def subscribed_once(pool: Any) -> bool:
    return bool(pool.subscribers == 1)


class Gated:
    """An ASGI server whose ``send`` waits while the browser takes nothing."""

    def __init__(self, consumer: Any) -> None:
        self.sent: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        scope = {"type": "websocket", "path": "/", "headers": []}
        self.task = asyncio.ensure_future(consumer(scope, self._inbox.get, self._send))

    async def _send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            await self.open.wait()
        self.sent.append(message)

    @property
    def texts(self) -> list[Any]:
        return [each["text"] for each in self.sent if "text" in each]

    async def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "disconnect"])
async def test_a_slow_browser_costs_only_itself(feed: Feed, pool: Any, policy: Any) -> None:
    slow = Gated(type("Short", (Json,), {"limit": 10, "policy": policy}).as_asgi())
    await eventually(lambda: subscribed_once(pool))
    slow.open.clear()
    async with browser(Json, pool) as quick:
        for number in range(100):
            feed.tell(str(number))
            assert await quick.receive_from() == str(number)
        slow.open.set()

        async def done() -> bool:
            return len(slow.texts) == (1 if policy == "disconnect" else 11)

        await eventually(done)
        expected = {
            "drop_oldest": range(90, 100),
            "drop_newest": range(1, 11),
            "disconnect": range(0),
        }[policy]
        assert slow.texts == [str(each) for each in (0, *expected)]
        if policy == "disconnect":
            await eventually(lambda: closed(slow))
        else:
            feed.tell("last")
            assert await quick.receive_from() == "last"
    await slow.leave()
    assert pool.subscribers == 0


async def closed(server: Gated) -> bool:
    return server.sent[-1] == {"type": "websocket.close", "code": 4008}


async def test_a_browser_that_has_gone_ends_quietly(
    feed: Feed, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn's ``send`` raises an OSError then."""
    gone = Gated(Json.as_asgi())

    async def fail(message: Any) -> None:
        raise OSError("gone")

    await eventually(lambda: subscribed_once(pool))
    gone._send = fail  # type: ignore[method-assign]
    pool_messages = next(iter(pool._upstream.audience.everyone()))
    consumer = gone.task.get_coro().cr_frame.f_locals["consumer"]  # type: ignore[attr-defined]
    consumer.base_send = fail
    feed.tell("x")
    await eventually(lambda: unsubscribed(pool))
    assert not pool_messages.connected
    await gone.leave()
    assert "Traceback" not in caplog.text
