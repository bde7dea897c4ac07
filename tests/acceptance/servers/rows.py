"""Every server and runner: how it is started, how it can end, and what is to be seen then."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from typing import Literal

SIGTERM = "SIGTERM"
"""To the process that was started, as a service manager sends it."""
CTRL_C = "Ctrl-C"
"""SIGINT to all processes of the group, as a terminal sends it."""
SIGINT = "SIGINT"
"""To the process that was started alone."""
SIGHUP = "SIGHUP"
"""The worker is replaced, then the server ended by SIGTERM."""
TOUCH = "touch"
"""A source file changes, the worker is replaced, then the server ended by Ctrl-C."""
EXIT = "exit"
"""It ends by itself when its work is done."""

MAX_SIZE = 4


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    code: int = 0
    """The server's own exit code; negative for a signal that ends it."""
    goodbye: bool | None = True
    """False where the process ends without running any more code of ours; None where that depends
    on how long it takes."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    name: str
    kind: Literal["server", "worker", "run"]
    arguments: tuple[str, ...]
    """Of the Python interpreter."""
    ends: Mapping[str, End]
    loops: int = 2
    """That have pools at most, in one process. Wherever ``pools.run`` is used, the process's own
    pool loop is one of them."""
    workers: int = 1
    at_once: int = MAX_SIZE
    """Connections in use, at least, when all that can be in flight is."""
    paths: tuple[str, ...] = ("async", "run", "to_sync")
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    strict: bool = True
    """Whether an unclosed resource is an error. uvloop's ``close()`` never returns when it is."""


ASGI = "served.asgi:application"
PLAIN = "served.plain:application"
WSGI = "served.wsgi:application"
PORT = ("--port", "{port}")
BIND = ("--bind", "127.0.0.1:{port}")
DAPHNE = {"SERVED_DAPHNE": "daphne"}

CLEAN = End()
KILLED = End(-signal.SIGTERM, goodbye=False)
RUDE = End(goodbye=False)
HURRIED = End(goodbye=None)
BOTH = {SIGTERM: CLEAN, CTRL_C: CLEAN}
ALL = {**BOTH, SIGHUP: CLEAN}


def _server(name: str, *arguments: str, **more: object) -> Row:
    return Row(name=name, kind="server", arguments=("-m", *arguments), **more)  # type: ignore[arg-type]


def _celery(pool: str, concurrency: str, **more: object) -> Row:
    quiet = ("--without-heartbeat", "--without-mingle", "--without-gossip")
    celery = ("-m", "celery", "-A", "served.worker", "worker", "-P", pool, "-c", concurrency)
    return Row(
        name=f"celery-{pool}",
        kind="worker",
        arguments=(*celery, *quiet),
        ends={SIGTERM: CLEAN, CTRL_C: End(1)},
        **more,  # type: ignore[arg-type]
    )


def _run(name: str, *arguments: str, ends: Mapping[str, End], **more: object) -> Row:
    return Row(name=name, kind="run", arguments=("-m", *arguments), ends=ends, **more)  # type: ignore[arg-type]


ROWS = [
    # uvicorn raises the SIGTERM that it has handled once more at its end.
    _server("uvicorn", "uvicorn", ASGI, *PORT, ends={**BOTH, SIGTERM: End(-signal.SIGTERM)}),
    _server("uvicorn-plain", "uvicorn", PLAIN, *PORT, ends={**BOTH, SIGTERM: KILLED}),
    _server("uvicorn-workers", "uvicorn", ASGI, "--workers", "2", *PORT, ends=ALL, workers=2),
    _server("hypercorn", "hypercorn", ASGI, *BIND, ends=BOTH),
    _server("granian", "granian", ASGI, "--interface", "asgi", *PORT, ends=ALL),
    _server("daphne", "daphne", ASGI, *PORT, ends=BOTH),
    # The reloader kills the server when it is ended by SIGTERM, and a quarter of a second after
    # Ctrl-C.
    _server(
        "runserver",
        *("django", "runserver", "{port}"),
        environment=DAPHNE,
        ends={SIGTERM: RUDE, CTRL_C: HURRIED, TOUCH: HURRIED},
    ),
    _server(
        "runserver-noreload",
        *("django", "runserver", "--noreload", "{port}"),
        environment=DAPHNE,
        ends=BOTH,
    ),
    _server(
        "runserver-wsgi",
        *("django", "runserver", "{port}"),
        ends={SIGTERM: RUDE, CTRL_C: HURRIED, TOUCH: HURRIED},
        loops=21,
    ),
    _server(
        "gunicorn-uvicorn", "gunicorn", ASGI, "-k", "uvicorn_worker.UvicornWorker", *BIND, ends=ALL
    ),
    # On SIGINT it leaves out the lifespan's end and closes the loop as it is.
    _server(
        "gunicorn-asgi",
        *("gunicorn", ASGI, "-k", "asgi", *BIND),
        ends={**ALL, CTRL_C: RUDE},
        strict=False,
    ),
    _server("gunicorn-sync", "gunicorn", WSGI, *BIND, ends=ALL, at_once=1),
    # A worker that has SIGINT of the terminal and SIGQUIT of its parent at once may wait for itself
    # in its signal handler, until the parent's patience of 30 seconds is over.
    _server(
        "gunicorn-threads",
        *("gunicorn", WSGI, "--threads", "8", *BIND),
        ends={SIGTERM: CLEAN, SIGINT: CLEAN, SIGHUP: CLEAN},
        loops=9,
    ),
    _celery("prefork", "2", workers=2, at_once=2),
    _celery("threads", "8", loops=9),
    _run("command", "django", "ask", ends={EXIT: CLEAN}, loops=9),
    # Nobody handles SIGTERM there, so the process is gone at once.
    _run(
        "command-waiting",
        *("django", "ask", "--once"),
        ends={CTRL_C: End(130), SIGTERM: KILLED},
        at_once=1,
    ),
    _run(
        "pytest-asyncio",
        *("pytest", "-c", "cases.ini", "-p", "no:cacheprovider", "-s", "served/cases_pytest.py"),
        ends={EXIT: CLEAN},
        loops=1,
        at_once=1,
    ),
    _run(
        "async-test-client",
        *("django", "test", "served.cases_django.Asynchronous"),
        ends={EXIT: CLEAN},
    ),
    _run(
        "sync-test-client",
        *("django", "test", "served.cases_django.Synchronous"),
        ends={EXIT: CLEAN},
        at_once=1,
    ),
]
