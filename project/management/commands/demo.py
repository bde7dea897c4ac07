"""`manage.py demo`: the whole site on real servers, from nothing, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from project.keyfile import read_or_create

HOST: Final = "127.0.0.1"
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Daphne gives open requests 10 seconds.
STOP_TIMEOUT: Final = 15.0
LOG_TAIL: Final = 15
# In threads it can say what it is at while it is. There is nobody to gossip with.
WORKER: Final = (
    "celery", "--app", "project", "worker", "--pool", "threads", "--concurrency", "1",
    "--without-mingle", "--without-gossip", "--without-heartbeat",
)  # fmt: skip


class Stopped(Exception):
    """A signal asked for the end."""


class Command(BaseCommand):
    help = "Start the servers, fill them, and serve the demo site until Ctrl-C."
    requires_system_checks: list[str] = []  # noqa: RUF012  the children run them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=_port, default=8000, help="default: 8000")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        self.stdout.ending = ""  # rich ends its lines itself
        demo = Demo(port, Path(settings.DEVSERVICES_DIR), Console(file=self.stdout))  # type: ignore[arg-type]
        failure = asyncio.run(demo.run())
        if failure:
            raise CommandError(failure)


class Demo:
    """The steps of the demo; each is a process of its own, with the servers' addresses known.

    Children get a session of their own: a Ctrl-C reaches this process alone, which then stops
    them in the right order.
    """

    def __init__(self, port: int, folder: Path, console: Console) -> None:
        self._port = port
        self._folder = folder
        self._console = console
        self._log = folder / "demo.log"
        self._worker_log = folder / "celery.log"
        self._access_log = folder / "demo-access.log"
        self._password_file = folder / "admin-password"

    async def run(self) -> str:
        """Run until a signal; return what went wrong, or an empty string."""
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._stopping.set)
        if problem := _port_problem(self._port):
            return problem
        try:
            await self._prepare()
            await self._serve()
        except Stopped:
            return ""
        except _Failed as failure:
            return str(failure)
        finally:
            self._console.print("Stopping the servers")
            await self._manage("devservices", "down", interruptible=False, silent=True)
            if self._stopping.is_set():
                self._console.print("Stopped.")
        return ""

    async def _prepare(self) -> None:
        steps = (
            ("Starting the servers", ("devservices", "up")),
            ("Migrating the database", ("migrate", "--verbosity=0")),
            ("Importing the standard library", ("import_stdlib",)),
            ("Preparing the administrator", ("ensure_admin", str(self._password_file))),
        )
        for title, command in steps:
            if self._stopping.is_set():
                raise Stopped
            self._console.print(title, highlight=False)
            # `up` is left to finish, a second or two: `down` then knows all that was started.
            code = await self._manage(
                *command,
                interruptible=command[0] != "devservices",
                silent=command[0] != "import_stdlib",
            )
            if self._stopping.is_set():
                raise Stopped
            if code != 0:
                raise _Failed(f"`manage.py {' '.join(command[:2])}` failed, see above.")

    async def _serve(self) -> None:
        self._console.print("Starting the site and a Celery worker")
        children: list[Process] = []
        try:
            daphne = await self._start(
                self._log,
                "daphne", "--bind", HOST, "--port", str(self._port),
                "--access-log", str(self._access_log),
                "project.asgi:application",
            )  # fmt: skip
            children.append(daphne)
            # Nobody waits for it: what is ordered before it is ready stays in its queue.
            worker = await self._start(self._worker_log, *WORKER)
            children.append(worker)
            minding = asyncio.create_task(self._mind(worker))
            try:
                await self._unless_stopped(daphne, self._accepts_connections())
                self._announce()
                await self._unless_stopped(daphne, self._stopping.wait())
            finally:
                minding.cancel()
        finally:
            await asyncio.gather(*map(_stop, children))

    async def _start(self, log: Path, *arguments: str) -> Process:
        """Run a module that stays, with a log of its own."""
        with log.open("wb") as file:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file,
                cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip

    async def _mind(self, worker: Process) -> None:
        """Tell of its end: the site goes on, and says itself that no worker answers."""
        code = await worker.wait()
        self._console.print(
            f"The Celery worker ended with exit code {code}; its log is {self._worker_log}."
            " The site goes on without it.",
            highlight=False,
            soft_wrap=True,
        )

    async def _unless_stopped(self, daphne: Process, event: Any) -> None:
        """Wait for `event`; raise when a signal or Daphne's end comes first."""
        waits = [
            asyncio.ensure_future(what) for what in (event, self._stopping.wait(), daphne.wait())
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._stopping.is_set():
            raise Stopped
        if daphne.returncode is not None:
            raise _Failed(
                f"Daphne ended with exit code {daphne.returncode}. Its log, {self._log}, ends:\n"
                f"{_tail(self._log)}"
            )

    async def _accepts_connections(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                await asyncio.sleep(0.05)  # nobody tells when Daphne listens
                continue
            writer.close()
            await writer.wait_closed()
            return

    async def _manage(self, *arguments: str, interruptible: bool, silent: bool) -> int:
        """Run a management command and return its exit code; a signal ends it early.

        What a silent one says is shown only when it fails.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if silent else None,
            stderr=asyncio.subprocess.STDOUT if silent else None,
            start_new_session=True,
        )  # fmt: skip
        ended = asyncio.create_task(process.communicate())
        stopping = asyncio.create_task(self._stopping.wait())
        wanted = {ended, stopping} if interruptible else {ended}
        await asyncio.wait(wanted, return_when=asyncio.FIRST_COMPLETED)
        stopped = not ended.done()
        if stopped:
            await _stop(process)
        output, _ = await ended
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        if output and process.returncode != 0 and not stopped:
            self._console.print(output.decode(errors="replace").rstrip(), markup=False)
        return process.returncode or 0

    def _announce(self) -> None:
        site = f"http://{HOST}:{self._port}"
        table = Table.grid(padding=(0, 2))
        for label, value in (
            ("Site", f"{site}/"),
            ("Search", f"{site}/search?q=queue"),
            ("Pools", f"{site}/admin/poolapp/"),
            ("Health", f"{site}/pools/health/ready"),
            ("Admin", f"{site}/admin/"),
            ("User", "admin"),
            ("Password", read_or_create(self._password_file)),
            ("Logs", str(self._folder)),
        ):
            table.add_row(label, value)
        self._console.print(Panel(table, title="poolapp demo", expand=False, padding=(1, 2)))
        self._console.print("Ctrl-C stops everything.")


class _Failed(Exception):
    """A step did not do its work."""


async def _stop(process: Process) -> None:
    """End a child and what it started: SIGTERM first, SIGKILL after `STOP_TIMEOUT` seconds."""
    if process.returncode is None:
        _signal_group(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            pass
    _signal_group(process, signal.SIGKILL)
    await process.wait()


def _signal_group(process: Process, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError
    return port


def _port_problem(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            other = port + 1 if port < 65535 else 8001
            return (
                f"Port {port} can't be used: {os.strerror(error.errno or 0).lower()}. "
                f"Choose another one: DEMO_PORT={other} make demo"
            )
    return ""


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-LOG_TAIL:])
