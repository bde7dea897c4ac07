"""What a QuerySet gave, as plain values that can be compared: with the exact types."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import GeneratorType
from typing import Any

import psycopg
from django.core.files import File
from django.db import models
from django.db.models import QuerySet
from django.db.models.query import RawQuerySet
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

PLAIN = (str, int, bytes, type(None))
"""Not bool: to Python True is 1."""


def freeze(value: Any) -> Any:
    """The value as text, numbers, tuples and lists alone, each beside the name of its type."""
    return _Freezing().of(value)


class _Freezing:
    def __init__(self) -> None:
        self._open: list[models.Model] = []

    def of(self, value: Any) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return value
        if isinstance(value, BaseException):
            return self._error(value)
        if isinstance(value, models.Model):
            return self._instance(value)
        return (_name(kind), self._content(value))

    def _content(self, value: Any) -> Any:
        match value:
            case QuerySet() | RawQuerySet() | GeneratorType() | map() | filter() | zip():
                return [self.of(each) for each in value]
            case File():
                return value.name
            case float():
                # NaN is equal to itself here, and -0.0 is not 0.0.
                return "nan" if math.isnan(value) else repr(value)
            case Decimal():
                return str(value)
            case datetime.datetime() | datetime.time():
                return (repr(value), value.fold)
            case datetime.date() | datetime.timedelta():
                return repr(value)
            case memoryview():
                return bytes(value)
            case Range():
                return (self.of(value.lower), self.of(value.upper), str(value._bounds))
            case Multirange():
                return [self.of(each) for each in value]
            case str() | int() | bytes():  # of a class of its own, such as an enumeration's
                return kind_of_plain(value)(value)
            case Mapping():
                return [(self.of(key), self.of(each)) for key, each in value.items()]
            case set() | frozenset():
                return sorted((self.of(each) for each in value), key=repr)
            case tuple() if hasattr(value, "_fields"):
                return (value._fields, [self.of(each) for each in value])
            case Iterable():
                return [self.of(each) for each in value]
            case type():
                return _name(value)
        return repr(value)

    def _instance(self, instance: models.Model) -> Any:
        """Field by field, with the deferred ones and all that was fetched along."""
        name = _name(type(instance))
        if any(instance is each for each in self._open):
            return ("the same", name, repr(instance.pk))
        self._open.append(instance)
        state = instance.__dict__["_state"]
        frozen = {
            "deferred": sorted(instance.get_deferred_fields()),
            "database": state.db,
            "adding": state.adding,
            "values": [
                (key, self.of(each))
                for key, each in sorted(instance.__dict__.items())
                if key not in {"_state", "_prefetched_objects_cache"}
            ],
            "related": [(key, self.of(each)) for key, each in sorted(_cached(state).items())],
            "prefetched": [
                # A prefetched QuerySet has its result already.
                (key, [self.of(each) for each in (rows._result_cache or ())])
                for key, rows in sorted(_prefetched(instance).items())
            ],
        }
        self._open.pop()
        return (name, frozen)

    def _error(self, error: BaseException) -> Any:
        cause = error.__cause__
        # The first line: of the others, one shows the statement as it was sent. The driver's own
        # errors end in the value, as it was sent.
        said = str(error).partition("\n")[0]
        if isinstance(cause, psycopg.Error) and cause.sqlstate is None:
            said = said.partition(": '")[0]
        frozen: dict[str, Any] = {"said": said}
        if cause is not None:
            frozen["cause"] = _name(type(cause))
            frozen["sqlstate"] = getattr(cause, "sqlstate", None)
        diagnosis = getattr(cause, "diag", None)
        for each in ("constraint_name", "table_name", "column_name", "message_detail"):
            frozen[each] = getattr(diagnosis, each, None)
        return (_name(type(error)), frozen)


def _cached(state: Any) -> dict[str, Any]:
    # Where nothing was cached yet, this is a descriptor that makes the dictionary when asked.
    found: dict[str, Any] = state.__dict__.get("fields_cache", {})
    return found


def _prefetched(instance: models.Model) -> dict[str, Any]:
    found: dict[str, Any] = instance.__dict__.get("_prefetched_objects_cache", {})
    return found


def kind_of_plain(value: Any) -> type:
    return next(each for each in type(value).__mro__ if each in PLAIN)


def _name(kind: type) -> str:
    if issubclass(kind, QuerySet | RawQuerySet):
        return "rows"  # whose class is not the matter
    return f"{kind.__module__}.{kind.__qualname__}"
