"""How a selection is found: by primary keys that are known, or along one index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.conditions import ALL, Condition, Where, leaves
from poolapp.managers.documents.selection import Order, Selection
from poolapp.managers.redis.intervals import EVERYTHING, Interval, intervals, is_point
from poolapp.managers.redis.layout import Layout


@dataclass(frozen=True, slots=True)
class Plan:
    """``stretches`` of the index, in their order; or, where that is all that is asked for, the
    documents of ``pks`` (in document form), in their order."""

    index: Field[Any, Any]
    stretches: tuple[Interval, ...]
    backwards: bool
    pks: tuple[Any, ...] | None = None


def plan_of(selection: Selection, layout: Layout, pk: Field[Any, Any]) -> Plan:
    """Raises NotSupportedError, naming what there is, when one index does not do."""
    fields = {leaf.field for leaf in leaves(selection.condition)}
    ways = [pk, *(field for field in layout.indexed if field != pk)]
    if any(leaf.path for leaf in leaves(selection.condition)):
        _refuse("looks into no JSONField", ways)
    if len(fields) > 1:
        names = ", ".join(sorted(repr(each.name) for each in fields))
        _refuse(f"looks up by one field at a time, not by {names}", ways)
    if fields:
        (index,) = fields
    else:
        index = (selection.order[0].field if selection.order else None) or pk
    if index not in ways:
        _refuse(f"has no index of {index.name!r}", ways)
    found = EVERYTHING if selection.condition == ALL else intervals(selection.condition)
    backwards = selection.backwards or (bool(selection.order) and selection.order[0].descending)
    if not _is_order_of(selection.order, index, pk, found):
        said = ", ".join(("-" if each.descending else "") + _name(each) for each in selection.order)
        _refuse(f"can't sort by {said} what it finds by {index.name!r}", ways)
    return Plan(index, found, backwards, _pks(selection.condition, layout, pk, backwards))


def _is_order_of(
    order: Sequence[Order], index: Field[Any, Any], pk: Field[Any, Any], found: Sequence[Interval]
) -> bool:
    """Whether an index, or a part of it, is sorted like that: by its value, then by the pk."""
    left = list(order)
    if any(each.field is None or each.path for each in left):
        return False
    if len({each.descending for each in left}) > 1:
        return False
    names = [each.field for each in left]
    own = [index] if index == pk else [index, pk]
    return names == own[: len(names)] or (names == [pk] and is_point(found))


def _pks(
    condition: Condition, layout: Layout, pk: Field[Any, Any], backwards: bool
) -> tuple[Any, ...] | None:
    match condition:
        case Where(field, (), "exact", value) if field == pk:
            return (value,)
        case Where(field, (), "in", values) if field == pk:
            ordered = sorted(values, key=lambda each: layout.head(pk, each), reverse=backwards)
            return tuple(ordered)
    return None


def _name(order: Order) -> str:
    return "?" if order.field is None else "__".join(map(str, (order.field.name, *order.path)))


def _refuse(what: str, ways: Sequence[Field[Any, Any]]) -> NoReturn:
    names = ", ".join(each.name for each in ways)
    raise NotSupportedError(
        f"Redis {what}; it finds and sorts by one of: {names} (indexes=[...] of the RedisManager "
        "declares more)"
    )
