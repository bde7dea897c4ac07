"""Aggregates and groups as pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.forms import MICROSECOND
from poolapp.managers.documents.kinds import INTEGERS, Kind, kind_of
from poolapp.managers.documents.selection import Aggregate, Grouping
from poolapp.managers.mongodb.codec import EPOCH, Codec, is_wide
from poolapp.managers.mongodb.expressions import Expressions

_COUNTED = INTEGERS | {Kind.DURATION}
"""Kinds that are summed as decimals: a sum of 64-bit integers that overflows becomes a float."""

_SUMMED = _COUNTED | {Kind.FLOAT, Kind.DECIMAL}
_UNORDERED = frozenset({Kind.JSON, Kind.ARRAY, Kind.VECTOR, Kind.BINARY, Kind.BOOLEAN})

Stage = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Figure:
    """Names are ours: what a caller named an aggregate never reaches the server."""

    key: str
    aggregate: Aggregate


class Figures:
    """Of the documents of one codec."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._expressions = Expressions(codec)

    def check(self, aggregates: Iterable[Aggregate]) -> None:
        """NotSupportedError for what has no sum, or no order."""
        for each in aggregates:
            if each.field is None or each.function == "count":
                continue
            kind = kind_of(each.field)
            name = f"{each.function.capitalize()}({each.field.name!r})"
            if each.function in ("sum", "avg") and kind not in _SUMMED:
                raise NotSupportedError(
                    f"MongoDB: {name} is of {kind.name.lower()}, not of numbers"
                )
            if each.function in ("sum", "avg") and is_wide(each.field):
                raise NotSupportedError(
                    f"MongoDB can't compute {name}: it has no numbers of so many digits; it can "
                    "compute Count, Min and Max of them"
                )
            if each.function in ("min", "max") and kind in _UNORDERED:
                raise NotSupportedError(
                    f"MongoDB: {name} is of {kind.name.lower()}, which has no order"
                )

    # -- over all ------------------------------------------------------------------------------

    def split(
        self, aggregates: Mapping[str, Aggregate]
    ) -> tuple[dict[str, Aggregate], dict[str, Aggregate]]:
        """Those of one pipeline together, and those of distinct values, of one each."""
        together = {name: it for name, it in aggregates.items() if not _is_distinct(it)}
        return together, {name: it for name, it in aggregates.items() if _is_distinct(it)}

    def total(self, aggregates: Mapping[str, Aggregate]) -> list[Stage]:
        figures = _figures(aggregates)
        return [{"$group": {"_id": None, **self._accumulators(figures)}}, *_nulls(figures)]

    def of_distinct(self, aggregate: Aggregate) -> list[Stage]:
        """Without having all the values in one document."""
        operator = {"sum": {"$sum": "$_id"}, "avg": {"$avg": "$_id"}}
        return [
            {"$group": {"_id": self._value(aggregate)}},
            {"$match": {"_id": {"$ne": None}}},
            {"$group": {"_id": None, "f0": operator.get(aggregate.function, {"$sum": 1})}},
        ]

    # -- by group ------------------------------------------------------------------------------

    def groups(self, grouping: Grouping) -> list[Stage]:
        figures = _figures(grouping.aggregates)
        by = {
            f"g{at}": {"$ifNull": [self._expressions.operand(field), None]}
            for at, field in enumerate(grouping.by)
        }
        stages: list[Stage] = [
            {"$group": {"_id": by, **self._accumulators(figures)}},
            *_nulls(figures),
        ]
        names = {self._key(field): f"_id.g{at}" for at, field in enumerate(grouping.by)}
        names |= {name: figure.key for name, figure in _named(grouping.aggregates, figures)}
        if grouping.order:
            order = {names[name]: -1 if descending else 1 for name, descending in grouping.order}
            stages.append({"$sort": order})
        if grouping.low:
            stages.append({"$skip": grouping.low})
        if grouping.high is not None:
            stages.append({"$limit": grouping.high - grouping.low})
        return stages

    def row(self, grouping: Grouping, found: Mapping[str, Any]) -> dict[str, Any]:
        """A group as the chain expects it."""
        row = {
            self._key(field): self._decoded(field, found["_id"][f"g{at}"])
            for at, field in enumerate(grouping.by)
        }
        return row | self.loaded(grouping.aggregates, found)

    def loaded(
        self, aggregates: Mapping[str, Aggregate], found: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {
            name: self.value(figure.aggregate, found.get(figure.key))
            for name, figure in _named(aggregates, _figures(aggregates))
        }

    # -- values --------------------------------------------------------------------------------

    def value(self, aggregate: Aggregate, found: Any) -> Any:
        """In the form of the field."""
        if aggregate.function == "count":
            return int(found or 0)
        if found is None:
            return None
        assert aggregate.field is not None
        to_decimal = getattr(found, "to_decimal", None)
        number = found if to_decimal is None else to_decimal()
        if aggregate.function == "avg":
            return float(number) if kind_of(aggregate.field) in _COUNTED else number
        if aggregate.function == "sum":
            return int(number) if kind_of(aggregate.field) in _COUNTED else number
        return self._decoded(aggregate.field, found)

    def _decoded(self, field: Field[Any, Any], found: Any) -> Any:
        if found is not None and self._codec.is_split(field):
            return EPOCH + found * MICROSECOND
        return self._codec.decode(field, found)

    def _key(self, field: Field[Any, Any]) -> str:
        return field.attname

    def _value(self, aggregate: Aggregate) -> Any:
        """The expression of what is aggregated; null where it is left out."""
        if aggregate.field is None:
            value: Any = 1
        else:
            value = self._expressions.operand(aggregate.field)
            if aggregate.function == "sum" and kind_of(aggregate.field) in _COUNTED:
                value = {"$toDecimal": value}
            value = {"$ifNull": [value, None]}
        if aggregate.condition is not None:
            value = {"$cond": [self._expressions.condition(aggregate.condition), value, None]}
        return value

    def _accumulators(self, figures: Sequence[_Figure]) -> Stage:
        made: Stage = {}
        for figure in figures:
            value = self._value(figure.aggregate)
            if _is_distinct(figure.aggregate):
                made[figure.key] = {"$addToSet": value}
                continue
            there = {"$sum": {"$cond": [{"$gt": [value, None]}, 1, 0]}}
            match figure.aggregate.function:
                case "count":
                    made[figure.key] = there
                case "sum":
                    made[figure.key] = {"$sum": value}
                    made[f"n{figure.key}"] = there
                case function:
                    made[figure.key] = {f"${function}": value}
        return made


def _is_distinct(aggregate: Aggregate) -> bool:
    return aggregate.distinct and aggregate.function in ("count", "sum", "avg")


def _figures(aggregates: Mapping[str, Aggregate]) -> list[_Figure]:
    return [_Figure(f"f{at}", each) for at, each in enumerate(aggregates.values())]


def _named(
    aggregates: Mapping[str, Aggregate], figures: Sequence[_Figure]
) -> Iterable[tuple[str, _Figure]]:
    return zip(aggregates, figures, strict=True)


def _nulls(figures: Sequence[_Figure]) -> list[Stage]:
    """The sum of nothing is null, and a set becomes its figure."""
    made: Stage = {}
    for figure in figures:
        function = figure.aggregate.function
        if _is_distinct(figure.aggregate):
            values = {"$setDifference": [f"${figure.key}", [None]]}
            if function == "count":
                made[figure.key] = {"$size": values}
            else:
                some = {"$gt": [{"$size": values}, 0]}
                made[figure.key] = {"$cond": [some, {f"${function}": values}, None]}
        elif function == "sum":
            some = {"$gt": [f"$n{figure.key}", 0]}
            made[figure.key] = {"$cond": [some, f"${figure.key}", None]}
    return [{"$set": made}] if made else []
