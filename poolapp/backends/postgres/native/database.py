"""Django's database wrapper on a pool, and how native code comes by it."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import connections
from django.db.utils import ConnectionHandler, ProgrammingError, load_backend

from poolapp.backends.postgres.native.bridge import current_session
from poolapp.backends.postgres.native.connection import Connection
from poolapp.backends.postgres.native.hydration import swift_operations
from poolapp.backends.postgres.native.operations import native_operations
from poolapp.databases import not_postgres, vendor_of, zone_of

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
    if not hasattr(base.Database, "IsolationLevel"):
        raise ImproperlyConfigured(
            "native execution compiles with Django's PostgreSQL backend on psycopg 3, and here it "
            "has found psycopg2 only; pip install 'psycopg[binary]'"
        )

    class NativeDatabase(base):  # type: ignore[misc, valid-type]
        session: Session
        pool_alias: str
        database_name: str | None
        pool = None  # Django's own, of OPTIONS["pool"], which would never be used
        ops_class = swift_operations(native_operations(base.ops_class))

        def get_connection_params(self) -> dict[str, Any]:
            return {}  # the pool knows where to connect to

        def get_new_connection(self, conn_params: Any) -> Connection:
            self.isolation_level = self._wanted_isolation() or self._Isolation.READ_COMMITTED
            return Connection(self.pool_alias, self, self._wanted_isolation())

        @property
        def session_zone(self) -> str:
            return session_zone(self.alias)

        @property
        def _Isolation(self) -> Any:  # noqa: N802
            return self.Database.IsolationLevel

        def _wanted_isolation(self) -> Any:
            value = self.settings_dict["OPTIONS"].get("isolation_level")
            try:
                return None if value is None else self._Isolation(value)
            except ValueError:
                raise ImproperlyConfigured(
                    f"DATABASES[{self.alias!r}]['OPTIONS']['isolation_level'] is {value!r}, which "
                    "is none of psycopg.IsolationLevel"
                ) from None

        def ensure_connection(self) -> None:
            # Not Django's own, in whose place pytest-django may have put one that refuses.
            if self.connection is None:
                if self.in_atomic_block and self.closed_in_transaction:
                    raise ProgrammingError("Cannot open a new connection in an atomic block.")
                with self.wrap_database_errors:
                    self.connect()

        def create_cursor(self, name: str | None = None) -> Any:
            return self.connection.cursor(name)

        def _configure_connection(self, connection: Any) -> bool:
            return False  # it is done by the pool

        def ensure_timezone(self) -> bool:
            return False

        def close_if_unusable_or_obsolete(self) -> None:
            """Its connections are the pool's to look after, not those of a request's end."""

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


# -- wrappers that nobody uses: making one costs as much as a small query --------------------------

KEPT = 100
"""Wrappers that a thread keeps of each database."""


class _Laid(threading.local):
    def __init__(self) -> None:
        self.by_alias: dict[tuple[str, str], list[Any]] = {}


_laid = _Laid()


class _Settings:
    """Those that a wrapper remembers."""

    version = 0
    """Grows with each change of them: a test overrides settings."""


def _note_settings(*, setting: str, **_: Any) -> None:
    if setting in ("DATABASES", "TIME_ZONE", "USE_TZ"):
        _Settings.version += 1


setting_changed.connect(_note_settings, dispatch_uid="poolapp.postgres.native")


def wrapper(alias: str, pool: str, session: Session) -> Any:
    """One for a session, of a database on a pool."""
    settings = settings_of(alias)
    free = _laid.by_alias.get((alias, pool))
    found = None
    while free and found is None:
        found = free.pop()
        # A test run renames the database in place. In the other one, types have other numbers.
        if found.settings_dict is not settings or found.database_name != settings["NAME"]:
            found = None
    if found is None:
        if vendor_of(settings["ENGINE"]) != "postgresql":
            raise ImproperlyConfigured(not_postgres(alias, settings["ENGINE"]))
        found = wrapper_class(settings["ENGINE"])(settings, alias)
        found.pool_alias = pool
        found.database_name = settings["NAME"]
        found.seen = _Settings.version
    refresh(found)
    found.session = session
    return found


def refresh(used: Any) -> None:
    """Have it ask for the settings anew that it remembers and that were changed since."""
    if used.seen != _Settings.version:
        used.seen = _Settings.version
        for name in ("timezone", "timezone_name"):
            vars(used).pop(name, None)


def at_rest(used: Any) -> bool:
    """Whether no transaction is open, by whatever means."""
    return not used.in_atomic_block and (used.connection is None or used.connection.at_rest)


def lay_by(used: Any) -> None:
    """Its session needs it no more. What was left open in it is rolled back."""
    if used.connection is not None and not used.connection.at_rest:
        used.connection.abandon()
    elif _is_as_new(used):
        free = _laid.by_alias.setdefault((used.alias, used.pool_alias), [])
        if len(free) < KEPT:
            del used.session
            free.append(used)


def _is_as_new(used: Any) -> bool:
    """Whether nobody can tell it from one that was never used."""
    return not (
        used.in_atomic_block
        or used.closed_in_transaction
        or used.savepoint_ids
        or used.run_on_commit
        or used.run_commit_hooks_on_set_autocommit_on
        or used.execute_wrappers
        or used.force_debug_cursor
        or used.queries_log
        or used.needs_rollback
        or not used.settings_dict["AUTOCOMMIT"]
    )


def settings_of(alias: str) -> dict[str, Any]:
    """As in ``DATABASES``; for a pool of another name, as they are when nothing is said."""
    known: dict[str, dict[str, Any]] = connections.settings
    if alias not in known:
        return _unsaid(alias)
    return known[alias]


def session_zone(alias: str) -> str:
    """What a session's time zone must be; none where DATABASES says nothing of the database."""
    known = connections.settings
    return zone_of(known[alias]) if alias in known else ""


@lru_cache
def _unsaid(alias: str) -> dict[str, Any]:
    engine = {"ENGINE": "django.db.backends.postgresql"}
    made: dict[str, Any] = ConnectionHandler({"default": engine}).settings["default"]
    return made


# -- django.db.connections -------------------------------------------------------------------------


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
