"""WebSockets: one upstream, whose messages go to 200 others.

The ceiling is written by hand on the library: one task reads, and ``broadcast`` writes to all
connections, without a queue for each and without waiting for any. Ours writes by ``broadcast`` as
well, to one connection, and by its ``send`` where that one's reader is behind. Beside it stand the
same with ``send`` alone, which costs the library more, and what such a relay is by hand when a slow
reader may not harm the others: a bounded queue and a task for each.

The upstream and the readers at the other end are processes of their own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location, Options
from poolapp.core.subscription import Subscription

SERVICES = ()

READERS = 200
TEXT = "x" * 100
LIMIT = 1000
BURST = 100
"""Messages that the upstream may be ahead, far below ``LIMIT``: all are to arrive."""

ALIAS = "bench-websocket"
BACKEND = "poolapp.backends.websocket.WebSocketBackend"
OPTIONS: dict[str, Any] = {"compression": None, "ping_interval": None}

OURS, BY_SEND, BROADCAST, QUEUES = "ours", "send", "broadcast", "queues"


async def run(lab: Lab) -> None:
    goals, add = lab.report.goals, lab.report.add
    goals["ws.fanout_vs_bare_websockets"] = Goal(">=", 0.8)
    shipped_observers()
    async with _upstream() as url, _contestants(url) as field:
        found = await lab.race({each.name: each.work for each in field})
    speeds = {name: [1 / value for value in seconds] for name, seconds in found.items()}
    section = lab.report.section(
        f"One upstream to {READERS} WebSockets: messages handed on per second", "of bare"
    )
    ratio = ratios(speeds[OURS], speeds[BROADCAST])
    section.rows.append(
        Row(
            "poolapp, a subscription each",
            add("ws.fanout_msgs_per_s", speeds[OURS], "msgs/s"),
            add("ws.fanout_vs_bare_websockets", ratio, "of bare"),
        )
    )
    for name, label in (
        (BY_SEND, "the same, written by send()"),
        (QUEUES, "websockets, a queue, a task and send()"),
    ):
        ratio = ratios(speeds[name], speeds[BROADCAST])
        section.rows.append(
            Row(
                label,
                add(f"ws.fanout_{name}_msgs_per_s", speeds[name], "msgs/s"),
                add(f"ws.fanout_{name}_vs_bare_websockets", ratio, "of bare"),
            )
        )
    bare = add("ws.fanout_bare_msgs_per_s", speeds[BROADCAST], "msgs/s")
    section.rows.append(Row("websockets, broadcast", bare))


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    relay: Relay
    ask: Callable[[str], Awaitable[Any]]
    """Sends the upstream a text, on the connection whose messages are relayed."""

    async def work(self, count: int) -> int:
        """Have each message handed on to all readers, until they are with the kernel."""
        turns = max(1, count // READERS)
        left = turns
        while left:
            burst = min(left, BURST)
            left -= burst
            done = self.relay.expect(burst)
            await self.ask(f"{burst}")
            await done
        return turns * READERS


class Relay:
    """A server whose connections are told what the upstream says."""

    def __init__(self) -> None:
        self.connections: set[ServerConnection] = set()
        self.complete = asyncio.Event()
        self.burst = 0
        """Messages that are on their way to each reader."""
        self._missing = 0
        self._done: asyncio.Future[None] | None = None

    def expect(self, messages: int) -> asyncio.Future[None]:
        self.burst = messages
        self._missing = READERS
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def sent(self, readers: int = 1) -> None:
        """So many have the whole burst. Told once, since to be told of each message would be a
        part of what is measured."""
        self._missing -= readers
        if not self._missing and self._done is not None:
            self._done.set_result(None)

    @asynccontextmanager
    async def joined(self, connection: ServerConnection) -> AsyncIterator[None]:
        self.connections.add(connection)
        if len(self.connections) == READERS:
            self.complete.set()
        try:
            yield
        finally:
            self.connections.discard(connection)


@asynccontextmanager
async def _contestants(url: str) -> AsyncIterator[list[Contestant]]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        yield [
            await enter(_ours(url, OURS, _by_either)),
            await enter(_ours(url, BY_SEND, _by_send)),
            await enter(_by_broadcast(url)),
            await enter(_by_queues(url)),
        ]


@asynccontextmanager
async def _ours(
    url: str,
    name: str,
    write: Callable[[Subscription, ServerConnection, Relay], Awaitable[None]],
) -> AsyncIterator[Contestant]:
    relay = Relay()
    async with _pool(url, f"{ALIAS}-{name}") as pool:

        async def handle(connection: ServerConnection) -> None:
            async with pool.subscribe(limit=LIMIT) as messages, relay.joined(connection):
                await write(messages, connection, relay)

        async with _readers(relay, handle):
            (lease,) = pool.leases()
            yield Contestant(name, relay, lease.connection.send)


async def _by_either(messages: Subscription, connection: ServerConnection, relay: Relay) -> None:
    alone, behind = (connection,), connection.transport.get_write_buffer_size
    sent = 0
    async for each in messages:
        if behind():
            await connection.send(each)
        else:
            broadcast(alone, each)
        sent += 1
        if sent == relay.burst:
            relay.sent()
            sent = 0


async def _by_send(messages: Subscription, connection: ServerConnection, relay: Relay) -> None:
    sent = 0
    async for each in messages:
        await connection.send(each)
        sent += 1
        if sent == relay.burst:
            relay.sent()
            sent = 0


@asynccontextmanager
async def _by_broadcast(url: str) -> AsyncIterator[Contestant]:
    relay = Relay()

    async def handle(connection: ServerConnection) -> None:
        async with relay.joined(connection):
            await connection.wait_closed()

    async def read(upstream: ClientConnection) -> None:
        sent = 0
        async for each in upstream:
            broadcast(relay.connections, each)
            sent += 1
            if sent == relay.burst:
                relay.sent(READERS)
                sent = 0

    async with _readers(relay, handle), _reading(url, read) as upstream:
        yield Contestant(BROADCAST, relay, upstream.send)


@asynccontextmanager
async def _by_queues(url: str) -> AsyncIterator[Contestant]:
    relay = Relay()
    queues: set[asyncio.Queue[Any]] = set()

    async def handle(connection: ServerConnection) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(LIMIT)
        queues.add(queue)
        async with relay.joined(connection):
            sent = 0
            while True:
                await connection.send(await queue.get())
                sent += 1
                if sent == relay.burst:
                    relay.sent()
                    sent = 0

    async def read(upstream: ClientConnection) -> None:
        async for each in upstream:
            for queue in queues:
                queue.put_nowait(each)

    async with _readers(relay, handle), _reading(url, read) as upstream:
        yield Contestant(QUEUES, relay, upstream.send)


@asynccontextmanager
async def _reading(
    url: str, read: Callable[[ClientConnection], Awaitable[None]]
) -> AsyncIterator[ClientConnection]:
    async with connect(url, **OPTIONS) as upstream:
        reading = asyncio.ensure_future(read(upstream))
        try:
            yield upstream
        finally:
            reading.cancel()


@asynccontextmanager
async def _pool(url: str, alias: str) -> AsyncIterator[Any]:
    config = PoolConfig(
        alias=alias,
        backend=BACKEND,
        locations=(Location.parse(url),),
        options=Options(OPTIONS),
        max_size=1,
        acquire_timeout=60,
    )
    pools.register(alias, config)
    try:
        yield pools[alias]
    finally:
        await pools.remove(alias)


# -- the other processes ---------------------------------------------------------------------------


@asynccontextmanager
async def _process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.websocket", *arguments),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def _upstream() -> AsyncIterator[str]:
    async with _process("upstream") as process:
        assert process.stdout is not None
        yield f"ws://127.0.0.1:{int(await process.stdout.readline())}"


@asynccontextmanager
async def _readers(
    relay: Relay, handle: Callable[[ServerConnection], Awaitable[None]]
) -> AsyncIterator[None]:
    async def serve_one(connection: ServerConnection) -> None:
        handling = asyncio.ensure_future(handle(connection))
        await connection.wait_closed()
        handling.cancel()

    async with serve(serve_one, "127.0.0.1", 0, **OPTIONS) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with _process("readers", str(port)):
            await relay.complete.wait()
            yield


async def upstream() -> None:
    """Answers a number with that many messages."""

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            for _ in range(int(message)):
                await connection.send(TEXT)

    async with serve(handle, "127.0.0.1", 0, **OPTIONS) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await server.serve_forever()


class _Reader(asyncio.Protocol):
    """Reads and forgets: what the other end of a WebSocket costs is not measured here."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_made(self, transport: Any) -> None:
        transport.write(
            b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._gone.set()


async def readers(port: int) -> None:
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    for _ in range(READERS):
        await loop.create_connection(lambda: _Reader(gone), "127.0.0.1", port)
    await gone.wait()


if __name__ == "__main__":
    if sys.argv[1] == "upstream":
        asyncio.run(upstream())
    else:
        asyncio.run(readers(int(sys.argv[2])))
