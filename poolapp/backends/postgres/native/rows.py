"""asyncpg's values as those that Django's driver gives."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Decoder = Callable[[Any], Any]


def decoders(attributes: Sequence[Any], timezone: Any) -> tuple[tuple[int, Decoder], ...]:
    """For the columns of a statement that need one: the column's number, and what to call."""
    found = []
    for number, attribute in enumerate(attributes):
        kind = attribute.type
        if kind.name == "timestamptz":
            found.append((number, lambda value: value.replace(tzinfo=timezone)))
        elif kind.name in _BY_NAME:
            found.append((number, _BY_NAME[kind.name]))
    return tuple(found)


def as_tuples(
    records: Iterable[Any], columns: Sequence[tuple[int, Decoder]]
) -> list[tuple[Any, ...]]:
    if not columns:
        return list(map(tuple, records))
    rows = []
    for record in records:
        row = list(record)
        for number, decode in columns:
            if row[number] is not None:
                row[number] = decode(row[number])
        rows.append(tuple(row))
    return rows


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(int=value.int)


_BY_NAME: dict[str, Decoder] = {
    "uuid": _uuid,
    "inet": str,
    "cidr": str,
}
