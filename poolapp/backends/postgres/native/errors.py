"""asyncpg's errors as those of the driver that Django wraps: psycopg's."""

from __future__ import annotations

from typing import Any

import asyncpg
import psycopg
from django.db import OperationalError

from poolapp.core.exceptions import BackendUnavailable


class DatabaseUnavailable(BackendUnavailable, OperationalError):
    """The server can't be reached, or was lost during a statement: a pool's error that is also
    Django's."""


def translated(error: Exception) -> Exception:
    """What code that was written for Django expects in place of an error."""
    if isinstance(error, BackendUnavailable):
        return error if isinstance(error, OperationalError) else DatabaseUnavailable(str(error))
    if isinstance(error, asyncpg.PostgresError):
        return _class_of(error)(_text_of(error))
    if isinstance(error, asyncpg.InterfaceError):
        kind = psycopg.DataError if isinstance(error, ValueError) else psycopg.InterfaceError
        return kind(str(error))
    return error


def _class_of(error: asyncpg.PostgresError) -> type[psycopg.Error]:
    try:
        return psycopg.errors.lookup(error.sqlstate)
    except KeyError:
        return psycopg.DatabaseError


def _text_of(error: Any) -> str:
    lines = [str(error.args[0]) if error.args else ""]
    for name in ("detail", "hint", "context"):
        said = getattr(error, name, None)
        if said:
            lines.append(f"{name.upper()}:  {said}")
    return "\n".join(lines)
