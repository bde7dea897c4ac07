"""One upstream, thousands of browsers, on a real Daphne."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.acceptance.servers.processes import Process, started
from tests.acceptance.test_servers import BAD_WORDS, THEIR_OWN
from tests.feed import Feed
from tests.real import eventually

BROWSERS = 2000
FILES = 2 * BROWSERS + 500
KNOCKING_AT_ONCE = 50

HANDSHAKE = (
    "GET /prices HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Browser(asyncio.Protocol):
    """Keeps every byte that comes behind the handshake: a WebSocket library would need most of the
    time of this test for itself."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._head = b""
        self.received = bytearray()
        self.let_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted = 0
        self._enough: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(HANDSHAKE.format(host=self._host).encode())

    def data_received(self, data: bytes) -> None:
        if self.let_in.done():
            self.received += data
        else:
            self._head += data
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self.received += rest
            self.let_in.set_result(None)
        if self._enough is not None and len(self.received) >= self._wanted:
            self._enough.set_result(None)
            self._enough = None

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    async def until(self, size: int) -> None:
        """So many bytes have come in all."""
        if len(self.received) < size:
            self._wanted = size
            self._enough = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(60):
                await self._enough


def frame(text: str) -> bytes:
    """As a server sends it."""
    data = text.encode()
    if len(data) < 126:
        return bytes([0x81, len(data)]) + data
    if len(data) < 65536:
        return b"\x81\x7e" + len(data).to_bytes(2) + data
    return b"\x81\x7f" + len(data).to_bytes(8) + data


@asynccontextmanager
async def browsers(process: Process, count: int) -> AsyncIterator[list[Browser]]:
    """So many that are let in and subscribed."""
    parts = urlsplit(process.url)
    loop = asyncio.get_running_loop()
    at_once = asyncio.Semaphore(KNOCKING_AT_ONCE)

    async def come() -> Browser:
        async with at_once:
            _, browser = await loop.create_connection(
                lambda: Browser(parts.netloc), parts.hostname, parts.port
            )
            await browser.let_in
            return browser

    found = await asyncio.gather(*(come() for _ in range(count)))
    try:
        await subscribers(process, count)
        yield found
    finally:
        for each in found:
            each.transport.abort()
        await asyncio.gather(*(each.gone for each in found))


async def asked(process: Process) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{process.url}/ready") as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


async def subscribers(process: Process, count: int) -> None:
    async def there() -> bool:
        return bool((await asked(process))["subscribers"] == count)

    await eventually(there, within=30)


@asynccontextmanager
async def served(feed: Feed, folder: Path) -> AsyncIterator[Process]:
    environment = {"DJANGO_SETTINGS_MODULE": "relay_site.settings", "RELAY_FEED_URL": feed.url}
    quiet = ("-v", "0", "--ping-interval", "600")
    arguments = ("-m", "daphne", "relay_site.asgi:application", "--port", "{port}", *quiet)
    async with started(arguments, environment, folder, project=Path(__file__).parent) as process:
        await process.until_ready()
        yield process


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"{FILES} open files are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_two_thousand_browsers_share_one_upstream(tmp_path: Path) -> None:
    """None loses a message, in order; then a restart of the upstream costs one new socket."""
    async with (
        Feed(compression=None) as feed,
        served(feed, tmp_path) as process,
        browsers(process, BROWSERS) as everyone,
    ):
        expected = b""
        for turn in range(2):
            texts = [f"{turn}-{number:03}" for number in range(8)]
            expected += b"".join(map(frame, texts))
            feed.tell(*texts)
            await asyncio.gather(*(each.until(len(expected)) for each in everyone))
            assert {bytes(each.received) for each in everyone} == {expected}
            if not turn:
                await feed.close_all(1012)
                await feed.until(lambda feed: feed.accepted == 2 and len(feed.open) == 1)
                # It is connected again as soon as the server says so; subscribed a moment later.
                await subscribers(process, BROWSERS)
        assert feed.most == 1
        answer = await asked(process)
        assert answer["in_use"] == 1
        assert set(answer["dropped"]) == {0}


async def test_a_browser_that_does_not_read_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    text = "x" * 65000
    rounds, each_round = 32, 20
    async with (
        Feed(compression=None) as feed,
        served(feed, tmp_path) as process,
        browsers(process, 3) as (slow, *quick),
    ):
        slow.transport.pause_reading()
        before = 0
        size = 0
        for turn in range(rounds):
            feed.tell(*[text] * each_round)
            size += each_round * len(frame(text))
            await asyncio.gather(*(each.until(size) for each in quick))
            if turn == rounds // 4:  # what is waiting for the slow one is full by now
                before = (await asked(process))["memory"]
        answer = await asked(process)
        none, neither, some = answer["dropped"]
        assert none == neither == 0
        assert some > rounds * each_round // 4
        sent_since = size * 3 // 4
        assert answer["memory"] - before < sent_since // 2
        slow.transport.resume_reading()
        feed.tell("last")
        last = frame("last")
        for each in quick:
            await each.until(size + len(last))

        async def caught_up() -> bool:
            return slow.received.endswith(last)

        await eventually(caught_up)


async def test_sigterm_with_two_hundred_open(tmp_path: Path) -> None:
    """Their consumers are cancelled, the upstream gets its goodbye, nothing is complained of."""
    async with Feed() as feed, served(feed, tmp_path) as process:
        async with browsers(process, 200) as everyone:
            feed.tell("hello")
            await asyncio.gather(*(each.until(len(frame("hello"))) for each in everyone))
            process.terminate()
            assert await process.end() == 0
            await asyncio.gather(*(each.gone for each in everyone))
        await feed.until(lambda feed: not feed.open)
        assert feed.goodbyes == [1000]
        assert process.log.count("a consumer was cancelled\n") == 200
        log = THEIR_OWN.sub("", process.log)
        assert [word for word in BAD_WORDS if word in log] == [], log
