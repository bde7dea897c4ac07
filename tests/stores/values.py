"""Values of every field, for hypothesis."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Field, FileField
from hypothesis import strategies as st

from tests.stores.fields import Point
from tests.stores.models import Everything

INT64 = 2**63

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\0"), min_size=1, max_size=20
)
# Not those with summer time: to Python a moment of the repeated hour equals none of another zone.
zones = st.integers(-23 * 60, 23 * 60).map(lambda it: timezone(timedelta(minutes=it)))
moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
decimals = st.decimals(
    -(Decimal(10) ** 38), Decimal(10) ** 38, allow_nan=False, allow_infinity=False
).filter(lambda it: abs(it.as_tuple().exponent) < 20)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-INT64, INT64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def _integers(bits: int, *, signed: bool = True) -> Any:
    return st.integers(-(2**bits) if signed else 0, 2**bits - 1)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "big_integer": _integers(63),
    "binary": st.binary(max_size=50),
    "boolean": st.booleans(),
    "char": texts,
    "date": st.dates(),
    "datetime": moments,
    "decimal": decimals,
    "duration": st.timedeltas(timedelta(microseconds=-INT64), timedelta(microseconds=INT64 - 1)),
    "email": st.emails(),
    "file": names,
    "file_path": names,
    "floating": st.floats(allow_nan=False, allow_infinity=False),
    "ip": st.ip_addresses().map(str),
    "image": names,
    "integer": _integers(31),
    "json": plain_json,
    "json_encoded": st.fixed_dictionaries({"at": moments, "price": decimals, "id": st.uuids()}),
    "positive_big_integer": _integers(63, signed=False),
    "positive_integer": _integers(31, signed=False),
    "positive_small_integer": _integers(15, signed=False),
    "slug": names,
    "small_integer": _integers(15),
    "text": texts,
    "time": st.times(),
    "url": names,
    "uuid": st.uuids(),
    "author_id": _integers(31, signed=False),
    "numbers": st.lists(_integers(31), max_size=4),
    "moments": st.lists(moments, max_size=3),
    "point": st.builds(Point, st.integers(), st.integers()),
    "reversed": texts,
}
"""Attribute -> values that every store has to hold exactly."""

EXTREMES: dict[str, list[Any]] = {
    "char": ["", "\0", "a\0b", "x" * 1000, " ", "\U0010ffff", "\u0301"],
    "text": ["", "\0", "y" * 200_000, "é" * 40_000],
    "big_integer": [10**40, -(10**40), INT64, -INT64 - 1],
    "floating": [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308],
    "duration": [timedelta.max, timedelta.min, timedelta(0)],
    "decimal": [Decimal("1E+39"), Decimal("-0"), Decimal("0.00000000000000000001")],
    "binary": [b"", bytes(range(256)) * 100],
    "json": [None, "", [], {}, [[]], {"": 0}, {"a.b": {"$c": None}}, 10**30, "\0", [1, "a", None]],
    "numbers": [[], [0]],
    "datetime": [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, 23, 59, 59, 999999, UTC)],
}
"""What a store may refuse, item by item, but never change."""


@st.composite
def everything(draw: Any) -> Everything:
    """An instance with about half of its fields filled."""
    fields = {name: draw(values) for name, values in VALUES.items() if draw(st.booleans())}
    return Everything(id=draw(st.uuids()), **fields)


def extremes() -> list[tuple[str, Any, Everything]]:
    """The name of the field, the value, and an instance with just that."""
    return [
        (name, value, Everything(**{name: value}))
        for name, values in EXTREMES.items()
        for value in values
    ]


def rounded(value: Any) -> Any:
    """With every number that has more than 14 digits rounded to as many."""
    match value:
        case bool():
            return value
        case float():
            return f"{value:.13e}"
        case int() if abs(value) >= INT64:
            return f"{value:.13e}"
        case list():
            return [rounded(each) for each in value]
        case dict():
            return {key: rounded(each) for key, each in value.items()}
    return value


def same(field: Field[Any, Any], sent: Any, got: Any, *, rounds: bool = False) -> bool:
    """Whether what came out is what went in; as a database would have it, where that differs.
    ``rounds`` is for a stand-in of a server that can't read numbers as well as that."""
    if rounds:
        sent, got = rounded(sent), rounded(got)
    if isinstance(field, FileField):
        return (sent.name or "") == (got.name or "")  # Django keeps '' for no file
    if getattr(field, "encoder", None) is DjangoJSONEncoder:
        sent = json.loads(json.dumps(sent, cls=DjangoJSONEncoder))
    if isinstance(sent, float) and math.isnan(sent):
        return isinstance(got, float) and math.isnan(got)
    if field.name == "ip":
        sent = field.to_python(sent)
    return type(sent) is type(got) and bool(sent == got)


def differences(sent: Everything, got: Everything, *, rounds: bool = False) -> list[str]:
    return [
        f"{field.name}: {getattr(sent, field.attname)!r} came back as "
        f"{getattr(got, field.attname)!r}"
        for field in Everything._meta.concrete_fields
        if not same(field, getattr(sent, field.attname), getattr(got, field.attname), rounds=rounds)
    ]
