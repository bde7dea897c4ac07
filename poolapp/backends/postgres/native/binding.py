"""What stands in a statement for a parameter.

Django leaves the parameters to its driver, which writes them into the statement as literals.
asyncpg binds them, and the server then has to guess their types. So each is given the type that
the literal has: ``$1::int4`` is to the server what ``5`` is, and ``$1`` alone is what ``'a'`` is,
a literal whose type is still to be found out.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

UNKNOWN = ""
"""The kind of a text, whose type the server finds out."""

NULL = "null"

AS_TEXT = "text:"
"""The start of the kind of what is sent as text and cast to the type that follows."""

_CAST = re.compile(rb"::([\w\s.\"\[\]]+)$")


def bind(value: Any) -> tuple[str, Any]:
    """The kind of a parameter, which is the name of its type or one of the above, and what asyncpg
    takes for it."""
    binder = _BINDERS.get(type(value)) or _binder_for(type(value))
    return binder(value)


@lru_cache
def _binder_for(kind: type) -> Callable[[Any], tuple[str, Any]]:
    """Of a subclass, such as that of an enumeration of numbers: its base's."""
    return next((_BINDERS[base] for base in kind.__mro__ if base in _BINDERS), _bind_other)


def _bind_int(value: int) -> tuple[str, Any]:
    # The server reads a number so: the smallest of these that holds it.
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return "int4", int(value)
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return "int8", int(value)
    return "numeric", Decimal(value)


def _bind_float(value: float) -> tuple[str, Any]:
    if value != value or value in (float("inf"), float("-inf")):
        return "float8", value
    return "numeric", Decimal(repr(value))


def _bind_text(value: str) -> tuple[str, Any]:
    return UNKNOWN, str.__str__(value)


def _bind_datetime(value: datetime.datetime) -> tuple[str, Any]:
    return ("timestamp" if value.tzinfo is None else "timestamptz"), value


def _bind_time(value: datetime.time) -> tuple[str, Any]:
    return ("time" if value.tzinfo is None else "timetz"), value


def _as(kind: str) -> Callable[[Any], tuple[str, Any]]:
    return lambda value: (kind, value)


_BINDERS: dict[type, Callable[[Any], tuple[str, Any]]] = {
    type(None): _as(NULL),
    bool: _as("bool"),
    int: _bind_int,
    float: _bind_float,
    str: _bind_text,
    bytes: _as("bytea"),
    bytearray: _as("bytea"),
    memoryview: _as("bytea"),
    Decimal: _as("numeric"),
    datetime.date: _as("date"),
    datetime.datetime: _bind_datetime,
    datetime.time: _bind_time,
    datetime.timedelta: _as("interval"),
    uuid.UUID: _as("uuid"),
}


def _bind_other(value: Any) -> tuple[str, Any]:
    """By the literal that the driver of Django would write."""
    dumper = _transformer().get_dumper(value, _text_format())
    text = dumper.dump(value)
    if text is None:
        return NULL, None
    cast = _CAST.search(dumper.quote(value))
    decoded = bytes(text).decode()
    return (f"{AS_TEXT}{cast[1].decode()}" if cast else UNKNOWN), decoded


@lru_cache
def _transformer() -> Any:
    from django.db.backends.postgresql.psycopg_any import get_adapters_template
    from psycopg.adapt import Transformer

    return Transformer(SimpleNamespace(adapters=get_adapters_template(True, None), connection=None))


@lru_cache
def _text_format() -> Any:
    from psycopg.adapt import PyFormat

    return PyFormat.TEXT


def placeholder(number: int, kind: str) -> str:
    """What stands in the statement for the parameter ``$number``."""
    if kind == UNKNOWN:
        return f"${number}"
    if kind.startswith(AS_TEXT):
        return f"(${number}::text::{kind.removeprefix(AS_TEXT)})"
    return f"(${number}::{kind})"
