"""``poolstatus --watch``: in a terminal it redraws in place; elsewhere one look follows another."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fleet.starting import HERE, POSTGRES, REDIS, Fleet, _quick  # noqa: F401

ALTERNATE_SCREEN, MAIN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
HOME = b"\x1b[H"

COMMAND = [sys.executable, "-W", "error", "-m", "django", "poolstatus"]


class Terminal:
    """A command in a terminal of 100 columns, and all that it wrote there."""

    def __init__(self, company: Fleet, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**company.environment, "TERM": "xterm", "NO_COLOR": "1"},
            cwd=HERE.parent,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.written = b""

    async def until(self, text: bytes, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while self.written.count(text) < times:
                self.written += await asyncio.to_thread(os.read, self._master, 65536)

    async def press_ctrl_c(self) -> int:
        self._process.send_signal(signal.SIGINT)
        await self.until(MAIN_SCREEN)
        code = await asyncio.to_thread(self._process.wait)
        try:
            while more := os.read(self._master, 65536):
                self.written += more
        except OSError:  # the other end is closed
            pass
        return code

    def destroy(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Any]:
    found: list[Terminal] = []

    def start(company: Fleet, *arguments: str) -> Terminal:
        found.append(Terminal(company, *arguments))
        return found[-1]

    yield start
    for each in found:
        each.destroy()


async def test_in_a_terminal_the_fleet_is_redrawn_in_place(redis_url: str, terminal: Any) -> None:
    company = Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url, "MAX_SIZE": 3}})
    async with company.workers(1) as (one,):
        shown = terminal(company, "--fleet", "--watch", "0.1")
        await shown.until(b"0/3")
        assert ALTERNATE_SCREEN in shown.written
        await shown.until(HOME, times=4)
        assert await one.ask("hold", "cache") == "held"
        await shown.until(b"1/3")
        assert await one.end() == 0
        await shown.until(b"No worker process has pools now.")
        assert await shown.press_ctrl_c() == 0
        # What was seen last stays.
        assert b"No worker process" in shown.written.rpartition(MAIN_SCREEN)[2]


async def test_what_does_not_fit_is_counted(terminal: Any) -> None:
    declared = {
        f"pool{number}": {"BACKEND": REDIS, "LOCATION": "redis://127.0.0.1:1/0"}
        for number in range(20)
    }
    shown = terminal(Fleet(declared), "--watch", "60")
    await shown.until(b"lines more")
    assert b"pool0" in shown.written
    assert b"pool9" not in shown.written
    assert await shown.press_ctrl_c() == 0


async def test_elsewhere_one_look_follows_the_other_and_the_exit_code_is_the_last_ones(
    tmp_path: Path,
) -> None:
    declared = {"default": {"BACKEND": POSTGRES, "LOCATION": "postgresql://u@127.0.0.1:1/x"}}
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "--probe",
        "--watch",
        "0.1",
        env=Fleet(declared).environment,
        cwd=HERE.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    looks = 0
    while looks < 3:
        line = await process.stdout.readline()
        assert line
        looks += line.startswith(b"default is unhealthy")
    process.send_signal(signal.SIGINT)
    rest, errors = await process.communicate()
    assert process.returncode == 1
    assert (b"Traceback" in rest, errors) == (False, b"")


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "soon"])
async def test_an_interval_that_is_none_is_refused(wrong: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        f"--watch={wrong}",
        env=Fleet({}).environment,
        cwd=HERE.parent,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert b"argument --watch" in errors
