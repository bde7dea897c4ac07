"""A server on the project, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from poolapp.devservices.ports import free_port
from tests.real import eventually

HERE = Path(__file__).parent
START_SECONDS = 30.0
END_SECONDS = 30.0


class Process:
    """What runs, and what it said."""

    def __init__(self, inner: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._inner = inner
        self._log = log
        self.pid = inner.pid
        self.url = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What a command or a test run printed of its work."""
        lines = [line for line in self.log.splitlines() if line.startswith("answer {")]
        return [json.loads(line.removeprefix("answer ")) for line in lines]

    def family(self) -> list[psutil.Process]:
        """The process and those that it started."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    async def until_ready(self) -> None:
        """Until it answers HTTP requests."""
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert self.running, self.log
                try:
                    async with session.get(f"{self.url}/ready") as response:
                        return response.status == 200
                except (aiohttp.ClientError, ConnectionError):
                    return False

            await eventually(answers, within=START_SECONDS)

    async def until_said(self, text: str) -> None:
        async def said() -> bool:
            assert self.running, self.log
            return text in self.log

        await eventually(said, within=START_SECONDS)

    async def end(self) -> int:
        """Its exit code, when it has ended."""
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self._inner.wait()
        except TimeoutError:
            raise AssertionError(f"it did not end:\n{self.log}") from None

    @property
    def running(self) -> bool:
        return self._inner.returncode is None

    def terminate(self) -> None:
        """As a service manager does: SIGTERM to the process that was started."""
        self._inner.terminate()

    def interrupt(self) -> None:
        """SIGINT to that process alone."""
        self._inner.send_signal(signal.SIGINT)

    def send_hangup(self) -> None:
        """As an operator does who has new code."""
        self._inner.send_signal(signal.SIGHUP)

    def press_ctrl_c(self) -> None:
        """As a terminal does: to all processes of its group."""
        os.killpg(self.pid, signal.SIGINT)

    async def destroy(self) -> None:
        """Leave nothing, whatever state it is in."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self._inner.wait()


@asynccontextmanager
async def started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    name: str = "server",
    project: Path = HERE,
    python: str = sys.executable,
    strict: bool = True,
) -> AsyncIterator[Process]:
    """``python`` with these arguments in the project's folder; ``{port}`` becomes a free one."""
    port = free_port()
    log = folder / f"{name}.log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with log.open("wb") as file:
        inner = await asyncio.create_subprocess_exec(
            python,
            *(argument.format(port=port) for argument in arguments),
            cwd=project,
            env={
                **kept,
                "DJANGO_SETTINGS_MODULE": "served.settings",
                # For the processes that it starts as well; -X and -W would not reach them all.
                "PYTHONDEVMODE": "1",
                "PYTHONWARNINGS": "error::ResourceWarning" if strict else "default",
                "PYTHONUNBUFFERED": "1",
                "HOME": str(folder),  # gunicorn leaves a socket there
                **environment,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    process = Process(inner, port, log)
    try:
        yield process
    finally:
        await process.destroy()
