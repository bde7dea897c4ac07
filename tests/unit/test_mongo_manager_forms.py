"""What stands for numbers and JSON that BSON can't hold as they are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolapp.managers.mongodb.numbers import from_sortable, sortable
from poolapp.managers.mongodb.patterns import pattern_of
from poolapp.managers.mongodb.plain import dump_json, escaped, load_json, original

decimals = st.decimals(allow_nan=False, allow_infinity=False) | st.integers().map(Decimal)
keys = st.text(alphabet=st.sampled_from("%24E.$05\x00intaé"), max_size=6)


@settings(max_examples=200)
@given(decimals, decimals)
def test_sortable_text_sorts_as_its_numbers_do(one: Decimal, other: Decimal) -> None:
    texts = [sortable(each).encode() for each in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
    assert (texts[0] == texts[1]) == (one == other)


@settings(max_examples=200)
@given(decimals)
def test_sortable_text_is_read_back_exactly(number: Decimal) -> None:
    assert from_sortable(sortable(number)) == number


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1E+9999999", "1E-9999999"])
def test_what_has_no_place_in_the_order_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"can be held|exponent"):
        sortable(Decimal(text))


@settings(max_examples=300)
@given(keys, keys)
def test_escaped_keys_are_harmless_and_unambiguous(one: str, other: str) -> None:
    made = escaped(one)
    assert original(made) == one
    assert made
    assert not made.startswith("$")
    assert not {".", "\x00"} & set(made)
    assert made != "%int"
    assert (made == escaped(other)) == (one == other)


def test_ordinary_keys_stay_as_they_are() -> None:
    for key in ("title", "growth %", "100%", "a b", "é", "%2", "_id", "0"):
        assert escaped(key) == key


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.just("%int"), inner),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(each, other[key]) for key, each in one.items())
    return not isinstance(one, list) or all(map(same, one, other))


@settings(max_examples=150)
@given(json)
def test_json_comes_back_from_bson_as_it_was(value: Any) -> None:
    data = bson.encode({"value": dump_json(value)})
    assert same(load_json(bson.decode(data)["value"]), value)


def test_equal_objects_are_equal_bytes() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert bson.encode(dump_json(one)) == bson.encode(dump_json(other))


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="'object' is no type of JSON"):
        dump_json({"a": [object()]})


class TestPatterns:
    def test_text_is_no_pattern(self) -> None:
        pattern, options = pattern_of("startswith", "a.*(b")
        assert (pattern, options) == (r"^a\.\*\(b", "")

    def test_nul_can_be_looked_up(self) -> None:
        assert pattern_of("icontains", "a\x00b") == (r"a\x00b", "i")

    def test_one_that_is_too_long_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(ValueError, match="32,764 bytes; look up a shorter text"):
            pattern_of("contains", "a" * 40_000)
