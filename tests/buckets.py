"""S3 pools on the session's server, each test with a bucket of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psutil

from tests.real import config_of, pool_of

S3 = "poolapp.backends.s3.S3Backend"

ONCE = {"retries": {"total_max_attempts": 1}}
"""Options of a client that repeats nothing."""

_numbers = itertools.count(1)


@contextlib.asynccontextmanager
async def s3_pool(url: str, **settings: Any) -> AsyncIterator[Any]:
    async with pool_of(config_of(S3, url, **settings)) as pool:
        yield pool


async def new_bucket(url: str) -> str:
    """The URL of an empty bucket of the server."""
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    async with s3_pool(url) as pool, pool.acquire() as s3:
        await s3.create_bucket(Bucket=name)
    return f"{url}/{name}?region=us-east-1"


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def through(port: int, url: str, *, scheme: str = "http") -> str:
    """The URL with another port, where a proxy listens."""
    host, old = address(url)
    return url.replace(f"{host}:{old}", f"127.0.0.1:{port}").replace("http:", f"{scheme}:", 1)


def sockets_to(url: str) -> int:
    """How many connections this process has to the server."""
    _, port = address(url)
    found = psutil.Process().net_connections("tcp")
    return sum(1 for each in found if each.raddr and each.raddr.port == port)
