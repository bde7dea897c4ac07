"""What stands in a statement for a parameter.

Django leaves the parameters to its driver, which writes them into the statement as literals.
asyncpg binds them, and the server then has to guess their types. So each is given the type that
the literal has: ``$1::int4`` is to the server what ``5`` is, and ``$1`` alone is what ``'a'`` is,
a literal whose type is still to be found out.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.adapt import PyFormat

UNKNOWN = ""
"""The kind of a text, whose type the server finds out."""

NULL = "null"

WRITTEN = "="
"""The start of the kind of what is written into the statement; the literal follows."""

QUOTED = "'"
"""The start of the kind of what is sent as a literal's text; the type follows."""

NATIVE = frozenset({
    "bool", "bytea", "date", "float8", "int4", "int8", "interval", "numeric", "time", "timestamp",
    "timestamptz", "timetz", "uuid",
})  # fmt: skip
"""The kinds whose values are sent as they are; those of all others are texts."""

Bound = tuple[str, Any]
"""The kind of a parameter, which is the name of its type or one of the above, and what is sent."""

NO_NUL = "PostgreSQL text fields cannot contain NUL (0x00) bytes"
"""What psycopg says of such a text."""


def bind(value: Any, transformer: Any) -> Bound:
    """``transformer`` is psycopg's, for what has no kind of its own here."""
    kind: Any = type(value)
    binder = _BINDERS.get(kind) or _binder_for(kind)
    return _bind_other(value, transformer) if binder is None else binder(value)


@lru_cache(maxsize=256)
def _binder_for(kind: Any) -> Callable[[Any], Bound] | None:
    """Of a subclass, such as that of an enumeration of numbers: its base's."""
    return next((_BINDERS[base] for base in kind.__mro__ if base in _BINDERS), None)


def _bind_int(value: int) -> Bound:
    # The server reads a number so: as the smallest of these that holds it.
    if -0x80000000 <= value < 0x80000000:
        return "int4", int(value)
    if -0x8000000000000000 <= value < 0x8000000000000000:
        return "int8", int(value)
    return "numeric", Decimal(int(value))


def _bind_float(value: float) -> Bound:
    if value != value or value in (float("inf"), float("-inf")):
        return "float8", float(value)
    return "numeric", Decimal(repr(float(value)))


def _bind_decimal(value: Decimal) -> Bound:
    # Written without a point it is a whole number to the server.
    if value.is_finite() and value.as_tuple().exponent == 0:
        return _bind_int(int(value))
    return "numeric", value


def _bind_text(value: str) -> Bound:
    if "\x00" in value:
        raise psycopg.DataError(NO_NUL)
    return UNKNOWN, str.__str__(value)


def _bind_datetime(value: datetime.datetime) -> Bound:
    return ("timestamp" if value.tzinfo is None else "timestamptz"), value


def _bind_time(value: datetime.time) -> Bound:
    return ("time" if value.tzinfo is None else "timetz"), value


def _as(kind: str) -> Callable[[Any], Bound]:
    return lambda value: (kind, value)


_BINDERS: dict[type, Callable[[Any], Bound]] = {
    type(None): _as(NULL),
    bool: _as("bool"),
    int: _bind_int,
    float: _bind_float,
    str: _bind_text,
    bytes: _as("bytea"),
    bytearray: _as("bytea"),
    memoryview: _as("bytea"),
    Decimal: _bind_decimal,
    datetime.date: _as("date"),
    datetime.datetime: _bind_datetime,
    datetime.time: _bind_time,
    datetime.timedelta: _as("interval"),
    uuid.UUID: _as("uuid"),
    psycopg.Binary: lambda value: ("bytea", value.obj),
}


def _bind_other(value: Any, transformer: Any) -> Bound:
    """By the literal that psycopg writes."""
    literal = bytes(transformer.as_literal(value)).decode()
    quoted, _, cast = literal.rpartition("'::")
    if not quoted and not literal.endswith("'"):
        return WRITTEN + literal, None
    text = bytes(transformer.get_dumper(value, PyFormat.TEXT).dump(value)).decode()
    return (QUOTED + cast if quoted else UNKNOWN), text


def bind_list(values: Sequence[Any]) -> Bound | None:
    """What stands for the list of an ``IN``, as one array: for several values whose literals have
    one and the same type. None for others."""
    if len(values) == 1:
        return None  # the server plans it as an equality
    kinds = {type(value) for value in values}
    if kinds <= _WHOLE:
        bound = [_bind_int(value) for value in values]
        found = {kind for kind, _ in bound}
        kind = next((each for each in ("numeric", "int8") if each in found), "int4")
        return f"{QUOTED}{kind}[]", _array(str(value) for _, value in bound)
    if kinds == {str}:
        return UNKNOWN, _array(_quoted(_bind_text(value)[1]) for value in values)
    if kinds == {uuid.UUID}:
        return f"{QUOTED}uuid[]", _array(map(str, values))
    return None


_WHOLE = {int}


def _array(texts: Iterable[str]) -> str:
    return "{" + ",".join(texts) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def placeholder(number: int, kind: str) -> str:
    """What stands in the statement for the parameter ``$number``."""
    return f"${number}" if kind == UNKNOWN else f"(${number}::{kind.removeprefix(QUOTED)})"
