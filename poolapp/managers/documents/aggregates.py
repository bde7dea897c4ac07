"""Django's aggregates as figures that a store is asked for."""

from __future__ import annotations

from typing import Any, Literal, get_args

from django.db import NotSupportedError
from django.db.models import Avg, Count, F, Max, Min, Q, Sum
from django.db.models.expressions import Star, Value

from poolapp.managers.documents.conditions import Condition
from poolapp.managers.documents.lookups import Lookups
from poolapp.managers.documents.selection import Aggregate

Function = Literal["count", "sum", "avg", "min", "max"]

_CLASSES = {Count: "count", Sum: "sum", Avg: "avg", Min: "min", Max: "max"}


def named(aggregates: tuple[Any, ...], by_name: dict[str, Any]) -> dict[str, Any]:
    """All of them by name: those without one by Django's default, ``likes__sum``."""
    found = dict(by_name)
    for each in aggregates:
        try:
            name = each.default_alias
        except (AttributeError, TypeError):
            raise TypeError(f"{each!r} needs a name: aaggregate(name=...)") from None
        if name in found:
            raise TypeError(f"the name {name!r} was given twice")
        found[name] = each
    return found


def translate(expression: Any, lookups: Lookups, store: str) -> Aggregate:
    """The figure of ``Count("*")``, ``Count("author", distinct=True)``, ``Sum("likes",
    filter=Q(...))``; NotSupportedError for any other expression."""
    function = _CLASSES.get(type(expression))
    if function is None:
        raise NotSupportedError(
            f"{store} can't compute {type(expression).__name__!r}; it has Count, Sum, Avg, Min and "
            "Max of a field"
        )
    assert function in get_args(Function)
    source = expression.get_source_expressions()[0]
    condition: Condition | None = None
    chosen = getattr(expression.filter, "condition", expression.filter)  # from Django 6 on, in one
    if isinstance(chosen, Q):
        condition = lookups.condition(chosen)
    elif chosen is not None:
        raise NotSupportedError(f"{store}: the filter of an aggregate has to be a Q")
    if isinstance(source, Star) or (isinstance(source, Value) and source.value == "*"):
        return Aggregate("count", None, False, condition)
    if not isinstance(source, F):
        raise NotSupportedError(f"{store} aggregates fields, not {type(source).__name__!r}")
    name: str = source.name  # type: ignore[attr-defined]
    field, path = lookups.path(name)
    if path:
        raise NotSupportedError(f"{store} aggregates no part of a JSONField: {name!r}")
    return Aggregate(function, field, bool(expression.distinct), condition)  # type: ignore[arg-type]
