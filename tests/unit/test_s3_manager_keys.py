"""From primary keys to names in a bucket, and from conditions to spans of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import NotSupportedError, models
from hypothesis import given
from hypothesis import strategies as st

from poolapp.managers.documents.conditions import ALL, Condition, Every, Not, Some, Where
from poolapp.managers.documents.forms import JsonForm
from poolapp.managers.documents.kinds import kind_of
from poolapp.managers.s3.keys import DIGITS, Keys, encoded
from poolapp.managers.s3.spans import contains, spans_of

FIELDS: dict[str, Any] = {
    "char": models.CharField(max_length=1000),
    "text": models.TextField(),
    "integer": models.BigIntegerField(),
    "uuid": models.UUIDField(),
    "date": models.DateField(),
    "datetime": models.DateTimeField(),
    "decimal": models.DecimalField(max_digits=20, decimal_places=5),
    "float": models.FloatField(),
    "boolean": models.BooleanField(),
    "duration": models.DurationField(),
}
for _name, _field in FIELDS.items():
    _field.set_attributes_from_name(_name)

INTEGERS = st.integers(-(10**DIGITS) + 1, 10**DIGITS - 1)
TEXTS = st.text(st.characters(), max_size=40)  # with surrogates

VALUES: dict[str, Any] = {
    "char": TEXTS,
    "integer": INTEGERS,
    "uuid": st.uuids(),
    "date": st.dates(),
    "datetime": st.datetimes(timezones=st.just(UTC)),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=5),
    "float": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "duration": st.timedeltas(),
}


def keys_of(kind: str, prefix: str = "p/") -> Keys:
    return Keys(prefix, FIELDS[kind])


def held(kind: str, value: Any) -> Any:
    return JsonForm().dump(kind_of(FIELDS[kind]), value)


@pytest.mark.parametrize("kind", VALUES)
def test_a_name_is_one_name_and_gives_the_value_back(kind: str) -> None:
    keys = keys_of(kind)

    @given(VALUES[kind])
    def test(value: Any) -> None:
        value = held(kind, value)
        name = keys.name(value)
        assert name.isascii()
        assert name
        assert "/" not in name
        assert not name.startswith(".")
        assert name.isprintable()
        assert keys.value(name) == value

    test()


@pytest.mark.parametrize("kind", ["integer", "uuid", "date", "datetime", "duration"])
def test_the_order_of_the_names_is_that_of_the_values(kind: str) -> None:
    keys = keys_of(kind)

    @given(VALUES[kind], VALUES[kind])
    def test(one: Any, other: Any) -> None:
        names = keys.name(held(kind, one)), keys.name(held(kind, other))
        assert (names[0] < names[1]) == (one < other)

    test()


@given(TEXTS, TEXTS)
def test_what_begins_a_text_begins_its_name_and_nothing_else_does(text: str, start: str) -> None:
    name = keys_of("char").name(text)
    assert name.startswith(encoded(start)) == text.startswith(start)
    assert keys_of("char").name(start + text).startswith(encoded(start))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("plain-Name_1.txt", "plain-Name_1.txt"),
        ("", "%"),
        ("%", "%25"),
        ("..", "%2E."),
        (".", "%2E"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("a/b?c#d&e", "a%2Fb%3Fc%23d%26e"),
        ("é", "%C3%A9"),
        ("\x00\n", "%00%0A"),
    ],
)
def test_a_hostile_primary_key_is_data(value: str, name: str) -> None:
    assert keys_of("char").key(value) == f"p/{name}"


def test_integers_have_leading_zeros() -> None:
    assert keys_of("integer").name(17) == "00000000000000000017"
    assert keys_of("integer").name(-1) == "-99999999999999999999"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("integer", "17"),
        ("integer", "00000000000000000017.json"),
        ("integer", "README"),
        ("integer", "-00000000000000000000"),
        ("integer", "\uff100000000000000000017"),
        ("char", ".hidden"),
        ("char", "a b"),
        ("char", "%c3%a9"),
        ("char", ""),
        ("uuid", "8F14E45F-ceea-467f-a5d3-0d1c0e3a9f10"),
        ("uuid", "none"),
        ("date", "2024-02-30"),
        ("float", "%5B1%5D2"),
    ],
)
def test_a_name_that_no_value_has_is_somebody_elses(kind: str, name: str) -> None:
    assert keys_of(kind).value(name) is None


def test_what_no_key_can_hold_is_told_with_the_field_and_the_limit() -> None:
    with pytest.raises(ValueError, match=r"'char'.*1025 bytes.*1024"):
        keys_of("char").key("x" * 1023)
    assert keys_of("char").key("x" * 1022)
    with pytest.raises(ValueError, match=r"'integer'.*20 digits"):
        keys_of("integer").key(10**20)


# -- conditions ------------------------------------------------------------------------------------


def where(lookup: str, value: Any, kind: str = "integer") -> Where:
    return Where(FIELDS[kind], (), lookup, value)


SMALL = st.integers(-4, 9)

LEAVES = st.one_of(
    st.builds(where, st.sampled_from(["exact", "gt", "gte", "lt", "lte"]), SMALL),
    st.builds(where, st.just("in"), st.lists(SMALL, min_size=1, max_size=4).map(tuple)),
    st.builds(where, st.just("range"), st.tuples(SMALL, SMALL)),
    st.builds(where, st.just("isnull"), st.booleans()),
    st.just(ALL),
)


def trees(children: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    parts = st.lists(children, max_size=3).map(tuple)
    return st.one_of(st.builds(Every, parts), st.builds(Some, parts), st.builds(Not, children))


def is_true(condition: Condition, number: int) -> bool:
    match condition:
        case Where(lookup=lookup, value=value):
            return {
                "exact": lambda: number == value,
                "in": lambda: number in value,
                "gt": lambda: number > value,
                "gte": lambda: number >= value,
                "lt": lambda: number < value,
                "lte": lambda: number <= value,
                "range": lambda: value[0] <= number <= value[1],
                "isnull": lambda: not value,
            }[lookup]()
        case Every(parts):
            return all(is_true(part, number) for part in parts)
        case Some(parts):
            return any(is_true(part, number) for part in parts)
        case Not(part):
            return not is_true(part, number)


@given(st.recursive(LEAVES, trees, max_leaves=8))
def test_a_span_holds_exactly_the_names_that_the_condition_is_true_for(
    condition: Condition,
) -> None:
    keys = keys_of("integer")
    spans = spans_of(condition, keys)
    for number in range(-6, 12):
        found = sum(contains(span, keys.name(number)) for span in spans)
        assert found == is_true(condition, number)
    assert spans == sorted(spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


@given(TEXTS, TEXTS, TEXTS)
def test_texts_are_compared_as_their_names_are(text: str, start: str, bound: str) -> None:
    keys = keys_of("char")
    name = keys.name(text)

    def found(lookup: str, value: Any) -> bool:
        return any(contains(span, name) for span in spans_of(where(lookup, value, "char"), keys))

    assert found("startswith", start) == text.startswith(start)
    assert found("gt", bound) == (name > keys.name(bound))
    assert found("lte", bound) == (name <= keys.name(bound))
    assert found("exact", bound) == (text == bound)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_too_large_for_a_key_is_beyond_all_and_equals_none(sign: int) -> None:
    keys = keys_of("integer")
    huge = sign * 10**30
    everything = spans_of(ALL, keys)
    assert spans_of(where("exact", huge), keys) == []
    assert spans_of(where("in", (huge, 1)), keys) == spans_of(where("exact", 1), keys)
    assert spans_of(where("lt", huge), keys) == (everything if sign > 0 else [])
    assert spans_of(where("gte", huge), keys) == ([] if sign > 0 else everything)


@pytest.mark.parametrize(
    "condition",
    [
        where("contains", "x", "char"),
        where("iexact", "x", "char"),
        Where(FIELDS["text"], (), "exact", "x"),
        Not(Where(FIELDS["text"], (), "isnull", True)),
    ],
)
def test_what_only_the_contents_would_tell_is_refused(condition: Condition) -> None:
    with pytest.raises(NotSupportedError, match=r"pk with exact, in, startswith, gt, gte, lt, lte"):
        spans_of(condition, keys_of("char"))


@pytest.mark.parametrize(
    ("kind", "value"), [("decimal", held("decimal", Decimal("1.5"))), ("float", 1.5)]
)
def test_keys_that_are_not_in_order_are_not_compared(kind: str, value: Any) -> None:
    keys = keys_of(kind)
    assert len(spans_of(where("exact", value, kind), keys)) == 1
    with pytest.raises(NotSupportedError, match="not in its order; use exact or in"):
        spans_of(where("gt", value, kind), keys)


def test_days_are_ordered_over_the_turn_of_a_century() -> None:
    keys = keys_of("date")
    (span,) = spans_of(where("gte", held("date", date(2000, 1, 1)), "date"), keys)
    assert contains(span, keys.name(held("date", date(2000, 1, 1))))
    assert not contains(span, keys.name(held("date", date(1999, 12, 31))))
    moment = held("datetime", datetime(2024, 2, 29, 12, tzinfo=UTC))
    assert keys_of("datetime").name(moment) == "2024-02-29T12%3A00%3A00.000000Z"
