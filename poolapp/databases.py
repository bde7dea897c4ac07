"""Which pool leads to a database of ``DATABASES``, and which database a pool leads to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import load_backend
from django.utils.connection import ConnectionDoesNotExist
from django.utils.module_loading import import_string

from poolapp.core.registry import pools

POSTGRES = "poolapp.backends.postgres.PostgresBackend"


def pool_for(database: str) -> str:
    """The alias of the pool that leads to a database of ``DATABASES``: the one whose ``DATABASE``
    names it, of several the one that is named alike, else the first; or else the PostgreSQL pool
    of the same alias.

    Raises ConnectionDoesNotExist for an unknown database, ImproperlyConfigured for one that is not
    PostgreSQL's, and for one that no pool leads to.
    """
    return _pool_for(database, pools.version, id(connections.settings))


def pool_or_none(database: str) -> str | None:
    """The same, and None for a database that is worked with in a thread."""
    try:
        return pool_for(database)
    except (ConnectionDoesNotExist, ImproperlyConfigured):
        return None


@lru_cache
def _pool_for(database: str, version: int, settings: int) -> str:
    named = [each for each in pools if _names(each) == database]
    if named:
        return database if database in named else named[0]
    if database in pools and _is_postgres(database):
        return database
    known = connections.settings
    if database not in known:
        raise ConnectionDoesNotExist(
            f"there is no database {database!r}: DATABASES has "
            f"{', '.join(map(repr, sorted(known)))}, and POOLS no PostgreSQL pool of this alias"
        )
    engine = str(known[database]["ENGINE"])
    if vendor_of(engine) != "postgresql":
        raise ImproperlyConfigured(not_postgres(database, engine))
    raise ImproperlyConfigured(
        f"no pool leads to the database {database!r}; add to POOLS: "
        f'{database!r}: {{"BACKEND": "{POSTGRES}", "DATABASE": {database!r}}}'
    )


def not_postgres(database: str, engine: str) -> str:
    """What to tell who wants to work natively on another database."""
    return (
        f"the database {database!r} has the engine {engine!r}, and only PostgreSQL's are worked "
        "with natively. Use a plain models.Manager for it, whose asynchronous methods take a thread"
    )


def database_of(pool: str) -> str:
    """The alias under which Django's code knows the database of a pool: that of ``DATABASE``, or
    else the pool's own, which ``DATABASES`` need not have."""
    return _names(pool) or pool


def _names(pool: str) -> str | None:
    found: str | None = getattr(pools.config(pool).locations, "alias", None)
    return found


def _is_postgres(pool: str) -> bool:
    try:
        backend = import_string(pools.config(pool).backend)
    except ImportError:
        return False
    return hasattr(backend.pool_class, "natively")


def zone_of(settings: Mapping[str, Any]) -> str:
    """The time zone that Django gives a session of a database, or none: as
    ``BaseDatabaseWrapper.timezone_name`` has it."""
    if not django_settings.USE_TZ:
        return django_settings.TIME_ZONE or ""
    return settings.get("TIME_ZONE") or "UTC"


def vendor_of(engine: str) -> str:
    """What the engine says it talks to: a third party's may be PostgreSQL under any name."""
    try:
        return str(load_backend(engine).DatabaseWrapper.vendor)
    except (ImproperlyConfigured, ImportError, AttributeError):
        # The driver of the synchronous ORM may be missing; then the name has to do.
        return "postgresql" if engine.endswith(("postgresql", "postgis")) else engine
