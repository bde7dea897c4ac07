"""HTTP: 32 tasks get a small answer over 10 sockets.

The ceiling is a bare aiohttp session with the same limit. The server is a process of its own that
answers every request alike, as fast as it can.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import httpx

from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ()

TASKS = 32
CONNECTIONS = 10

BODY = b'{"id": 7, "title": "title 7", "body": "' + b"body " * 20 + b'"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY

BARE = "bare"

Get = Callable[[], Awaitable[bytes]]


async def run(lab: Lab) -> None:
    lab.report.goals["http.vs_bare_session"] = Goal(">=", 0.95)
    with server() as url:
        await _speed(lab, url)


async def _speed(lab: Lab, url: str) -> None:
    async with contestants(url) as field:
        for label, get in field.values():
            if await get() != BODY:
                raise AssertionError(f"{label} got another body")
        found = await lab.race({name: partial(crowd, get) for name, (_, get) in field.items()})
    speeds = {name: [1 / value for value in seconds] for name, seconds in found.items()}
    section = lab.report.section(
        f"{TASKS} tasks get {len(BODY)} bytes over {CONNECTIONS} sockets: requests per second",
        "of bare",
    )
    for name, (label, _) in field.items():
        ops = lab.report.add(f"http.{name}_ops", speeds[name], "ops/s")
        ratio = None
        if name != BARE:
            key = "http.vs_bare_session" if name == "poolapp" else f"http.{name}"
            ratio = lab.report.add(key, ratios(speeds[name], speeds[BARE]), "of bare")
        section.rows.append(Row(label, ops, ratio))


@asynccontextmanager
async def contestants(url: str) -> AsyncIterator[dict[str, tuple[str, Get]]]:
    """Name -> label and what gets one body."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        shipped_observers()
        pool = await enter(pool_of(url, CONNECTIONS))
        limit = aiohttp.TCPConnector(limit=CONNECTIONS)
        bare = await enter(aiohttp.ClientSession(url, connector=limit))
        limits = httpx.Limits(max_connections=CONNECTIONS)
        plain_httpx = await enter(httpx.AsyncClient(base_url=url, limits=limits, verify=False))
        pooled_httpx = await enter(pool.httpx_client())

        async def by_pool() -> bytes:
            response: aiohttp.ClientResponse = await pool.get("row")
            return await response.read()

        async def by_lease() -> bytes:
            session: aiohttp.ClientSession
            async with pool.acquire() as session, session.get("row") as response:
                return await response.read()

        async def by_session() -> bytes:
            async with bare.get("row") as response:
                return await response.read()

        async def by_new_session() -> bytes:
            async with aiohttp.ClientSession(url) as session, session.get("row") as response:
                return await response.read()

        async def by_httpx(client: httpx.AsyncClient) -> bytes:
            return (await client.get("row")).content

        yield {
            "poolapp": ("poolapp, pool.get", by_pool),
            "lease": ("poolapp, acquire()", by_lease),
            "poolapp_httpx": ("poolapp, httpx_client()", partial(by_httpx, pooled_httpx)),
            "httpx": ("httpx", partial(by_httpx, plain_httpx)),
            "new_session": ("aiohttp, a new session each", by_new_session),
            BARE: ("aiohttp, one session", by_session),
        }


async def crowd(get: Get, count: int) -> int:
    """``count`` requests by all tasks together."""
    each = max(1, count // TASKS)

    async def member() -> None:
        for _ in range(each):
            await get()

    await asyncio.gather(*(member() for _ in range(TASKS)))
    return each * TASKS


@asynccontextmanager
async def pool_of(url: str, size: int) -> AsyncIterator[Any]:
    alias = "bench_http"
    config = PoolConfig(
        alias=alias,
        backend="poolapp.backends.http.HttpBackend",
        locations=(Location.parse(url),),
        max_size=size,
    )
    pools.register(alias, config)
    try:
        yield pools[alias]
    finally:
        await pools.remove(alias)


# -- the server ------------------------------------------------------------------------------------


@contextmanager
def server() -> Iterator[str]:
    """Its URL."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/"
    finally:
        process.terminate()
        process.join()


def serve(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(Answers, "127.0.0.1", 0)
    pipe.send(listening.sockets[0].getsockname()[1])
    await listening.serve_forever()


class Answers(asyncio.Protocol):
    """One answer for each blank line."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        # Requests without a body, each in one packet.
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))
