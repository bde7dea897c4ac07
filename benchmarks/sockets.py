"""200 tasks do 5 operations each: how many sockets that takes, for every backend.

A relay in front of each server counts the connections it accepts, so nobody's own count is trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web
from websockets.asyncio.server import serve

from benchmarks.measure import Goal, Lab, Row
from poolapp import PoolConfig, pools
from poolapp.core.config import Location, Options

SERVICES = ("postgres", "elasticsearch", "s3", "redis", "mongodb")

MAX_SIZE = 10
TASKS = 200
EACH = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A backend: its class, one operation, what its URL and options need, and the sockets by which
    its driver watches the server, which carry no operation."""

    backend: str
    operate: Callable[[Any], Awaitable[Any]]
    suffix: str = ""
    options: Mapping[str, Any] | None = None
    watching: int = 0


async def _get(session: Any) -> None:
    async with session.get("/") as response:
        await response.read()


async def _ping(connection: Any) -> None:
    await (await connection.ping())


KINDS = {
    "postgres": Kind("postgres.PostgresBackend", lambda it: it.fetchval("SELECT 1")),
    "elasticsearch": Kind("elasticsearch.ElasticsearchBackend", lambda it: it.info()),
    "s3": Kind("s3.S3Backend", lambda it: it.list_buckets(), "/?region=us-east-1"),
    "redis": Kind("redis.RedisBackend", lambda it: it.get("poolapp-benchmark")),
    "mongodb": Kind(
        "mongodb.MongoBackend",
        lambda it: it.admin.command("ping"),
        options={"serverMonitoringMode": "poll", "directConnection": True},
        watching=1,
    ),
    "http": Kind("http.HttpBackend", _get),
    "websocket": Kind("websocket.WebSocketBackend", _ping),
}


async def run(lab: Lab) -> None:
    section = lab.report.section(f"{TASKS} tasks x {EACH} operations, MAX_SIZE {MAX_SIZE}: sockets")
    async with _own_servers() as own:
        for name, kind in KINDS.items():
            count = await _count(kind, own.get(name) or lab.urls[name])
            lab.report.goals[f"sockets.200_tasks.{name}"] = Goal("<=", MAX_SIZE)
            key = lab.report.add(f"sockets.200_tasks.{name}", [count], "sockets")
            section.rows.append(Row(f"poolapp, {name}", key))


async def _count(kind: Kind, url: str) -> int:
    async with Relay(url) as relay:
        config = PoolConfig(
            alias="bench",
            backend=f"poolapp.backends.{kind.backend}",
            locations=(Location.parse(relay.url + kind.suffix),),
            options=Options(kind.options),
            max_size=MAX_SIZE,
            max_connecting=MAX_SIZE,
            acquire_timeout=60.0,
        )
        pools.register("bench", config)
        try:

            async def work() -> None:
                for _ in range(EACH):
                    async with pools["bench"].acquire() as connection:
                        await kind.operate(connection)

            await asyncio.gather(*(work() for _ in range(TASKS)))
        finally:
            await pools.remove("bench")
        return relay.accepted - kind.watching


@asynccontextmanager
async def _own_servers() -> AsyncIterator[dict[str, str]]:
    """The two kinds of server that no development service is needed for."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def listen(connection: Any) -> None:
        async for _ in connection:
            pass

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with serve(listen, "127.0.0.1", 0) as sockets:
        yield {
            "http": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "websocket": f"ws://127.0.0.1:{next(iter(sockets.sockets)).getsockname()[1]}",
        }
    await runner.cleanup()


class Relay:
    """Passes bytes on to a server and counts who connects; ``url`` is the server's through it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._parts.netloc.rpartition("@")
        self.url = self._parts._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        try:
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            back.transport.abort()
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
