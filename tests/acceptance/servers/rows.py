"""Every server and runner: how it is started, how it can end, and what is to be seen then."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping

CTRL_C = "Ctrl-C"
"""SIGINT to all processes of the group, as a terminal sends it."""
EXIT = "exit"
"""It ends by itself when its work is done."""
RELOAD = "reload"
"""Its worker is replaced; it goes on and is ended by SIGTERM."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    name: str
    arguments: tuple[str, ...]
    """Of the Python interpreter."""
    ends: Mapping[str, int]
    """Signal, or what stands for it -> exit code, negative for a signal that kills it."""
    loops: int
    """That have pools at most, in one process."""
    at_once: int
    """Connections in use when all that can be in flight is; all processes together."""
    paths: tuple[str, ...] = ("async", "run", "to_sync")
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rude: frozenset[str] = frozenset()
    """Ends that give nobody a chance to say goodbye."""


ASGI = "served.asgi:application"
WSGI = "served.wsgi:application"
DAPHNE = {"SERVED_DAPHNE": "daphne"}
TERM, INT, HUP = "SIGTERM", CTRL_C, "SIGHUP"

SERVERS = [
    Row(
        name="uvicorn",
        arguments=("-m", "uvicorn", ASGI, "--port", "{port}"),
        ends={TERM: -signal.SIGTERM, INT: -signal.SIGINT},
        loops=2,
        at_once=4,
    ),
    Row(
        name="uvicorn-without-lifespan",
        arguments=("-m", "uvicorn", "served.plain:application", "--port", "{port}"),
        ends={TERM: -signal.SIGTERM, INT: -signal.SIGINT},
        loops=2,
        at_once=4,
        rude=frozenset({TERM}),
    ),
    Row(
        name="hypercorn",
        arguments=("-m", "hypercorn", ASGI, "--bind", "127.0.0.1:{port}"),
        ends={TERM: 0, INT: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="granian",
        arguments=("-m", "granian", ASGI, "--interface", "asgi", "--port", "{port}"),
        ends={TERM: 0, INT: 0, HUP: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="daphne",
        arguments=("-m", "daphne", ASGI, "--port", "{port}"),
        ends={TERM: 0, INT: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="runserver",
        arguments=("-m", "django", "runserver", "127.0.0.1:{port}"),
        environment=DAPHNE,
        ends={TERM: -signal.SIGTERM, INT: 0, RELOAD: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="runserver-noreload",
        arguments=("-m", "django", "runserver", "--noreload", "127.0.0.1:{port}"),
        environment=DAPHNE,
        ends={TERM: 0, INT: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="runserver-wsgi",
        arguments=("-m", "django", "runserver", "127.0.0.1:{port}"),
        ends={TERM: -signal.SIGTERM, INT: 0, RELOAD: 0},
        loops=21,
        at_once=4,
    ),
    Row(
        name="gunicorn-uvicorn",
        arguments=("-m", "gunicorn", ASGI, "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:{port}"),
        ends={TERM: 0, INT: 0, HUP: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="gunicorn-asgi",
        arguments=("-m", "gunicorn", ASGI, "-k", "asgi", "-b", "127.0.0.1:{port}"),
        ends={TERM: 0, INT: 0, HUP: 0},
        loops=2,
        at_once=4,
    ),
    Row(
        name="gunicorn-sync",
        arguments=("-m", "gunicorn", WSGI, "-b", "127.0.0.1:{port}"),
        ends={TERM: 0, INT: 0, HUP: 0},
        loops=2,
        at_once=1,
    ),
    Row(
        name="gunicorn-threads",
        arguments=("-m", "gunicorn", WSGI, "--threads", "8", "-b", "127.0.0.1:{port}"),
        ends={TERM: 0, INT: 0, HUP: 0},
        loops=9,
        at_once=4,
    ),
]
