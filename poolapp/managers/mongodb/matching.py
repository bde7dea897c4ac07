"""Conditions as queries: what can use an index. The rest is an expression.

No value stands where an operator could: each is the operand of one that is written here. Names are
those of the model's fields; the keys of a JSONField are literals in expressions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Field

from poolapp.managers.documents.conditions import Condition, Every, Not, Some, Where
from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.documents.lookups import (
    ARRAY_LOOKUPS,
    JSON_LOOKUPS,
    PLAIN_LOOKUPS,
    TEXT_LOOKUPS,
)
from poolapp.managers.mongodb.codec import Codec
from poolapp.managers.mongodb.expressions import ORDERED, Expressions, check_operand
from poolapp.managers.mongodb.patterns import pattern_of

LOOKUPS = PLAIN_LOOKUPS | JSON_LOOKUPS | ARRAY_LOOKUPS

NOTHING: dict[str, Any] = {"$expr": False}
"""Matches no document."""

_WHOLE = frozenset({Kind.JSON, Kind.ARRAY, Kind.VECTOR})
"""Kinds whose values a query would look into, where the whole is meant."""


class Matcher:
    """Of the documents of one codec; ``prefix`` is where they stand, in a change say."""

    def __init__(self, codec: Codec, prefix: str = "") -> None:
        self._codec = codec
        self._prefix = prefix
        self.expressions = Expressions(codec, prefix)

    def query(self, condition: Condition) -> dict[str, Any]:
        """What ``find`` takes. NotSupportedError for what can't be asked."""
        match condition:
            case Where():
                return self._leaf(condition)
            case Not():
                return {"$nor": [self.query(condition.part)]}
            case Every():
                parts = [self.query(part) for part in condition.parts]
                return {"$and": parts} if parts else {}
            case Some():
                parts = [self.query(part) for part in condition.parts]
                return {"$or": parts} if parts else dict(NOTHING)

    def _leaf(self, where: Where) -> dict[str, Any]:
        field = where.field
        kind = kind_of(field)
        name = self._prefix + self._codec.name(field)
        check_operand(where, kind)
        if where.lookup == "range" and None in where.value:
            return dict(NOTHING)
        if where.lookup == "isnull" and not where.path:
            return {name: {"$eq": None} if where.value else {"$ne": None}}
        if where.path or kind in _WHOLE:
            return {"$expr": self.expressions.condition(where), **self._hint(where, kind, name)}
        if where.lookup in TEXT_LOOKUPS:
            pattern, options = pattern_of(where.lookup, where.value)
            return {name: {"$regex": pattern, "$options": options}}
        if self._codec.is_split(field):
            return self._moment(field, where.lookup, where.value)
        match where.lookup:
            case "in":
                return {name: {"$in": [self._codec.encode(field, each) for each in where.value]}}
            case "range":
                low, high = (self._codec.encode(field, each) for each in where.value)
                return {name: {"$gte": low, "$lte": high}}
            case "exact":
                return {name: {"$eq": self._codec.encode(field, where.value)}}
        return {name: {ORDERED[where.lookup]: self._codec.encode(field, where.value)}}

    def _hint(self, where: Where, kind: Kind, name: str) -> dict[str, Any]:
        """A query that is true as well, of something that an index may know."""
        if where.path or kind is not Kind.ARRAY:
            return {}
        if where.lookup not in ("array_contains", "array_overlap"):
            return {}
        held = self._codec.encode(where.field, where.value)
        if not held or any(each is None or isinstance(each, list | dict) for each in held):
            return {}
        return {name: {"$all" if where.lookup == "array_contains" else "$in": held}}

    # -- dates with microseconds ---------------------------------------------------------------

    def _moment(self, field: Field[Any, Any], lookup: str, value: Any) -> dict[str, Any]:
        name = self._prefix + self._codec.name(field)
        rest_name = self._prefix + self._codec.microseconds(field)
        if lookup == "range":
            bounds = zip(("gte", "lte"), value, strict=True)
            return {"$and": [self._moment(field, *each) for each in bounds]}
        if lookup == "in":
            return {"$or": [self._moment(field, "exact", each) for each in value]}
        moment, rest = _split(value)
        if lookup == "exact":
            return {name: {"$eq": moment}, rest_name: {"$eq": rest or None}}
        if not rest and lookup in ("gte", "lt"):
            return {name: {ORDERED[lookup]: moment}}
        # Where nothing is beyond the milliseconds nothing stands there, which is less than all.
        within = {
            "gt": {"$gt": rest},
            "gte": {"$gte": rest},
            "lt": {"$not": {"$gte": rest}},
            "lte": {"$not": {"$gt": rest}},
        }
        beyond = {name: {"$gt" if lookup in ("gt", "gte") else "$lt": moment}}
        return {"$or": [beyond, {name: {"$eq": moment}, rest_name: within[lookup]}]}


def _split(moment: datetime) -> tuple[datetime, int]:
    rest = moment.microsecond % 1000
    return moment - timedelta(microseconds=rest), rest
