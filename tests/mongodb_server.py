"""MongoDB servers of a test's own, and what a server says of its clients."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo

from poolapp.devservices import Supervisor
from poolapp.devservices.record import Record
from poolapp.devservices.service import Service
from poolapp.devservices.services.secantus import MongoDB
from tests.real import Proxy, config_of, pool_of

MONGODB = "poolapp.backends.mongodb.MongoBackend"

MONITORS = 2
"""Sockets that a client opens to each server beside those of its pool."""


class OwnMongoDB(MongoDB):
    """With these arguments, and without users."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        Service.prepare(self, home, record, log)
        (home / "secantus.toml").touch()

    def command(self, home: Path, record: Record) -> list[str]:
        return [*self._command(home, record, home / "data"), *self._arguments]

    def url(self, record: Record) -> str:
        return f"mongodb://127.0.0.1:{record.port}/shop"

    def probe(self, record: Record) -> None:
        socket.create_connection(("127.0.0.1", record.port), timeout=1.0).close()


@contextlib.contextmanager
def own_server(folder: Path, *arguments: str) -> Iterator[str]:
    """Its URL."""
    supervisor = Supervisor(folder, [OwnMongoDB(*arguments)], environment={})
    try:
        yield supervisor.up()["mongodb"]
    finally:
        supervisor.down(discard=True)


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def through(proxy: Proxy, url: str) -> str:
    """The same server, and nothing but what the proxy lets through."""
    host, port = address(url)
    url = url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")
    return f"{url}{'&' if '?' in url else '?'}directConnection=true"


@contextlib.asynccontextmanager
async def mongodb_pool(url: str, **settings: Any) -> AsyncIterator[Any]:
    async with pool_of(config_of(MONGODB, url, **settings)) as pool:
        yield pool


async def sockets_open(admin: Any) -> int:
    """On the server, of all clients."""
    return int((await admin.admin.command("serverStatus"))["connections"]["current"])


@contextlib.asynccontextmanager
async def outsider(url: str) -> AsyncIterator[pymongo.AsyncMongoClient[dict[str, Any]]]:
    """A client outside of every pool."""
    # Polling, it opens no socket while a test counts those of others.
    options = {"serverMonitoringMode": "poll"}
    async with pymongo.AsyncMongoClient[dict[str, Any]](url, **options) as client:
        await client.admin.command("ping")
        yield client


@contextlib.asynccontextmanager
async def failing(admin: Any, *commands: str, times: int, **data: Any) -> AsyncIterator[None]:
    """The next so many of these commands fail, on a server with ``--enable-test-commands``."""
    point = {"mode": {"times": times}, "data": {"failCommands": list(commands), **data}}
    await admin.admin.command("configureFailPoint", "failCommand", **point)
    try:
        yield
    finally:
        await admin.admin.command("configureFailPoint", "failCommand", mode="off")
