"""Which process this is, for those who look at several."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

_DJANGO = ("manage.py", "django-admin", "django-admin.py")


class _Began:
    """When the process did; set anew in a forked child."""

    wall: ClassVar[float] = time.time()
    here: ClassVar[float] = time.monotonic()

    @classmethod
    def anew(cls) -> None:
        cls.wall = time.time()
        cls.here = time.monotonic()


os.register_at_fork(after_in_child=_Began.anew)


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """One worker process of one host."""

    worker: str
    """``host:pid:start``: the start sets it apart from an earlier process of the same number, as
    in a container, where it is always 1."""
    host: str
    pid: int
    server: str
    """What runs it: ``uvicorn``, ``celery``, ``runserver``, ``command import_entries``."""
    uptime: float
    """Seconds."""


def this_process() -> Process:
    host, pid = socket.gethostname(), os.getpid()
    return Process(
        worker=f"{host}:{pid}:{int(_Began.wall * 1000):x}",
        host=host,
        pid=pid,
        server=server_of(sys.argv),
        uptime=time.monotonic() - _Began.here,
    )


def server_of(arguments: Sequence[str]) -> str:
    """What a command line runs, by the name of its program."""
    program, *rest = arguments or [""]
    path = Path(program)
    name = path.parent.name if path.name == "__main__.py" else path.name
    if name in _DJANGO or (name == "django" and path.name == "__main__.py"):
        command = next((each for each in rest if not each.startswith("-")), "")
        return command if command == "runserver" else f"command {command}".strip()
    return name if name not in ("", "-c", "-m") else "python"
