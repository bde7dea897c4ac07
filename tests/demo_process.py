"""`manage.py demo` as a process of its own, in a folder and with servers of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from poolapp.devservices.ports import free_port

PROJECT = Path(__file__).resolve().parent.parent
READY = "Ctrl-C stops everything."
SERVER_VARIABLES = (
    "POOLAPP_POSTGRES_URL",
    "POOLAPP_REDIS_URL",
    "POOLAPP_ELASTICSEARCH_URL",
    "POOLAPP_S3_URL",
    "POOLAPP_MONGODB_URL",
    "POOLAPP_FEED_URL",
)


class DemoProcess:
    """One run of the demo; `output` holds the lines that were read so far."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(self.port)],
            cwd=PROJECT,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, text: str) -> None:
        """Read on until a line holds `text`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line.rstrip("\n"))
            if text in line:
                return
            if READY in line:
                self.stop()
        raise AssertionError(f"The demo never said {text!r}:\n" + "\n".join(self.output))

    def wait_until_ready(self) -> None:
        self.wait_for(READY)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for_end(self) -> int:
        """Read the rest and return the exit code."""
        rest, _ = self._process.communicate()
        self.output.extend(rest.splitlines())
        return self._process.returncode

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process.returncode is None:
            self.send(number)
        return self.wait_for_end()

    @property
    def password(self) -> str:
        """The administrator's, as it was printed."""
        found = re.search(r"Password\s+(\S+)", "\n".join(self.output))
        assert found is not None
        return found[1]

    def daphne(self) -> psutil.Process:
        return self._child("daphne")

    def worker(self) -> psutil.Process:
        return self._child("celery")

    def _child(self, name: str) -> psutil.Process:
        children = psutil.Process(self._process.pid).children()
        return next(child for child in children if name in child.cmdline())


def environment(folder: Path) -> dict[str, str]:
    """This process's environment, with servers of `folder` instead of the test session's."""
    names = os.environ.keys() - {*SERVER_VARIABLES, "DJANGO_SETTINGS_MODULE"}
    kept = {name: os.environ[name] for name in names}
    return {**kept, "POOLAPP_DEVSERVICES_DIR": str(folder), "COLUMNS": "120"}


def devservices(folder: Path, function: str, *names: str) -> Any:
    """Call a function of `poolapp.devservices` for `folder`; return what it returns.

    In a process of its own: in this one the test session's servers stand for all others, and a
    server that this one starts stays its zombie when it ends.
    """
    code = (
        "import json, sys; from pathlib import Path; from poolapp import devservices;"
        f"print(json.dumps(devservices.{function}(*sys.argv[2:], folder=Path(sys.argv[1]))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder), *names],
        cwd=PROJECT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def discard(folder: Path) -> None:
    """Stop the servers of `folder` and delete their data, also what is kept beside it."""
    code = (
        "import sys; from pathlib import Path; from poolapp import devservices;"
        "devservices.down(folder=Path(sys.argv[1]), discard=True)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=PROJECT, env=environment(folder), check=True
    )


def processes_of(folder: Path) -> list[str]:
    """The command lines of all living processes that were started for `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            belongs = process.environ().get("POOLAPP_DEVSERVICES_DIR") == str(folder) or any(
                str(folder) in argument for argument in process.cmdline()
            )
            if belongs and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
