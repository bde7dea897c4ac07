"""Filters of any model, made up by hypothesis from its fields and from what stands in its rows."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce
from hypothesis import strategies as st
from psycopg.types.range import Range

TEXTS = ("contains", "icontains", "startswith", "istartswith", "endswith", "iendswith", "iexact")
ORDERS = ("gt", "gte", "lt", "lte")
DAYS = ("year", "iso_year", "month", "day", "week", "week_day", "iso_week_day", "quarter")
HOURS = ("hour", "minute", "second")
OVER_RANGES = (
    "contained_by",
    "overlap",
    "fully_lt",
    "fully_gt",
    "not_lt",
    "not_gt",
    "adjacent_to",
)

PATTERNS = ["^a", "a$", "[a-z]+", r"\d{2}", "o'?c", "%", "_", r"\\", "(?i)ALPHA", "x|y", ""]
KEYS = ["a", "b", "c", "e", "1", "0", "x", "langs", "weight", "isbn", "n", "key with space"]

texts = st.sampled_from(["", "a", "A", "alpha", "%", "_", "\\", "'", "é", "5", "1.5", "on", "true"])
texts |= st.text(max_size=4)
whole = st.integers(-4, 12) | st.sampled_from([100, 1000, 2**15, 2**31, -(2**31), 2**63, 2**70])
fractions = st.decimals(-(10**6), 10**6, places=3) | st.just(Decimal("1.10"))
floats = st.floats(-1000, 1000) | st.sampled_from([float("inf"), float("nan"), 1e300, -0.0])
dates = st.dates(datetime.date(2020, 1, 1), datetime.date(2024, 12, 31))
moments = st.datetimes(
    datetime.datetime(2023, 1, 1), datetime.datetime(2024, 12, 31), timezones=st.just(datetime.UTC)
)
times = st.times()
spans = st.timedeltas(timedelta(-5), timedelta(50))
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 100) | st.sampled_from(["x", "1", "text", "%"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2)
    ),
    max_leaves=4,
)

OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "BooleanField": st.booleans(),
    "DateField": dates,
    "DateTimeField": moments,
    "DecimalField": fractions,
    "DurationField": spans,
    "FloatField": floats,
    "JSONField": documents,
    "TimeField": times,
    "UUIDField": st.integers(0, 9).map(lambda n: uuid.UUID(int=n)),
    "BinaryField": st.binary(max_size=3),
    "GenericIPAddressField": st.sampled_from(["10.0.0.1", "10.0.0.5", "::1", "2001:db8::1"]),
}

anything = st.one_of(whole, texts, fractions, floats, dates, moments, spans, st.booleans())


@dataclass(frozen=True)
class Column:
    """A field, by the path that leads to it."""

    path: str
    field: Any
    known: tuple[Any, ...]

    @property
    def kind(self) -> str:
        return str(self.field.get_internal_type())

    @property
    def values(self) -> st.SearchStrategy[Any]:
        if self.field.choices:
            made: st.SearchStrategy[Any] = st.sampled_from([each for each, _ in self.field.choices])
        elif "Integer" in self.kind or "Auto" in self.kind:
            made = whole
        else:
            made = OF_TYPE.get(self.kind, texts)
        return (st.sampled_from(self.known) | made) if self.known else made


def columns_of(model: type[models.Model], depth: int = 1, start: str = "") -> Iterator[Column]:
    """Those of the model and of what it is related to. Asks the database for values."""
    for field in model._meta.get_fields():
        path = start + field.name
        if not field.is_relation and field.column:
            known = model._base_manager.exclude(**{field.name: None}).values_list(
                field.name, flat=True
            )
            yield Column(path, field, tuple(known[:20]))
        elif depth and field.related_model is not None and field.related_model is not model:
            yield from columns_of(field.related_model, depth - 1, f"{path}__")


def conditions(column: Column) -> st.SearchStrategy[Q]:
    """Every look-up that the field may have, with values that fit, and some that do not."""
    kind, values = column.kind, column.values
    found = [_lookup(column, "", values), _lookup(column, "isnull", st.booleans())]
    if kind == "JSONField":
        keys = st.sampled_from(KEYS)
        path = st.lists(keys, min_size=1, max_size=2).map("__".join)
        found += [
            _lookup(column, "contains", documents.filter(lambda it: it is not None)),
            _lookup(column, "contained_by", documents.filter(lambda it: it is not None)),
            _lookup(column, "has_key", keys),
            _lookup(column, "has_keys", st.lists(keys, min_size=1, max_size=2)),
            _lookup(column, "has_any_keys", st.lists(keys, min_size=1, max_size=2)),
            st.builds(lambda at, value: Q(**{f"{column.path}__{at}": value}), path, documents),
            st.builds(
                lambda at, how, value: Q(**{f"{column.path}__{at}__{how}": value}),
                path,
                st.sampled_from([*ORDERS, *TEXTS]),
                st.integers(0, 50) | texts,
            ),
        ]
        return st.one_of(found)
    if kind == "ArrayField":
        base = Column(column.path, column.field.base_field, ())
        lists = st.lists(base.values, max_size=2) | values
        found += [_lookup(column, each, lists) for each in ("contains", "contained_by", "overlap")]
        found += [_lookup(column, "len", st.integers(0, 4)), _lookup(column, "0", base.values)]
        return st.one_of(found)
    if kind == "HStoreField":
        keys = st.sampled_from(["a", "b", "n", "z"])
        stores = st.dictionaries(
            keys, st.none() | texts.filter(lambda it: "\0" not in it), max_size=2
        )
        found += [_lookup(column, each, stores) for each in ("contains", "contained_by")]
        found += [
            _lookup(column, each, st.lists(keys, min_size=1))
            for each in ("has_keys", "has_any_keys")
        ]
        return st.one_of(*found, _lookup(column, "a", texts))
    if kind.endswith("RangeField"):
        base = Column(column.path, column.field.base_field, ())
        ranges = st.tuples(base.values, base.values).map(lambda it: _range(*it)) | values
        found += [_lookup(column, each, ranges) for each in OVER_RANGES]
        return st.one_of(*found, _lookup(column, "contains", ranges | base.values))
    if kind in ("BinaryField", "SearchVectorField"):
        return st.one_of(found[1:])
    some = st.lists(values | st.none(), max_size=3)
    found += [
        st.builds(
            lambda how, value: Q(**{f"{column.path}__{how}": value}),
            st.sampled_from(ORDERS),
            values,
        ),
        _lookup(column, "in", some),
        _lookup(column, "range", st.tuples(values, values)),
        st.builds(
            lambda how, value: Q(**{f"{column.path}__{how}": value}),
            st.sampled_from(TEXTS),
            texts | values.map(str),
        ),
        _lookup(column, "regex", st.sampled_from(PATTERNS)),
        _lookup(column, "iregex", st.sampled_from(PATTERNS)),
        _lookup(column, "", anything),
    ]
    parts = (DAYS if "Date" in kind else ()) + (HOURS if "Time" in kind else ())
    if parts:
        ends = st.sampled_from(["", "__gt", "__lte"])
        found.append(
            st.builds(
                lambda part, end, value: Q(**{f"{column.path}__{part}{end}": value}),
                st.sampled_from(parts),
                ends,
                st.integers(0, 60) | st.sampled_from([2023, 2024]),
            )
        )
    if kind == "DateTimeField":
        found += [_lookup(column, "date", dates), _lookup(column, "time__gt", times)]
    return st.one_of(found)


def _lookup(column: Column, how: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Q]:
    name = f"{column.path}__{how}" if how else column.path
    return values.map(lambda value: Q(**{name: value}))


def _range(lower: Any, upper: Any) -> Range[Any]:
    return Range(lower, upper) if _in_order(lower, upper) else Range(lower, None)


def _in_order(lower: Any, upper: Any) -> bool:
    try:
        return bool(lower < upper)
    except (TypeError, ArithmeticError):
        return False


def compared(columns: list[Column]) -> st.SearchStrategy[Q]:
    """One column with another, or with a sum."""
    numbers = [
        each
        for each in columns
        if "Integer" in each.kind or each.kind in ("FloatField", "DecimalField")
    ]
    if len(numbers) < 2:
        return st.nothing()
    column = st.sampled_from(numbers)
    more = st.sampled_from([1, -2, 1.5, Decimal("0.5"), 2**31])

    def made(left: Column, how: str, right: Column, number: Any, operator: int) -> Q:
        other = F(right.path)
        terms = [other, other + number, other * number, other / number, number - other]
        return Q(**{f"{left.path}__{how}": terms[operator]})

    return st.builds(made, column, st.sampled_from(ORDERS), column, more, st.integers(0, 4))


def queries(columns: list[Column]) -> st.SearchStrategy[Any]:
    """Functions of a manager: a filter, and now and then an annotation, by these columns."""
    # Made once: hypothesis takes longer to make a strategy than to draw from it.
    leaf = st.one_of(*map(conditions, columns), compared(columns))
    condition = st.recursive(
        leaf,
        lambda inner: (
            st.builds(lambda a, b: a & b, inner, inner)
            | st.builds(lambda a, b: a | b, inner, inner)
            | inner.map(lambda q: ~q)
        ),
        max_leaves=3,
    )
    return st.builds(
        _query,
        condition,
        st.booleans(),
        st.sampled_from(columns),
        st.integers(0, 7),
        st.sampled_from([1, 1.5, "x", Decimal("2.50"), True, datetime.date(2024, 1, 1)]),
    )


def _query(condition: Q, excluded: bool, column: Column, shape: int, literal: Any) -> Any:
    def query(rows: Any) -> Any:
        # Of a row that a join repeats nothing but these values is seen: so the order is total.
        found = rows.exclude(condition) if excluded else rows.filter(condition)
        if shape == 1:
            annotated = found.annotate(x=Coalesce(column.path, Value(literal)))
        elif shape == 2:
            chosen = Case(When(condition, then=Value(literal)), default=Value(literal))
            annotated = rows.annotate(x=chosen)
        elif shape == 3:
            annotated = rows.annotate(x=condition)
        elif shape == 4:
            return found.distinct().count()
        elif shape == 5:
            return found.order_by("pk", column.path).values_list("pk", column.path)[1:6]
        else:
            return found.order_by("pk").values_list("pk", flat=True)
        return annotated.order_by("pk", "x").values_list("pk", "x")

    query.__doc__ = f"exclude={excluded}, shape={shape}, {column.path}, {literal!r}, {condition}"
    return query
