"""A condition as spans of names, in their order: what a bucket can find by listing.

A span reaches from one cut to another; a cut is just before (0) or just after (1) a name. Spans of
a list are sorted, and apart from each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from django.db import NotSupportedError

from poolapp.managers.documents.conditions import Condition, Every, Not, Some, Where
from poolapp.managers.s3.keys import LAST, Keys, encoded

Cut: TypeAlias = tuple[str, int]
Span: TypeAlias = tuple[Cut, Cut]

FIRST: Cut = ("", 1)
END: Cut = (LAST, 0)
ALL: list[Span] = [(FIRST, END)]

LOOKUPS = frozenset({"exact", "in", "startswith", "gt", "gte", "lt", "lte", "range", "isnull"})

_CAN = (
    "S3 finds objects by their key: pk with exact, in, startswith, gt, gte, lt, lte or range, "
    "joined by Q"
)


def spans_of(condition: Condition, keys: Keys) -> list[Span]:
    """The names that a condition is true for. NotSupportedError where only the objects' contents
    would tell."""
    match condition:
        case Where():
            return _looked_up(condition, keys)
        case Every():
            found = ALL
            for part in condition.parts:
                found = both(found, spans_of(part, keys))
            return found
        case Some():
            return merged([span for part in condition.parts for span in spans_of(part, keys)])
        case Not():
            return outside(spans_of(condition.part, keys))


def is_point(span: Span) -> bool:
    """Whether it is one name."""
    return span[0][0] == span[1][0]


def contains(span: Span, name: str) -> bool:
    return span[0] <= (name, 0) and (name, 1) <= span[1]


def merged(spans: list[Span]) -> list[Span]:
    """Or: sorted, and joined where they overlap."""
    found: list[Span] = []
    for low, high in sorted(spans):
        if found and low <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def both(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """And."""
    found: list[Span] = []
    i = j = 0
    while i < len(some) and j < len(others):
        low = max(some[i][0], others[j][0])
        high = min(some[i][1], others[j][1])
        if low < high:
            found.append((low, high))
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return found


def outside(spans: Sequence[Span]) -> list[Span]:
    """Not."""
    cuts = [FIRST, *(cut for span in spans for cut in span), END]
    return [(low, high) for low, high in zip(cuts[::2], cuts[1::2], strict=True) if low < high]


def _looked_up(where: Where, keys: Keys) -> list[Span]:
    lookup, value = where.lookup, where.value
    if where.field is not keys.pk or where.path or lookup not in LOOKUPS:
        raise NotSupportedError(f"{where.field.name}__{lookup}: {_CAN}")
    if lookup == "isnull":
        return [] if value else ALL
    if lookup == "exact":
        return _points([value], keys)
    if lookup == "in":
        return _points(value, keys)
    if lookup == "startswith":
        start = encoded(value)
        return both(ALL, [((start, 0), (start + LAST, 0))])
    if not keys.is_ordered:
        raise NotSupportedError(
            f"{where.field.name}__{lookup}: the S3 keys of {where.field} are not in its "
            "order; use exact or in"
        )
    if lookup == "range":
        low, high = (keys.bound(each) for each in value)
        return both(ALL, [((low, 0), (high, 1))]) if low <= high else []
    bound = keys.bound(value)
    span = {
        "gt": ((bound, 1), END),
        "gte": ((bound, 0), END),
        "lt": (FIRST, (bound, 0)),
        "lte": (FIRST, (bound, 1)),
    }[lookup]
    return both(ALL, [span]) if span[0] < span[1] else []


def _points(values: Sequence[object], keys: Keys) -> list[Span]:
    """Values that no key can hold are nowhere."""
    names = []
    for value in values:
        try:
            names.append(keys.key(value).removeprefix(keys.prefix))
        except ValueError:
            continue
    return merged([((name, 0), (name, 1)) for name in names])
