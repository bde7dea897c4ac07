"""asyncpg's errors as those of the driver that Django wraps: psycopg's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
from django.db import OperationalError
from psycopg.errors import get_base_exception
from psycopg.pq import DiagnosticField

from poolapp.core.exceptions import BackendUnavailable


class DatabaseUnavailable(BackendUnavailable, OperationalError):
    """The server can't be reached, or was lost during a statement: a pool's error that is also
    Django's."""


def translated(error: Exception) -> Exception:
    """What code that was written for Django expects in place of an error."""
    if isinstance(error, BackendUnavailable):
        return error if isinstance(error, OperationalError) else DatabaseUnavailable(str(error))
    if isinstance(error, asyncpg.PostgresError):
        return _class_of(error)(_text_of(error), info=_diagnosis(error))
    if isinstance(error, asyncpg.InterfaceError):
        kind = psycopg.DataError if isinstance(error, ValueError) else psycopg.InterfaceError
        return kind(str(error))
    if isinstance(error, asyncpg.InternalClientError):
        return psycopg.InternalError(str(error))
    return error


def closed() -> psycopg.OperationalError:
    return psycopg.OperationalError("the connection is closed")


def _class_of(error: asyncpg.PostgresError) -> type[psycopg.Error]:
    try:
        return psycopg.errors.lookup(error.sqlstate or "")
    except KeyError:
        return get_base_exception(error.sqlstate or "")


# -- what it says, as libpq puts it ----------------------------------------------------------------


def _text_of(error: Any) -> str:
    return "\n".join(_lines(error))


def _lines(error: Any) -> Iterator[str]:
    yield str(error.args[0]) if error.args else ""
    position, query = _said(error, "position"), _said(error, "query")
    if position and query:
        yield from pointer(query, int(position))
    elif _said(error, "internal_position") and _said(error, "internal_query"):
        yield from pointer(error.internal_query, int(error.internal_position))
    for name, label in (
        ("detail", "DETAIL"), ("hint", "HINT"), ("internal_query", "QUERY"), ("context", "CONTEXT"),
    ):  # fmt: skip
        said = _said(error, name)
        if name == "context":
            # It may name a parameter of ours, which the user's statement does not have.
            lines = said.splitlines()
            said = "\n".join(each for each in lines if not each.startswith(_OURS))
        if said:
            yield f"{label}:  {said}"


_OURS = "unnamed portal parameter $"


def _said(error: Any, name: str) -> str:
    return getattr(error, name, None) or ""


_WIDTH = 60
_RIGHT = 10
"""Characters of a line that are shown, and at least to the right of the fault."""


def pointer(query: str, position: int) -> tuple[str, str]:
    """The line of a query with the fault at a character, counted from 1, and a mark under it."""
    at = position - 1
    start = query.rfind("\n", 0, at) + 1
    number = query.count("\n", 0, at) + 1
    found = query.find("\n", at)
    end = len(query) if found < 0 else found
    left = right = ""
    if end - start > _WIDTH:
        if start + _WIDTH >= at + _RIGHT:
            end, right = start + _WIDTH, "..."
        else:
            if at + _RIGHT < end:
                end, right = at + _RIGHT, "..."
            if end - start > _WIDTH:
                start, left = end - _WIDTH, "..."
    label = f"LINE {number}: {left}"
    shown = query[start:end].replace("\t", " ")
    return f"{label}{shown}{right}", f"{' ' * (len(label) + at - start)}^"


# -- what it names ---------------------------------------------------------------------------------

_FIELDS = {
    DiagnosticField.SEVERITY: "severity",
    DiagnosticField.SEVERITY_NONLOCALIZED: "severity_en",
    DiagnosticField.SQLSTATE: "sqlstate",
    DiagnosticField.MESSAGE_DETAIL: "detail",
    DiagnosticField.MESSAGE_HINT: "hint",
    DiagnosticField.STATEMENT_POSITION: "position",
    DiagnosticField.INTERNAL_POSITION: "internal_position",
    DiagnosticField.INTERNAL_QUERY: "internal_query",
    DiagnosticField.CONTEXT: "context",
    DiagnosticField.SCHEMA_NAME: "schema_name",
    DiagnosticField.TABLE_NAME: "table_name",
    DiagnosticField.COLUMN_NAME: "column_name",
    DiagnosticField.DATATYPE_NAME: "data_type_name",
    DiagnosticField.CONSTRAINT_NAME: "constraint_name",
    DiagnosticField.SOURCE_FILE: "server_source_filename",
    DiagnosticField.SOURCE_LINE: "server_source_line",
    DiagnosticField.SOURCE_FUNCTION: "server_source_function",
}


def _diagnosis(error: Any) -> dict[int, bytes | None]:
    """For ``diag``."""
    found = {int(field): _bytes(getattr(error, name, None)) for field, name in _FIELDS.items()}
    found[int(DiagnosticField.MESSAGE_PRIMARY)] = _bytes(error.args[0] if error.args else None)
    return found


def _bytes(said: Any) -> bytes | None:
    return None if said is None else str(said).encode()
