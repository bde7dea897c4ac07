"""Django's synchronous ORM on a pool, so that native execution can be held against its own driver
with the tests that a project has already."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import itertools
import os
import threading
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Self

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.db.utils import load_backend

from poolapp.conf.database import location_of
from poolapp.core.config import PoolConfig
from poolapp.core.registry import pools

_BACKEND = "poolapp.backends.postgres.PostgresBackend"

_numbers = itertools.count(1)

_CONNECTIONS = 100
"""At most, of one database: each thread of a test has one, as with Django's own engine."""


@lru_cache
def steady(engine: str) -> Any:
    """The database wrapper of an engine of PostgreSQL's kind, with a connection of a pool in place
    of one of psycopg's, which it holds for as long as it is open."""
    from poolapp.backends.postgres.native.hydration import swift_operations
    from poolapp.backends.postgres.native.operations import native_operations
    from poolapp.testing.steady import SteadyConnection

    base = load_backend(engine).DatabaseWrapper

    class DatabaseWrapper(base):  # type: ignore[misc, valid-type]
        pool = None  # Django's own, of OPTIONS["pool"]
        for_a_block = False
        ops_class = swift_operations(native_operations(base.ops_class))

        def get_new_connection(self, conn_params: Any) -> Any:
            level = _isolation_level(self)
            self.isolation_level = level or self.Database.IsolationLevel.READ_COMMITTED
            return SteadyConnection(self, _pool_of(self), level)

        def create_cursor(self, name: str | None = None) -> Any:
            return self.connection.cursor(name)

        def ensure_timezone(self) -> bool:
            return self.connection is not None and bool(self._configure_timezone(self.connection))

        def _close(self) -> None:
            if self.connection is not None:
                self.connection.close()

    DatabaseWrapper.__qualname__ = "DatabaseWrapper"  # as Django's own in a repr
    return DatabaseWrapper


def _isolation_level(database: Any) -> Any:
    value = database.settings_dict["OPTIONS"].get("isolation_level")
    try:
        return None if value is None else database.Database.IsolationLevel(value)
    except ValueError:
        raise ImproperlyConfigured(
            f"Invalid transaction isolation level {value} specified. Use one of the "
            "psycopg.IsolationLevel values."
        ) from None


def _pool_of(database: Any) -> str:
    """The alias of a pool for just these settings. A test run changes the name of the database,
    and goes by another one to make it."""
    place = location_of(database.settings_dict)
    # These Django sets itself, in the session.
    query = {name: each for name, each in place.query.items() if name not in ("TimeZone", "role")}
    place = dataclasses.replace(place, query=query)
    key = (
        database.alias,
        place.address,
        place.path,
        place.username,
        *sorted(query.items()),
        os.getpid(),
        database.for_a_block,
    )
    if key not in _known:
        alias = _known[key] = f"poolapp.testing:{database.alias}:{next(_numbers)}"
        pools.register(
            alias,
            PoolConfig(
                alias=alias,
                backend=_BACKEND,
                locations=(place,),
                max_size=_CONNECTIONS,
                breaker=None,
            ),
        )
    return _known[key]


_known: dict[tuple[Any, ...], str] = {}


class _Blocks:
    """How many there are at a time; their pools go with the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def enter(self) -> None:
        with self._lock:
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            over = [] if self._count else [key for key in _known if key[-1]]
            aliases = [_known.pop(key) for key in over]
        for alias in aliases:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                pools.run(pools.remove, alias)
            else:  # which is not to be blocked
                pools.spawn(pools.remove, alias)


_blocks = _Blocks()


class run_natively(ContextDecorator):  # noqa: N801 - as Django's override_settings
    """Inside, all that synchronous code of this thread does with a database of ``DATABASES`` runs
    on a pool: queries, writes and transactions, whatever manager they come from. In async code it
    is what is awaited inside that does: ``sync_to_async``, and Django's own async methods.

    ``with run_natively("default"):``, or a decorator of a function, sync or async, or of a test
    class. On Django's ``TestCase`` it has to be the class's: data in a transaction of Django's own
    connection can't be seen from another one. Raises TransactionManagementError where one is open.
    """

    def __init__(self, *databases: str) -> None:
        self._databases = databases or ("default",)
        self._entered: list[_Inside] = []

    def _recreate_cm(self) -> Self:
        return type(self)(*self._databases)

    def __call__(self, decorated: Any) -> Any:
        if isinstance(decorated, type):
            return self._decorate_class(decorated)
        if inspect.iscoroutinefunction(decorated):

            @functools.wraps(decorated)
            async def natively(*args: Any, **named: Any) -> Any:
                with self._recreate_cm():
                    return await decorated(*args, **named)

            return natively
        return super().__call__(decorated)

    def _decorate_class(self, decorated: Any) -> Any:
        inner = decorated.setUpClass

        def set_up_class(cls: Any) -> None:
            cls.enterClassContext(self._recreate_cm())
            inner.__func__(cls)

        decorated.setUpClass = classmethod(set_up_class)
        return decorated

    def __enter__(self) -> Self:
        _install(connections)
        for alias in self._databases:
            if connections[alias].in_atomic_block:
                raise transaction.TransactionManagementError(
                    f"the database {alias!r} is in a transaction of another connection, whose data "
                    "no other one sees. Decorate the TestCase class with run_natively, or use "
                    'ENGINE "poolapp.testing.engine" for the whole run'
                )
        inside = _Inside(self._databases)
        self._entered.append(inside)
        inside.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.pop().leave()


class _Inside:
    """One block: its connections, a thread's own each, as Django's are."""

    def __init__(self, databases: tuple[str, ...]) -> None:
        self.databases = databases
        self._here = threading.get_ident()
        self._wrappers: dict[tuple[int, str], Any] = {}
        self._outer = _INSIDE.get()
        self._before: dict[str, Any] = {}

    def enter(self) -> None:
        self._before = {alias: connections[alias] for alias in self.databases}
        _INSIDE.set(self)
        _blocks.enter()
        for alias in self.databases:
            # For who goes through all connections: Django does when a setting is overridden.
            connections[alias] = self.wrapper(alias)

    def leave(self) -> None:
        _INSIDE.set(self._outer)
        for alias, found in self._before.items():
            connections[alias] = found
        for each in self._wrappers.values():
            # Not by the wrapper's close(), which is for its own thread and for no running loop.
            if each.connection is not None:
                each.connection.close()
                each.connection = None
        _blocks.leave()

    def wrapper(self, alias: str) -> Any:
        key = (threading.get_ident(), alias)
        if key not in self._wrappers:
            settings = connections.settings[alias]
            made = self._wrappers[key] = steady(settings["ENGINE"])(settings, alias)
            made.for_a_block = True
        return self._wrappers[key]

    def of(self, alias: str) -> Any:
        """The wrapper of an alias; None for one of which nothing was said."""
        if alias in self.databases:
            return self.wrapper(alias)
        return None if self._outer is None else self._outer.of(alias)


_INSIDE: ContextVar[_Inside | None] = ContextVar("poolapp_natively", default=None)


def _install(handler: Any) -> None:
    kind = type(handler)
    if not issubclass(kind, _Steered):
        handler.__class__ = type("ConnectionHandler", (_Steered, kind), {})


class _Steered:
    """``django.db.connections`` that goes by the block that its caller is in: the context reaches
    the threads of ``sync_to_async``, as Django's own connections do not."""

    def __getitem__(self, alias: str) -> Any:
        inside = _INSIDE.get()
        if inside is not None and not _runs_natively():
            found = inside.of(alias)
            if found is not None:
                return found
        return super().__getitem__(alias)  # type: ignore[misc]


def _runs_natively() -> bool:
    from poolapp.backends.postgres.native.bridge import current_session

    return current_session() is not None
