"""Starting processes of the fleet, and being one of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from poolapp import pools
from poolapp.monitoring import fleet
from poolapp.monitoring.fleet import FleetPicture, timing
from poolapp.monitoring.process import this_process
from tests.real import eventually

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
REDIS = "poolapp.backends.redis.RedisBackend"
POSTGRES = "poolapp.backends.postgres.PostgresBackend"


class Worker:
    """One process. ``worker`` is the fleet's name of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ask(self, *words: str) -> str:
        """Its answer to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{' '.join(words)}\n".encode())
        return await self.said()

    async def said(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "it ended"
        return line.decode().strip()

    async def sizes(self, alias: str) -> tuple[int, int]:
        low, high = (await self.ask("sizes", alias)).split()
        return int(low), int(high)

    def kill(self) -> None:
        """As the kernel does that is out of memory."""
        self._process.kill()

    async def end(self) -> int:
        """Have it end as it should; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()

    async def destroy(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Fleet:
    """Processes that share a Redis and a key of their own in it, so that tests don't meet."""

    def __init__(self, declared: dict[str, Any], **variables: str) -> None:
        self.pools = declared
        self.name = uuid.uuid4().hex
        self.variables = {
            "DJANGO_SETTINGS_MODULE": "fleet.settings",
            "FLEET_NAME": self.name,
            "FLEET_POOLS": json.dumps(declared),
            "PYTHONPATH": f"{HERE.parent}{os.pathsep}{ROOT}",
            **variables,
        }

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    @contextlib.asynccontextmanager
    async def workers(
        self, count: int, *arguments: str, **variables: str
    ) -> AsyncIterator[list[Worker]]:
        """So many, ready. ``arguments`` are Python's, instead of those of a worker."""
        command = [sys.executable, "-W", "error", *(arguments or ("-m", "fleet.worker"))]
        async with contextlib.AsyncExitStack() as stack:
            found = []
            for _ in range(count):
                process = await asyncio.create_subprocess_exec(
                    *command,
                    env={**self.environment, **variables},
                    cwd=HERE.parent,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                found.append(Worker(process))
                stack.push_async_callback(found[-1].destroy)
            for each in found:
                assert await each.said() == "ready"
            yield found

    @contextlib.contextmanager
    def joined(self) -> Any:
        """This process may look at the fleet, and is one of it as soon as it has pools."""
        mine = {"FLEET": "cache", "FLEET_NAME": self.name}
        with override_settings(POOLS=self.pools, POOLAPP=mine):
            yield


@pytest.fixture
async def _quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """This process lives as fast as the workers, and leaves the fleet at the end."""
    monkeypatch.setattr(timing, "INTERVAL", 0.1)
    monkeypatch.setattr(timing, "LIFETIME", 0.6)
    monkeypatch.setattr(timing, "LINGER", 0.0)
    monkeypatch.setattr(timing, "KEPT", 0.0)
    yield
    await pools.close_all()


async def others() -> set[int]:
    """The processes that the fleet knows of, but for this one."""
    here = this_process().worker
    return {each.pid for each in (await fleet.read()).processes if each.worker != here}


async def until_there(*pids: int) -> None:
    """Until exactly these processes are there, beside this one."""

    async def there() -> bool:
        return await others() == set(pids)

    await eventually(there)


async def seen() -> FleetPicture:
    """The fleet, which can be seen."""
    found = await fleet.read()
    assert found.notice == ""
    return found
