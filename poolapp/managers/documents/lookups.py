"""``filter``'s arguments to a condition: names resolved, values prepared, nothing asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import NotSupportedError
from django.db.models import Field, Model, Q
from django.db.models.constants import LOOKUP_SEP
from django.utils import timezone

from poolapp.managers.documents.conditions import (
    NONE,
    Condition,
    Where,
    every,
    negated,
    some,
)
from poolapp.managers.documents.kinds import INTEGERS, TEXTS, Kind, kind_of
from poolapp.managers.documents.schema import Schema

TEXT_LOOKUPS = frozenset(
    {
        "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith",
        "regex", "iregex",
    }
)  # fmt: skip

PLAIN_LOOKUPS = TEXT_LOOKUPS | {"exact", "in", "gt", "gte", "lt", "lte", "range", "isnull"}
"""Django's, which have the same meaning in every store."""

FULL_TEXT_LOOKUPS = frozenset({"match", "match_phrase", "multi_match", "fuzzy", "query_string"})

JSON_LOOKUPS = frozenset({"json_contains", "has_key", "has_keys", "has_any_keys"})
"""``json_contains`` is what ``contains`` means for a whole JSONField: containment."""

ARRAY_LOOKUPS = frozenset({"array_contains", "array_overlap"})
"""``contains`` and ``overlap`` of an ArrayField."""

_KNOWN = PLAIN_LOOKUPS | FULL_TEXT_LOOKUPS | JSON_LOOKUPS | ARRAY_LOOKUPS | {"overlap"}
_DATE_PARTS = frozenset(
    {
        "month", "day", "week", "week_day", "iso_week_day", "iso_year", "quarter", "hour", "minute",
        "second", "time",
    }
)  # fmt: skip

Path = tuple[str | int, ...]


class Lookups:
    """Builds conditions for one model in one store."""

    def __init__(self, schema: Schema, supported: frozenset[str], store: str) -> None:
        self._schema = schema
        self._supported = supported
        self._store = store

    def condition(self, *parts: Q, **lookups: Any) -> Condition | None:
        """None when nothing is asked, as by an empty Q."""
        for part in parts:
            if not isinstance(part, Q):
                raise NotSupportedError(
                    f"{self._store} filters by Q objects and look-ups of fields, not by "
                    f"{type(part).__name__!r}"
                )
        return self._q(Q(*parts, **lookups))

    def _q(self, q: Q) -> Condition | None:
        parts = [
            part
            for child in q.children
            if (part := self._q(child) if isinstance(child, Q) else self._leaf(child)) is not None
        ]
        if not parts:
            return None
        match q.connector:
            case Q.OR:
                whole = some(parts)
            case Q.XOR:
                whole = _odd(parts)
            case _:
                whole = every(parts)
        return negated(whole) if q.negated else whole

    def _leaf(self, child: Any) -> Condition:
        if not isinstance(child, tuple):
            raise NotSupportedError(
                f"{self._store} can't filter by {type(child).__name__!r}; use look-ups of fields "
                "and Q objects"
            )
        name, value = child
        field, path, lookup = self.resolve(name)
        if hasattr(value, "resolve_expression"):
            raise NotSupportedError(
                f"{name}={type(value).__name__}(...): {self._store} compares a field with a value, "
                "not with an expression, another field or a query; give the values themselves"
            )
        if lookup in ("year", "date") or lookup.startswith(("year__", "date__")):
            return self._part_of_date(name, field, lookup, value)
        return self._where(name, field, path, lookup, value)

    # -- names ---------------------------------------------------------------------------------

    def field(self, name: str) -> Field[Any, Any]:
        """The concrete field of a name: ``pk``, ``author`` or ``author_id``. FieldError with the
        choices when there is none, NotSupportedError for a relation's other side."""
        if name == "pk":
            return self._schema.pk
        for field in self._schema.fields:
            if name in (field.name, field.attname):
                return field
        try:
            self._schema.model._meta.get_field(name)
        except FieldDoesNotExist:
            choices = ", ".join(sorted({each.name for each in self._schema.fields}))
            raise FieldError(
                f"Cannot resolve keyword {name!r} into field. Choices are: {choices}"
            ) from None
        raise NotSupportedError(
            f"{name!r} of {self._schema.model._meta.label} is no part of its documents: "
            f"{self._store} has only the model's own columns"
        )

    def path(self, name: str) -> tuple[Field[Any, Any], Path]:
        """Of a name for an order or a projection: a field, or a way into a JSONField."""
        first, *rest = name.split(LOOKUP_SEP)
        field = self.field(first)
        if rest and kind_of(field) is not Kind.JSON:
            raise self._span(name, field)
        return field, tuple(map(_step, rest))

    def resolve(self, name: str) -> tuple[Field[Any, Any], Path, str]:
        """The field, the way into it, and the look-up that a keyword of ``filter`` names."""
        first, *rest = name.split(LOOKUP_SEP)
        field = self.field(first)
        kind = kind_of(field)
        if kind is Kind.JSON:
            lookup = rest.pop() if rest and rest[-1] in self._supported | _KNOWN else "exact"
            if not rest and lookup == "contains":
                lookup = "json_contains"
            return field, tuple(map(_step, rest)), self._usable(name, lookup)
        if not rest:
            return field, (), "exact"
        if kind in (Kind.DATE, Kind.DATETIME) and rest[0] in ("year", "date"):
            return field, (), LOOKUP_SEP.join(rest)
        if rest[0] in _DATE_PARTS and kind in (Kind.DATE, Kind.DATETIME, Kind.TIME):
            raise NotSupportedError(
                f"{name}: {self._store} can't look up the {rest[0]} of a date; use a range, "
                f"{first}__year or {first}__date"
            )
        if len(rest) > 1 or rest[0] not in self._supported | _KNOWN:
            if field.is_relation:
                raise self._span(name, field)
            raise FieldError(
                f"Unsupported lookup {LOOKUP_SEP.join(rest)!r} for {type(field).__name__} "
                f"{first!r}: {self._store} has {', '.join(sorted(self._supported))}"
            )
        lookup = rest[0]
        if kind is Kind.ARRAY and lookup in ("contains", "overlap"):
            lookup = f"array_{lookup}"
        return field, (), self._usable(name, lookup)

    def _usable(self, name: str, lookup: str) -> str:
        if lookup not in self._supported:
            raise NotSupportedError(
                f"{name}: {self._store} has no look-up {lookup!r}; it has "
                f"{', '.join(sorted(self._supported))}"
            )
        return lookup

    def _span(self, name: str, field: Field[Any, Any]) -> Exception:
        if field.is_relation:
            return NotSupportedError(
                f"{name}: {self._store} holds no other model's fields; look up "
                f"{field.name}__in=[primary keys]"
            )
        return FieldError(f"{name}: {field.name!r} is no relation and no JSONField")

    # -- values --------------------------------------------------------------------------------

    def _where(
        self, name: str, field: Field[Any, Any], path: Path, lookup: str, value: Any
    ) -> Condition:
        if lookup == "isnull":
            if not isinstance(value, bool):
                raise ValueError(f"{name} takes True or False, not {value!r}")
            return Where(field, path, "isnull", value)
        if value is None:
            if lookup not in ("exact", "iexact"):
                raise ValueError(f"{name} can't be None; use {field.name}__isnull=True")
            return Where(field, path, "isnull", True)
        if lookup not in PLAIN_LOOKUPS | JSON_LOOKUPS | ARRAY_LOOKUPS:
            return Where(field, path, lookup, value)
        if lookup in TEXT_LOOKUPS:
            return self._text(name, field, path, lookup, value)
        if lookup == "in":
            held = [
                self._value(name, field, path, lookup, each)
                for each in _listed(name, value)
                if each is not None
            ]
            unique = (
                [each for at, each in enumerate(held) if each not in held[:at]]
                if (len(held) < _FEW)
                else _unique(held)
            )
            return Where(field, path, "in", tuple(unique)) if unique else NONE
        if lookup == "range":
            bounds = _listed(name, value)
            if len(bounds) != 2:
                raise ValueError(f"{name} takes two values, not {len(bounds)}")
            low, high = (self._value(name, field, path, lookup, each) for each in bounds)
            return Where(field, path, "range", (low, high))
        return Where(field, path, lookup, self._value(name, field, path, lookup, value))

    def _value(self, name: str, field: Field[Any, Any], path: Path, lookup: str, value: Any) -> Any:
        if hasattr(value, "resolve_expression"):
            raise NotSupportedError(f"{name}: {self._store} compares with values only")
        if path or lookup in ("has_key", "has_keys", "has_any_keys"):
            return value
        if isinstance(value, Model):
            value = _pk_of(name, field, value)
        # As Django rounds the other side of a comparison with whole numbers.
        fractional = isinstance(value, float | Decimal) and math.isfinite(value)
        if fractional and lookup in ("gte", "lt") and kind_of(field) in INTEGERS:
            value = math.ceil(value)
        return self._schema.dump(field, value)

    def _text(
        self, name: str, field: Field[Any, Any], path: Path, lookup: str, value: Any
    ) -> Condition:
        kind = kind_of(field)
        if not path and kind not in TEXTS:
            raise NotSupportedError(
                f"{name}: {lookup!r} is for text, and {field.name!r} is of kind "
                f"{kind.name.lower()}; use exact, in, gt, gte, lt, lte, range or isnull"
            )
        if lookup == "iexact" and not path:
            value = self._schema.dump(field, value)
        return Where(field, path, lookup, str(value))

    # -- dates ---------------------------------------------------------------------------------

    def _part_of_date(
        self, name: str, field: Field[Any, Any], lookup: str, value: Any
    ) -> Condition:
        """A part of a date as the range of dates that have it, in the current time zone."""
        part, _, comparison = lookup.partition(LOOKUP_SEP)
        comparison = comparison or "exact"
        if comparison == "in":
            return some(
                self._part_of_date(name, field, part, each) for each in _listed(name, value)
            )
        if comparison == "range":
            low, high = _listed(name, value)
            bounds = (f"{part}__gte", low), (f"{part}__lte", high)
            return every(self._part_of_date(name, field, *each) for each in bounds)
        if comparison == "isnull":
            return self._where(name, field, (), "isnull", value)
        if comparison not in ("exact", "gt", "gte", "lt", "lte"):
            raise NotSupportedError(
                f"{name}: after {part!r} {self._store} takes exact, in, range, gt, gte, lt, lte, "
                "isnull"
            )
        first, after = _year(value) if part == "year" else _day(value)
        low = self._moment(field, first)
        high = None if after is None else self._moment(field, after)
        not_before = Where(field, (), "gte", low)
        before = Where(field, (), "isnull", False) if high is None else Where(field, (), "lt", high)
        match comparison:
            case "gte":
                return not_before
            case "gt":
                return NONE if high is None else Where(field, (), "gte", high)
            case "lt":
                return Where(field, (), "lt", low)
            case "lte":
                return before
        return every((not_before, before))

    def _moment(self, field: Field[Any, Any], day: date) -> Any:
        if kind_of(field) is Kind.DATE:
            return self._schema.dump(field, day)
        moment = datetime.combine(day, time())
        if settings.USE_TZ:
            moment = timezone.make_aware(moment, timezone.get_current_timezone())
        return self._schema.dump(field, moment)


def _odd(parts: list[Condition]) -> Condition:
    """XOR as Django means it: an odd number of them are true."""
    whole = parts[0]
    for part in parts[1:]:
        whole = some((every((whole, negated(part))), every((negated(whole), part))))
    return whole


def _step(key: str) -> str | int:
    return int(key) if key.isascii() and key.isdigit() else key


def _listed(name: str, value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name} takes a list of values, not {type(value).__name__!r}")
    return list(value)


_FEW = 50
"""Of values that are compared with each other, hashable or not."""


def _unique(values: list[Any]) -> list[Any]:
    try:
        return list(dict.fromkeys(values))
    except TypeError:
        return values


def _pk_of(name: str, field: Field[Any, Any], instance: Model) -> Any:
    if not field.is_relation:
        raise TypeError(f"{name} takes a value of {field.name!r}, not a model instance")
    target = field.target_field.attname  # type: ignore[attr-defined]
    value = getattr(instance, target)
    if value is None:
        raise ValueError(f"{name}: this {type(instance).__name__} has no {target!r} yet")
    return value


def _year(value: Any) -> tuple[date, date | None]:
    year = int(value)
    return date(year, 1, 1), None if year == MAXYEAR else date(year + 1, 1, 1)


def _day(value: Any) -> tuple[date, date | None]:
    if isinstance(value, str):
        value = date.fromisoformat(value)
    day = value.date() if isinstance(value, datetime) else value
    return day, None if day == date.max else day + timedelta(days=1)
