"""Values as JSON: exactly back, equal when equal, ordered where they are text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.postgres.fields import IntegerRangeField
from django.db import NotSupportedError, models
from django.test import override_settings
from django.test.utils import isolate_apps
from hypothesis import given, settings
from hypothesis import strategies as st

from poolapp.managers.documents.forms import JsonForm
from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.documents.schema import Schema
from tests.stores.models import Article, Everything
from tests.stores.values import differences, everything, extremes, moments

FEW = settings(max_examples=30, database=None, derandomize=True)
FORM = JsonForm()


def round_trip(sent: Any) -> Any:
    schema = Schema(type(sent), FORM)
    text = json.dumps(schema.to_document(sent))
    return schema.from_document(json.loads(text))


@FEW
@given(everything())
def test_every_field_type_comes_back_as_it_was(sent: Everything) -> None:
    assert differences(sent, round_trip(sent)) == []


@pytest.mark.parametrize(("name", "value", "sent"), extremes(), ids=lambda it: f"{it!r:.30}")
def test_extreme_values_come_back_as_they_were(name: str, value: Any, sent: Everything) -> None:
    assert differences(sent, round_trip(sent)) == []


@FEW
@given(moments, moments)
def test_moments_are_ordered_as_text(one: datetime, other: datetime) -> None:
    a, b = FORM.dump(Kind.DATETIME, one), FORM.dump(Kind.DATETIME, other)
    assert (a < b, a == b) == (one < other, one == other)


@FEW
@given(st.dates() | st.times(), st.dates() | st.times())
def test_dates_and_times_are_ordered_as_text(one: Any, other: Any) -> None:
    if type(one) is type(other):
        kind = Kind.DATE if hasattr(one, "year") else Kind.TIME
        assert (FORM.dump(kind, one) < FORM.dump(kind, other)) == (one < other)


@FEW
@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_equal_decimals_look_equal(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, digits + (0,) * zeros, exponent - zeros))
    text = FORM.dump(Kind.DECIMAL, longer)
    assert text == FORM.dump(Kind.DECIMAL, value)
    assert FORM.load(Kind.DECIMAL, text) == value


def test_a_decimal_has_no_exponent_and_no_needless_zero() -> None:
    for value, text in (("1.50", "1.5"), ("-0.0", "0"), ("1E+3", "1000"), ("1E-7", "0.0000001")):
        assert FORM.dump(Kind.DECIMAL, Decimal(value)) == text
    assert FORM.dump(Kind.DECIMAL, Decimal("1E+99999")) == "1E+99999"


@override_settings(USE_TZ=False)
def test_without_time_zones_moments_stay_naive() -> None:
    moment = datetime(2024, 2, 29, 12, 0, 0, 1)
    text = FORM.dump(Kind.DATETIME, moment)
    assert text == "2024-02-29T12:00:00.000001"
    assert FORM.load(Kind.DATETIME, text) == moment
    assert FORM.load(Kind.DATETIME, "2024-02-29T12:00:00Z").tzinfo is None


def test_a_naive_moment_written_before_time_zones_is_in_the_default_one() -> None:
    loaded = FORM.load(Kind.DATETIME, "2024-02-29T12:00:00")
    assert loaded.astimezone(UTC) == datetime(2024, 2, 29, 18, 0, tzinfo=UTC)


def test_a_value_that_does_not_fit_names_its_field() -> None:
    schema = Schema(Article, FORM)
    for name, wrong in (("likes", "many"), ("rating", "much"), ("data", {1, 2})):
        with pytest.raises((TypeError, ValueError), match=name):
            schema.to_document(Article(**{name: wrong}))


@isolate_apps("tests.stores")
def test_fields_of_other_kinds() -> None:
    class Strange(models.Field):  # type: ignore[type-arg]
        pass

    class Holder(models.Model):
        number = Strange()
        span = IntegerRangeField()
        double = models.GeneratedField(
            expression=models.F("id") * 2, output_field=models.BigIntegerField(), db_persist=True
        )

        class Meta:
            app_label = "stores"

    schema = Schema(Holder, FORM)
    number, span, double = (Holder._meta.get_field(it) for it in ("number", "span", "double"))
    assert schema.dump(number, "text") == "text"  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"number.*get_internal_type"):
        schema.dump(number, 5)  # type: ignore[arg-type]
    with pytest.raises(NotSupportedError, match="two fields"):
        kind_of(span)  # type: ignore[arg-type]
    assert kind_of(double) is Kind.BIG_INTEGER  # type: ignore[arg-type]


@isolate_apps("tests.stores")
def test_a_composite_primary_key_is_refused() -> None:
    class Pair(models.Model):
        pk = models.CompositePrimaryKey("one", "two")
        one = models.IntegerField()
        two = models.IntegerField()

        class Meta:
            app_label = "stores"

    with pytest.raises(NotSupportedError, match="composite primary key"):
        _ = Schema(Pair, FORM).pk
