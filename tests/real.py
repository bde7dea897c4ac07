"""Pools on real servers, and what those servers say of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from poolapp import Observer, Pool, PoolConfig, pools
from poolapp.core.config import Location, Options

POSTGRES = "poolapp.backends.postgres.PostgresBackend"
ELASTICSEARCH = "poolapp.backends.elasticsearch.ElasticsearchBackend"

_numbers = itertools.count(1)


def postgres_config(url: str, **settings: Any) -> PoolConfig:
    return config_of(POSTGRES, url, **settings)


def elasticsearch_config(*urls: str, **settings: Any) -> PoolConfig:
    return config_of(ELASTICSEARCH, *urls, **settings)


def config_of(backend: str, *urls: str, **settings: Any) -> PoolConfig:
    """With an alias of its own unless one is given."""
    alias = settings.pop("alias", None) or f"real{next(_numbers)}"
    options = Options(settings.pop("options", None))
    locations = tuple(Location.parse(url) for url in urls)
    return PoolConfig(
        alias=alias, backend=backend, locations=locations, options=options, **settings
    )


@contextlib.asynccontextmanager
async def pool_of(config: PoolConfig) -> AsyncIterator[Any]:
    """The pool of a configuration on the running loop, gone at the end."""
    pools.register(config.alias, config)
    try:
        yield pools[config.alias]
    finally:
        await pools.remove(config.alias)


@contextlib.asynccontextmanager
async def postgres_pool(url: str, **settings: Any) -> AsyncIterator[Any]:
    async with pool_of(postgres_config(url, **settings)) as pool:
        yield pool


@contextlib.asynccontextmanager
async def elasticsearch_pool(*urls: str, **settings: Any) -> AsyncIterator[Any]:
    async with pool_of(elasticsearch_config(*urls, **settings)) as pool:
        yield pool


@contextlib.asynccontextmanager
async def elasticsearch_client(*urls: str, **settings: Any) -> AsyncIterator[Any]:
    """The client of such a pool, borrowed."""
    async with elasticsearch_pool(*urls, **settings) as pool, pool.acquire() as es:
        yield es


async def eventually(question: Callable[[], Awaitable[Any]], *, within: float = 30.0) -> Any:
    """Ask until the answer is true: for what a server does in its own time, such as noticing
    that a client has gone."""
    async with asyncio.timeout(within):
        while not (answer := await question()):  # noqa: ASYNC110 - a server rings no bell
            await asyncio.sleep(0.01)
    return answer


def complaints_in(text: str) -> str:
    """What a process wrote to stderr, but for how long a callback took on a busy machine, which
    asyncio tells in its debug mode."""
    return re.sub(r"^Executing .* took \d+\.\d+ seconds\n", "", text, flags=re.MULTILINE)


async def sessions(admin: Any, name: str) -> list[int]:
    """The server's processes that serve clients of this application name (a LIKE pattern)."""
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE $1 ORDER BY pid", name
    )
    return [row["pid"] for row in rows]


async def kill_sessions(admin: Any, name: str) -> int:
    """Have the server end them; returns when it has forgotten them."""
    pids = await sessions(admin, name)
    await admin.fetch("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)

    async def gone() -> bool:
        return not set(pids) & set(await sessions(admin, name))

    await eventually(gone)
    return len(pids)


class Heard(Observer):
    """Counts the events of one alias."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.lost_count = 0
        self.closed_because: list[str] = []
        self.connect_errors: list[str] = []
        self.changed = asyncio.Event()
        self.on_connect: Callable[[], Any] = lambda: None

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        if pool.alias == self.alias:
            self.on_connect()

    def lost(self, pool: Pool[Any], in_use: bool) -> None:
        if pool.alias == self.alias:
            self.lost_count += 1
            self.changed.set()

    def closed(self, pool: Pool[Any], reason: str) -> None:
        if pool.alias == self.alias:
            self.closed_because.append(reason)
            self.changed.set()

    def connect_failed(self, pool: Pool[Any], error: str) -> None:
        if pool.alias == self.alias:
            self.connect_errors.append(error)
            self.changed.set()

    async def until(self, question: Callable[[], Any]) -> None:
        """Wait for the event after which the answer is true."""
        while not question():
            self.changed.clear()
            await self.changed.wait()


@contextlib.contextmanager
def heard(alias: str) -> Any:
    observer = Heard(alias)
    pools.observe(observer)
    try:
        yield observer
    finally:
        pools.unobserve(observer)


class Proxy:
    """A TCP relay that can fall silent, or drop everything; with ``tls`` it speaks TLS to its
    clients and plain to the server. ``postgres`` has it wait for PostgreSQL's request of TLS."""

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None, postgres: bool = False
    ) -> None:
        self._target = (host, port)
        self._tls = tls
        self._postgres = postgres
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self.accepted = 0
        self.swallowed = asyncio.Event()
        """Set when something arrived that is not passed on."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, ssl=None if self._postgres else self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def fall_silent(self) -> None:
        """Swallow what arrives, without a word: a network that has become a black hole."""
        self._flows.clear()

    def speak(self) -> None:
        self._flows.set()

    def forget(self) -> None:
        """Never pass anything on again of the connections there are; new ones work."""
        self._forgotten |= self._writers

    def drop(self) -> None:
        """Reset every connection there is."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self) -> None:
        """Be gone, as a server that was stopped: who is connected is cut off, nobody gets in."""
        self._server.close()
        self.drop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self._writers.add(writer)
        try:
            await self._flowing()
            if self._postgres and self._tls:
                await reader.readexactly(8)
                writer.write(b"S")
                await writer.start_tls(self._tls)
            there, back = await asyncio.open_connection(*self._target)
            self._writers.add(back)
            try:
                await asyncio.gather(self._relay(reader, back), self._relay(there, writer))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _flowing(self) -> None:
        if not self._flows.is_set():
            self.swallowed.set()
            await self._flows.wait()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing()
            if writer in self._forgotten:
                continue
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:  # TLS has no half-closed connections
            writer.close()
