"""The live feed that the development services bring."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus


@pytest.fixture
def url(server_urls: dict[str, str]) -> str:
    return server_urls["feed"]


async def heard(connection: ClientConnection, topic: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["topic"] == topic:
                return message


async def test_it_tells_the_machines_load(url: str) -> None:
    async with connect(url) as client:
        load = await heard(client, "load")
    assert 0 <= load["cpu"] <= 100
    assert 0 < load["memory"] <= 100
    assert load["one_minute"] >= 0


async def test_what_one_says_all_hear(url: str) -> None:
    async with connect(url) as one, connect(url) as other:
        await one.send('{"topic": "test-one", "text": "hello"}')
        assert (await heard(other, "test-one"))["text"] == "hello"
        assert (await heard(one, "test-one"))["text"] == "hello"


async def test_who_only_publishes_hears_nothing(url: str) -> None:
    async with connect(url) as listener, connect(f"{url}publish") as publisher:
        await publisher.send('{"topic": "test-publish"}')
        await heard(listener, "test-publish")
        await heard(listener, "load")
        pong = await publisher.ping()
        await pong
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(publisher.recv(), timeout=0.001)


@pytest.mark.parametrize("message", ["garbage", "[]", '{"text": "no topic"}', b"\xff\x00"])
async def test_what_is_no_message_ends_its_sender_alone(url: str, message: str | bytes) -> None:
    async with connect(url) as good, connect(url) as bad:
        await bad.send(message)
        with pytest.raises(ConnectionClosedError) as caught:
            async for _ in bad:
                pass
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1003
        await heard(good, "load")


async def test_a_wrong_password_is_refused(url: str) -> None:
    parts = urlsplit(url)
    wrong = urlunsplit(parts._replace(netloc=f"poolapp:wrong@{parts.hostname}:{parts.port}"))
    with pytest.raises(InvalidStatus) as caught:
        async with connect(wrong):
            pass
    assert caught.value.response.status_code == 401
