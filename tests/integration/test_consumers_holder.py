"""What a Channels consumer holds is known by the consumer's class and path."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels.consumer import AsyncConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.testing import ApplicationCommunicator, WebsocketCommunicator

from poolapp import PoolTimeout, pools
from poolapp.consumers import HolderMixin, PooledUpstreamMixin
from poolapp.core.work import WORK
from tests.fake import FakeServer
from tests.fake import config_of as fake_config
from tests.feed import WEBSOCKET, Feed
from tests.real import config_of, eventually, pool_of

HERE = __name__


async def who() -> str:
    async with pools["held"].acquire():
        return ", ".join(lease.holder for lease in pools["held"].leases())


class Asking(HolderMixin, AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=await who())


class AskingInATask(HolderMixin, AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        self.asking = asyncio.create_task(who())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=await self.asking)


class AskingFromAThread(HolderMixin, WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=pools.run(who))


class Unnamed(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=await who())


class Worker(HolderMixin, AsyncConsumer):
    async def count(self, message: Any) -> None:
        await self.send({"type": "counted", "by": await who()})


class Failing(HolderMixin, AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise ValueError("no")


class Keeping(HolderMixin, AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        self.lease = await pools["held"].acquire()
        await self.send(text_data="held")

    async def disconnect(self, code: int) -> None:
        self.lease.release()


class Relaying(PooledUpstreamMixin, AsyncJsonWebsocketConsumer):
    upstream = "relayed"

    async def transform(self, message: Any) -> Any:
        return {"holder": await who(), "upstream": pools["relayed"].leases()[0].holder}


@pytest.fixture
async def held() -> AsyncIterator[Any]:
    config = fake_config("held", server=FakeServer(), max_size=1, acquire_timeout=0.05)
    async with pool_of(config) as pool:
        yield pool


@contextlib.asynccontextmanager
async def browser(consumer: Any, url: str = "/") -> AsyncIterator[WebsocketCommunicator]:
    communicator = WebsocketCommunicator(consumer.as_asgi(), url)
    assert (await communicator.connect())[0]
    yield communicator
    await communicator.disconnect()


@pytest.mark.parametrize("consumer", [Asking, AskingInATask, AskingFromAThread])
async def test_a_consumer_is_named_by_its_class_and_path(held: Any, consumer: Any) -> None:
    async with browser(consumer, "/live/7/?token=s3cret") as communicator:
        await communicator.send_to(text_data="who?")
        holder = await communicator.receive_from(timeout=10)
    assert holder.startswith(f"consumer {HERE}.{consumer.__qualname__} (/live/7/), ")
    assert "s3cret" not in holder


async def test_without_the_mixin_only_the_task_is_known(held: Any) -> None:
    async with browser(Unnamed) as communicator:
        await communicator.send_to(text_data="who?")
        assert "consumer" not in await communicator.receive_from()


async def test_a_worker_s_consumer_has_no_path(held: Any) -> None:
    communicator = ApplicationCommunicator(
        Worker.as_asgi(), {"type": "channel", "channel": "counting"}
    )
    await communicator.send_input({"type": "count"})
    answer = await communicator.receive_output()
    assert answer["by"].startswith(f"consumer {HERE}.Worker, Task-")
    communicator.stop()


async def test_who_waits_in_vain_is_told_which_consumer_holds_it(held: Any) -> None:
    async with browser(Keeping, "/basket/") as communicator:
        assert await communicator.receive_from() == "held"
        with pytest.raises(PoolTimeout, match=rf"by consumer {HERE}\.Keeping \(/basket/\), "):
            await who()
    assert held.in_use == 0


async def test_a_consumer_that_raises_leaves_no_name() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None: ...

    with pytest.raises(ValueError, match="no"):
        await Failing.as_asgi()({"type": "websocket", "path": "/"}, receive, send)
    assert WORK.get() is None


async def test_the_hooks_of_a_relay_are_named_and_its_shared_upstream_is_not(held: Any) -> None:
    options = {"linger": 0, "reconnect": 0.02}
    async with (
        Feed() as feed,
        pool_of(config_of(WEBSOCKET, feed.url, alias="relayed", options=options)) as pool,
        browser(Relaying, "/prices/") as communicator,
    ):

        async def subscribed() -> bool:
            return bool(pool.subscribers)

        await eventually(subscribed)
        feed.tell(json.dumps({"n": 1}))
        told = await communicator.receive_json_from()
    assert told["holder"].startswith(f"consumer {HERE}.Relaying (/prices/), ")
    assert "consumer" not in told["upstream"], "it outlives who came first"
