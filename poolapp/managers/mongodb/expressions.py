"""Conditions as expressions of the aggregation language: exact for JSON and arrays, whose parts a
query would mix up, and for the ``filter`` of one aggregate. Every constant is a ``$literal``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.conditions import Condition, Every, Not, Some, Where
from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.documents.lookups import TEXT_LOOKUPS
from poolapp.managers.mongodb.codec import Codec, since_epoch
from poolapp.managers.mongodb.patterns import pattern_of
from poolapp.managers.mongodb.plain import dump_json, escaped

ORDERED = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}

Expression = Any


class Expressions:
    """Of the documents of one codec; ``prefix`` is where they stand, in a change say."""

    def __init__(self, codec: Codec, prefix: str = "") -> None:
        self._codec = codec
        self._prefix = prefix

    def condition(self, condition: Condition) -> Expression:
        """True or false."""
        match condition:
            case Where():
                return self._leaf(condition)
            case Not():
                return {"$not": [self.condition(condition.part)]}
            case Every():
                return {"$and": [self.condition(part) for part in condition.parts]}
            case Some():
                return {"$or": [self.condition(part) for part in condition.parts]}

    def operand(self, field: Field[Any, Any]) -> Expression:
        """The value of a field: of a split date its microseconds since 1970."""
        name = f"${self._prefix}{self._codec.name(field)}"
        if not self._codec.is_split(field):
            return name
        rest = {"$ifNull": [f"${self._prefix}{self._codec.microseconds(field)}", 0]}
        return {"$add": [{"$multiply": [{"$toLong": name}, 1000]}, rest]}

    def path(self, field: Field[Any, Any], path: tuple[str | int, ...]) -> Expression:
        """A part of a JSONField; null where there is none."""
        found = self.operand(field)
        for step in path:
            found = _part(found, step)
        return found

    def constant(self, field: Field[Any, Any], value: Any) -> Any:
        """What ``operand`` is compared with."""
        return (
            since_epoch(value) if self._codec.is_split(field) else self._codec.encode(field, value)
        )

    def _leaf(self, where: Where) -> Expression:
        field = where.field
        kind = kind_of(field)
        check_operand(where, kind)
        if where.lookup == "range" and None in where.value:
            return False
        if where.path:
            return _compare(self.path(field, where.path), where.lookup, where.value, dump_json)
        operand = self.operand(field)
        if kind is Kind.JSON:
            # Prepared already, so that it is encoded once.
            return _compare(operand, where.lookup, where.value, dump_json)
        return _compare(operand, where.lookup, where.value, lambda each: self.constant(field, each))


def check_operand(where: Where, kind: Kind) -> None:
    """Raise NotSupportedError for a look-up that has no meaning for this kind."""
    compares = where.lookup in (*ORDERED, "range") and not where.path
    if compares and kind in (Kind.BINARY, Kind.ARRAY, Kind.VECTOR, Kind.JSON):
        raise NotSupportedError(
            f"{where.field.name}__{where.lookup}: MongoDB orders no {kind.name.lower()} values "
            "as a database does; use exact, in or isnull"
        )


def _literal(value: Any) -> Expression:
    return {"$literal": value}


def _or_null(operand: Expression) -> Expression:
    """What is missing as null: not every server has variables of nothing."""
    return {"$ifNull": [operand, None]}


def _part(whole: Expression, step: str | int) -> Expression:
    """Of an object the value of a key, of an array an element."""
    if isinstance(step, str):
        return _key(whole, escaped(step))
    element = {"$arrayElemAt": ["$$whole", step]}
    return {
        "$let": {
            "vars": {"whole": _or_null(whole)},
            "in": {"$cond": [{"$isArray": "$$whole"}, element, _key("$$whole", str(step))]},
        }
    }


def _key(whole: Expression, key: str) -> Expression:
    """The value of a key, escaped already; null of what is no object."""
    found = {"$getField": {"field": _literal(key), "input": "$$object"}}
    return {
        "$let": {
            "vars": {"object": _or_null(whole)},
            "in": {"$cond": [{"$eq": [{"$type": "$$object"}, "object"]}, found, None]},
        }
    }


def _compare(operand: Expression, lookup: str, value: Any, encode: Any) -> Expression:
    match lookup:
        case "isnull":
            # Null, and what is missing, are the least of all that is.
            return {"$lte" if value else "$gt": [operand, None]}
        case "exact":
            return {"$eq": [operand, _literal(encode(value))]}
        case "in":
            return {"$in": [operand, _literal([encode(each) for each in value])]}
        case "range":
            low, high = (encode(each) for each in value)
            return {"$and": [_ordered(operand, "gte", low), _ordered(operand, "lte", high)]}
        case "json_contains":
            return _holds(operand, encode(value), count(1), top=True)
        case "has_key":
            return _has(operand, escaped(str(value)))
        case "has_keys":
            return {"$and": [_has(operand, escaped(str(each))) for each in value]}
        case "has_any_keys":
            return {"$or": [_has(operand, escaped(str(each))) for each in value]}
        case "array_contains":
            # All of them are in the array.
            return _if_array(operand, {"$setIsSubset": [_literal(encode(value)), "$$array"]})
        case "array_overlap":
            common = {"$setIntersection": [_literal(encode(value)), "$$array"]}
            return _if_array(operand, {"$gt": [{"$size": common}, 0]})
    if lookup in TEXT_LOOKUPS:
        return _text(operand, lookup, value)
    return _ordered(operand, lookup, encode(value))


def _ordered(operand: Expression, lookup: str, value: Any) -> Expression:
    """Among values of one type: to an expression everything is less or greater than all else."""
    compared = {ORDERED[lookup]: ["$$value", _literal(value)]}
    return {
        "$let": {
            "vars": {"value": _or_null(operand)},
            "in": {"$and": [_same_type("$$value", value), compared]},
        }
    }


def _same_type(operand: Expression, value: Any) -> Expression:
    both = [{"$type": operand}, {"$type": _literal(value)}]
    return {
        "$or": [{"$eq": both}, {"$and": [{"$isNumber": operand}, {"$isNumber": _literal(value)}]}]
    }


def _text(operand: Expression, lookup: str, text: str) -> Expression:
    pattern, options = pattern_of(lookup, text)
    found = {
        "$regexMatch": {"input": "$$text", "regex": _literal(pattern), "options": options},
    }
    return {
        "$let": {
            "vars": {"text": _or_null(operand)},
            "in": {"$cond": [{"$eq": [{"$type": "$$text"}, "string"]}, found, False]},
        }
    }


def _if_array(operand: Expression, condition: Expression) -> Expression:
    return {
        "$let": {
            "vars": {"array": _or_null(operand)},
            "in": {"$cond": [{"$isArray": "$$array"}, condition, False]},
        }
    }


def _has(operand: Expression, key: str) -> Expression:
    """Whether an object has a key, escaped already, with whatever value."""
    keys = {"$map": {"input": {"$objectToArray": "$$object"}, "in": "$$this.k"}}
    return {
        "$let": {
            "vars": {"object": _or_null(operand)},
            "in": {
                "$cond": [
                    {"$eq": [{"$type": "$$object"}, "object"]},
                    {"$in": [_literal(key), keys]},
                    False,
                ]
            },
        }
    }


def _holds(
    operand: Expression, value: Any, numbers: Iterator[int], *, top: bool = False
) -> Expression:
    """Containment, as PostgreSQL's ``@>`` has it."""
    if isinstance(value, dict):
        parts = [_holds(_key(operand, key), each, numbers) for key, each in value.items()]
        # Null is not missing.
        parts += [_has(operand, key) for key, each in value.items() if each is None]
        return {"$and": [{"$eq": [{"$type": operand}, "object"]}, *parts]}
    if isinstance(value, list):
        parts = []
        for each in value:
            name = f"each{next(numbers)}"
            held = {
                "$map": {"input": "$$array", "as": name, "in": _holds(f"$${name}", each, numbers)}
            }
            parts.append({"$anyElementTrue": [held]})
        return _if_array(operand, {"$and": parts})
    equal = {"$eq": [operand, _literal(value)]}
    if not top:
        return equal
    return {"$or": [equal, _if_array(operand, {"$in": [_literal(value), "$$array"]})]}
