"""A condition on one field as the stretches of a sorted set that fulfil it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from django.db import NotSupportedError

from poolapp.managers.documents.conditions import Condition, Every, Not, Some, Where
from poolapp.managers.documents.kinds import TEXTS, kind_of
from poolapp.managers.redis.codec import NULL, encode

Interval = tuple[bytes, bytes]
"""From the first, up to but without the second. A member of an index is a value's ``encode()``,
NUL, and something of the primary key."""

END = b"2"
"""Is more than any member."""

EVERYTHING: tuple[Interval, ...] = ((b"", END),)

LOOKUPS = frozenset({"exact", "in", "gt", "gte", "lt", "lte", "range", "startswith", "isnull"})

_VALUES = b"1"
_NULLS = (NULL, _VALUES)


def intervals(condition: Condition) -> tuple[Interval, ...]:
    """In their order, none touching another. All look-ups are of one and the same field."""
    match condition:
        case Where():
            return _merged(_of(condition))
        case Every():
            found = EVERYTHING
            for part in condition.parts:
                found = _common(found, intervals(part))
            return found
        case Some():
            return _merged([each for part in condition.parts for each in intervals(part)])
        case Not():
            return _rest(intervals(condition.part))


def is_point(found: Sequence[Interval]) -> bool:
    """Whether all that fulfils it has one and the same value."""
    return len(found) == 1 and found[0][0][-1:] == b"\0" and found[0][0][:-1] + b"\1" == found[0][1]


def _of(where: Where) -> list[Interval]:
    kind = kind_of(where.field)
    value = where.value
    match where.lookup:
        case "isnull":
            return [_NULLS] if value else [(_VALUES, END)]
        case "exact":
            return [_exactly(encode(kind, value))]
        case "in":
            return [_exactly(encode(kind, each)) for each in value]
        case "gt":
            return [(_after(encode(kind, value)), END)]
        case "gte":
            return [(encode(kind, value), END)]
        case "lt":
            return [(_VALUES, encode(kind, value))]
        case "lte":
            return [(_VALUES, _after(encode(kind, value)))]
        case "range":
            low, high = value
            return [(encode(kind, low), _after(encode(kind, high)))]
        case "startswith" if kind in TEXTS:
            start = encode(kind, value)
            return [(start, start + b"\xff")]  # no byte of UTF-8 is that
    raise NotSupportedError(
        f"Redis can't look up {where.lookup!r} of {where.field.name!r}; it has "
        f"{', '.join(sorted(LOOKUPS))}"
    )


def _exactly(text: bytes) -> Interval:
    return text + b"\0", _after(text)


def _after(text: bytes) -> bytes:
    """More than all members of this value, and not more than those of the next."""
    return text + b"\1"


def _merged(found: list[Interval]) -> tuple[Interval, ...]:
    merged: list[Interval] = []
    for low, high in sorted(each for each in found if each[0] < each[1]):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def _common(some: Sequence[Interval], others: Sequence[Interval]) -> tuple[Interval, ...]:
    return _merged(
        [(max(a, c), min(b, d)) for a, b in some for c, d in others if max(a, c) < min(b, d)]
    )


def _rest(found: Sequence[Interval]) -> tuple[Interval, ...]:
    edges = [(b"", b""), *found, (END, END)]
    return tuple((high, low) for (_, high), (low, _) in pairwise(edges) if high < low)
