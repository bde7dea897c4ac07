"""Which documents are meant: a tree, in the words of no store.

It has two truth values. A look-up is false for a document whose field is null or missing, except
``isnull``, and ``Not`` turns that around: so ``exclude(x=1)`` keeps the documents that have no x,
as Django's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.db.models import Field


@dataclass(frozen=True, slots=True)
class Where:
    """One look-up of one field.

    ``field`` is a concrete field of the model; ``path`` the way down into a JSONField, of keys
    (str) and indexes (int), else ``()``. ``value`` is what the store holds for it (see Form): a
    tuple for ``in`` (never empty, no None) and ``range`` (two), a bool for ``isnull``, text for
    ``contains``, ``regex`` and their like; within a JSONField plain JSON; what the caller gave for
    a look-up of the store's own. Never None.
    """

    field: Field[Any, Any]
    path: tuple[str | int, ...]
    lookup: str
    value: Any


@dataclass(frozen=True, slots=True)
class Every:
    """And; true without parts."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """Or; false without parts."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    part: Condition


Condition: TypeAlias = Where | Every | Some | Not

ALL = Every()
NONE = Some()


def every(parts: Iterable[Condition]) -> Condition:
    """And, simplified: NONE when a part is NONE, the part itself when there is one."""
    flat: list[Condition] = []
    for part in parts:
        if part == NONE:
            return NONE
        flat.extend(part.parts if isinstance(part, Every) else (part,))
    return flat[0] if len(flat) == 1 else Every(tuple(flat))


def some(parts: Iterable[Condition]) -> Condition:
    """Or, simplified: ALL when a part is ALL, the part itself when there is one."""
    flat: list[Condition] = []
    for part in parts:
        if part == ALL:
            return ALL
        flat.extend(part.parts if isinstance(part, Some) else (part,))
    return flat[0] if len(flat) == 1 else Some(tuple(flat))


def negated(part: Condition) -> Condition:
    """Not, simplified."""
    if part == ALL:
        return NONE
    if part == NONE:
        return ALL
    return part.part if isinstance(part, Not) else Not(part)


def leaves(condition: Condition) -> Iterator[Where]:
    """Every look-up of the tree."""
    match condition:
        case Where():
            yield condition
        case Not():
            yield from leaves(condition.part)
        case _:
            for part in condition.parts:
                yield from leaves(part)
