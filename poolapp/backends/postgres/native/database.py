"""Django's database wrapper on a pool, and how native code comes by it."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import load_backend

from poolapp.backends.postgres.native.bridge import current_session
from poolapp.backends.postgres.native.connection import Connection
from poolapp.core.registry import pools

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.session import Session

_UNSAFE = (
    "chunked_cursor", "clean_savepoints", "close", "commit", "connect", "create_cursor", "cursor",
    "ensure_connection", "rollback", "savepoint", "savepoint_commit", "savepoint_rollback",
)  # fmt: skip
"""What Django lets nobody call where a loop runs, for it would block it. Here it does not."""


@lru_cache
def wrapper_class(engine: str) -> Any:
    """The wrapper of an engine of PostgreSQL's kind, on a pool."""
    base = load_backend(engine).DatabaseWrapper
    if base.vendor != "postgresql":
        raise ImproperlyConfigured(f"the engine {engine!r} is not PostgreSQL's")

    class NativeDatabase(base):  # type: ignore[misc, valid-type]
        session: Session

        def get_new_connection(self, conn_params: Any) -> Connection:
            return Connection(pool_for(self.alias), self)

        def create_cursor(self, name: str | None = None) -> Any:
            return self.connection.cursor(name)

        def _configure_connection(self, connection: Any) -> bool:
            return False  # it is done by the pool

        def _close(self) -> None:
            if self.connection is not None:
                self.connection.close()

    for name in _UNSAFE:
        if name not in vars(NativeDatabase):
            setattr(NativeDatabase, name, _unwrapped(getattr(base, name)))
    return NativeDatabase


def _unwrapped(function: Any) -> Any:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


class _Laid(threading.local):
    """Wrappers that nobody uses: making one costs more than a small query."""

    def __init__(self) -> None:
        self.by_alias: dict[str, list[Any]] = {}


_laid = _Laid()


def wrapper(alias: str, session: Session) -> Any:
    settings = connections.settings[alias]
    free = _laid.by_alias.get(alias)
    while free:
        found = free.pop()
        if found.settings_dict is settings:
            found.session = session
            return found
    made = wrapper_class(settings["ENGINE"])(settings, alias)
    made.session = session
    return made


def lay_by(alias: str, used: Any) -> None:
    del used.session
    if used.connection is None or used.connection.at_rest:
        _laid.by_alias.setdefault(alias, []).append(used)


def pool_for(alias: str) -> str:
    """The alias of the pool that leads to a database of ``DATABASES``."""
    found = [
        each for each in pools if getattr(pools.config(each).locations, "alias", None) == alias
    ]
    if alias in found or (not found and alias in pools):
        return alias
    if found:
        return found[0]
    raise ImproperlyConfigured(f"no pool leads to the database {alias!r}")


def install(handler: Any) -> None:
    """Have native code find its own wrappers in ``django.db.connections``."""
    kind = type(handler)
    if not issubclass(kind, _Finding):
        handler.__class__ = type("ConnectionHandler", (_Finding, kind), {})


class _Finding:
    def __getitem__(self, alias: str) -> Any:
        session = current_session()
        if session is not None:
            return session.database(alias)
        return super().__getitem__(alias)  # type: ignore[misc]
