"""Django's synchronous ORM on a pool, so that native execution can be held against its own driver
with the tests that a project has already."""

from __future__ import annotations

import dataclasses
import itertools
import os
from contextlib import ContextDecorator
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


class run_natively(ContextDecorator):  # noqa: N801 - as Django's override_settings
    """Inside, all that synchronous code of this thread does with a database of ``DATABASES`` runs
    on a pool: queries, writes and transactions, whatever manager they come from.

    ``with run_natively("default"):``, or a decorator of a function or of a test class. On Django's
    ``TestCase`` it has to be the class's: data in a transaction of Django's own connection can't
    be seen from another one. Raises TransactionManagementError where one is open.
    """

    def __init__(self, *databases: str) -> None:
        self._databases = databases or ("default",)
        self._before: list[dict[str, Any]] = []

    def _recreate_cm(self) -> Self:
        return type(self)(*self._databases)

    def __call__(self, decorated: Any) -> Any:
        if not isinstance(decorated, type):
            return super().__call__(decorated)
        databases = self._databases
        inner = decorated.setUpClass  # type: ignore[attr-defined]

        def set_up_class(cls: Any) -> None:
            cls.enterClassContext(run_natively(*databases))
            inner.__func__(cls)

        decorated.setUpClass = classmethod(set_up_class)  # type: ignore[attr-defined]
        return decorated

    def __enter__(self) -> Self:
        before = {alias: connections[alias] for alias in self._databases}
        for alias, found in before.items():
            if found.in_atomic_block:
                raise transaction.TransactionManagementError(
                    f"the database {alias!r} is in a transaction of Django's own connection, whose "
                    "data no other one sees. Decorate the TestCase class with run_natively, or use "
                    'ENGINE "poolapp.testing.engine" for the whole run'
                )
        for alias in before:
            settings = connections.settings[alias]
            connections[alias] = steady(settings["ENGINE"])(settings, alias)
        self._before.append(before)
        return self

    def __exit__(self, *_: object) -> None:
        for alias, found in self._before.pop().items():
            connections[alias].close()
            connections[alias] = found
