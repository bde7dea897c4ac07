"""ElasticsearchManager: look-ups of each kind of field, exact at the ends of what it can hold."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import NotSupportedError
from django.db.models import Q

from tests.integration.es_documents import documents_of, found, pks
from tests.stores.models_elasticsearch import Note


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


@pytest.fixture
async def notes(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Note) as documents:
        yield documents


async def write(notes: Any, **values: Any) -> None:
    """One note for each value of the field, numbered from 1, and one without, the last."""
    ((name, given),) = values.items()
    made = [Note(id=number, **{name: value}) for number, value in enumerate([*given, None], 1)]
    result = await notes.abulk_create(made)
    assert result, result.failed


class TestText:
    async def test_what_is_looked_for_is_never_a_pattern(self, notes: Any) -> None:
        values = ["a*c", "abc", "a?c", "a\\c", 'a"c', "a.c", "a[b]c", "a\nc", "(a)", "~a@", "a{2}"]
        await write(notes, name=values)
        for number, value in enumerate(values, 1):
            for lookup in ("exact", "contains", "startswith", "endswith", "iexact", "icontains"):
                assert await found(notes, **{f"name__{lookup}": value}) == [number], (lookup, value)
            assert await found(notes, name__contains=value[1:]) == [number], value
        assert await found(notes, name__contains="*") == [1]
        assert await found(notes, name__endswith="?c") == [3]
        assert await found(notes, name__startswith="a\\") == [4]

    async def test_letters_of_every_alphabet_have_two_cases(self, notes: Any) -> None:
        await write(notes, name=["Ünï Çode", "ünï çode", "ПРИВЕТ", "привет мир", "ascii"])
        assert await found(notes, name__iexact="ÜNÏ ÇODE") == [1, 2]
        assert await found(notes, name__icontains="çO") == [1, 2]
        assert await found(notes, name__istartswith="привет") == [3, 4]
        assert await found(notes, name__iendswith="МИР") == [4]
        assert await found(notes, name__iregex="^[п].*т$") == [3]
        assert await found(notes, name__icontains="ASC") == [5]
        assert await found(notes, name="ünï çode") == [2]

    async def test_nothing_is_text_too(self, notes: Any) -> None:
        await write(notes, name=["", " ", "x"])
        assert await found(notes, name="") == [1]
        assert await found(notes, name__contains="") == [1, 2, 3]
        assert await found(notes, name__startswith="") == [1, 2, 3]
        assert await found(notes, name__isnull=True) == [4]
        assert await found(notes, name__regex="^$") == [1]

    async def test_long_text_is_kept_and_searched(self, notes: Any) -> None:
        # Its exact value can't be looked up in the stand-in, which leaves more than 256 characters
        # out of a keyword within a text, whatever its mapping says; see test_es_manager_mapping.
        long = "word " * 20_000 + "end"
        await write(notes, text=[long, long + "!", "short"])
        assert await found(notes, text__match="end") == [1, 2]
        assert (await notes.aget(pk=1)).text == long

    async def test_expressions_are_found_anywhere_unless_anchored(self, notes: Any) -> None:
        await write(notes, name=["one two", "two", "TWO", "1 two\nthree"])
        assert await found(notes, name__regex="two") == [1, 2, 4]
        assert await found(notes, name__regex="^two$") == [2]
        assert await found(notes, name__regex=r"^\d") == [4]
        assert await found(notes, name__regex="^one|three$") == [1, 4]
        assert await found(notes, name__iregex="^t[a-z]o$") == [2, 3]
        with pytest.raises(NotSupportedError, match=r"no '\\b'"):
            await found(notes, name__regex=r"\btwo")

    async def test_they_are_compared_letter_by_letter(self, notes: Any) -> None:
        await write(notes, name=["A", "B", "a", "ä", "😀"])
        assert await found(notes, name__gt="B") == [3, 4, 5]
        assert await found(notes, name__range=("A", "a")) == [1, 2, 3]
        assert await pks(notes.filter(name__isnull=False).order_by("name")) == [1, 2, 3, 4, 5]

    async def test_what_is_hostile_is_data(self, notes: Any) -> None:
        hostile = ['"}}],"query":{"match_all":{}}', "{{ctx}}", "*:*", "_exists_:name", "../_all"]
        await write(notes, name=hostile)
        for number, value in enumerate(hostile, 1):
            assert await found(notes, name=value) == [number]
            assert await found(notes, name__contains=value) == [number]
            assert await found(notes, Q(name=value) & ~Q(name="x")) == [number]
        assert await notes.search("*:* OR _exists_:name").acount() <= len(hostile)


class TestNumbers:
    async def test_integers_are_exact_at_64_bits(self, notes: Any) -> None:
        most = 2**63 - 1
        await write(notes, number=[most, most - 1, -(2**63), 2**53 + 1, 2**53])
        assert await found(notes, number=most) == [1]
        assert await found(notes, number__in=[most - 1, 2**53 + 1, 2**80]) == [2, 4]
        assert [n async for n in notes.filter(id=3).values_list("number", flat=True)] == [-(2**63)]

    @pytest.mark.parametrize(
        ("lookup", "expected"),
        [("gt", []), ("gte", []), ("lt", [1, 2]), ("lte", [1, 2]), ("exact", [])],
    )
    async def test_what_is_beyond_them_is_compared_and_no_error(
        self, notes: Any, lookup: str, expected: list[int]
    ) -> None:
        await write(notes, number=[5, -5])
        assert await found(notes, **{f"number__{lookup}": 2**80}) == expected
        mirrored = {"gt": [1, 2], "gte": [1, 2], "lt": [], "lte": [], "exact": []}[lookup]
        assert await found(notes, **{f"number__{lookup}": -(2**80)}) == mirrored

    async def test_a_larger_one_fails_alone(self, notes: Any) -> None:
        result = await notes.abulk_create([Note(id=1, number=2**63), Note(id=2, number=1)])
        assert (result.succeeded, [each.id for each in result.failed]) == (1, [1])
        assert "'number' holds 64 bits" in str(result.failed[0].error)

    async def test_decimals_of_any_length_are_ordered(self, notes: Any) -> None:
        values = [
            "-123456789012345678901234567890.00000000000000000002",
            "-123456789012345678901234567890.00000000000000000001",
            "-0.00000000000000000001", "0", "0.1", "0.10000000000000000001", "2", "10",
        ]  # fmt: skip
        await write(notes, price=[Decimal(each) for each in values])
        assert await pks(notes.filter(price__isnull=False).order_by("price")) == list(range(1, 9))
        assert await found(notes, price=Decimal("0.1000")) == [5]
        assert await found(notes, price__gt=Decimal("0.1")) == [6, 7, 8]
        assert await found(notes, price__lt=0) == [1, 2, 3]
        assert await found(notes, price__range=(Decimal(values[1]), 2)) == [2, 3, 4, 5, 6, 7]

    async def test_floats_that_are_no_numbers_are_found_and_compared(self, notes: Any) -> None:
        infinity, nan = float("inf"), float("nan")
        await write(notes, weight=[1.5, infinity, -infinity, nan, -2.0])
        assert await found(notes, weight=nan) == [4]
        assert await found(notes, weight__in=[infinity, 1.5]) == [1, 2]
        assert await found(notes, weight__gt=0) == [1, 2, 4]
        assert await found(notes, weight__lt=0) == [3, 5]
        assert await found(notes, weight__gte=infinity) == [2, 4]
        assert await found(notes, weight__lt=infinity) == [1, 3, 5]
        assert await found(notes, weight__gt=-infinity) == [1, 2, 4, 5]
        assert await found(notes, weight__lte=-infinity) == [3]
        assert await found(notes, weight__isnull=True) == [6]
        assert [w async for w in notes.filter(id=3).values_list("weight", flat=True)] == [-infinity]

    async def test_a_float_that_becomes_a_number_again_is_one(self, notes: Any) -> None:
        await write(notes, weight=[float("nan")])
        await notes.filter(id=1).aupdate(weight=1.0)
        assert await found(notes, weight=float("nan")) == []
        assert await found(notes, weight=1.0) == [1]


class TestTime:
    async def test_moments_are_exact_to_the_microsecond_in_every_year(self, notes: Any) -> None:
        moments = [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_499, UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_500, UTC),
            datetime(2024, 2, 29, 12, 0, 0, 0, UTC),
            datetime(2024, 2, 29, 12, 0, 0, 1, UTC),
            datetime(2024, 2, 29, 12, 0, 0, 999, UTC),
            datetime(2024, 2, 29, 12, 0, 0, 1000, UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
        ]
        await write(notes, at=moments)
        everyone = range(1, len(moments) + 1)
        assert await pks(notes.filter(at__isnull=False).order_by("at")) == list(everyone)
        for number, moment in enumerate(moments, 1):
            assert await found(notes, at=moment) == [number]
            assert await found(notes, at__lt=moment) == [*range(1, number)]
            assert await found(notes, at__lte=moment) == [*range(1, number + 1)]
            assert await found(notes, at__gt=moment) == [*everyone][number:]
            assert await found(notes, at__gte=moment) == [*everyone][number - 1 :]
        assert await found(notes, at__range=(moments[4], moments[5])) == [5, 6]

    async def test_dates_of_every_year(self, notes: Any) -> None:
        await write(notes, day=[date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)])
        assert await found(notes, day__gt=date(1, 1, 1)) == [2, 3]
        assert await found(notes, day__lte=date(2024, 2, 29)) == [1, 2]
        assert await found(notes, day=date(2024, 2, 29)) == [2]
        assert await pks(notes.order_by("-day")) == [3, 2, 1, 4]

    async def test_durations_are_ordered(self, notes: Any) -> None:
        await write(notes, lasted=[timedelta(microseconds=-1), timedelta(0), timedelta(days=9999)])
        assert await found(notes, lasted__lt=timedelta(0)) == [1]
        assert await found(notes, lasted__gte=timedelta(seconds=1)) == [3]


class TestJson:
    async def test_it_is_found_by_what_is_in_it(self, notes: Any) -> None:
        await write(
            notes,
            data=[
                {"size": 9, "tags": ["a", "b"], "deep": {"name": "Ann", "x.y": True}},
                {"size": 10, "tags": [], "deep": {"name": "Bob"}},
                {"size": "9", "deep": None},
                [1, {"size": 9}],
                "text",
                {},
            ],
        )
        assert await found(notes, data__size=9) == [1]
        assert await found(notes, data__size="9") == [3]
        assert await found(notes, data__size=9.0) == [1]
        assert await found(notes, data__size__gt=9) == [2]
        assert await found(notes, data__size__range=(0, 9)) == [1]
        assert await found(notes, data__size__in=["9", 10]) == [2, 3]
        assert await found(notes, data__deep__name__startswith="B") == [2]
        assert await found(notes, data__deep__name__icontains="NN") == [1]
        assert await found(notes, data__deep__name__iexact="bob") == [2]
        assert await found(notes, data__deep__name__regex="^A.n$") == [1]
        assert await found(notes, data__tags__0="a") == [1]
        assert await found(notes, data__1__size=9) == [4]
        assert await found(notes, data__tags__isnull=False) == [1, 2]
        assert await found(notes, data__has_key="deep") == [1, 2, 3]
        assert await found(notes, data__has_keys=["deep", "tags"]) == [1, 2]
        assert await found(notes, data__has_any_keys=["tags", "nope"]) == [1, 2]
        assert await found(notes, data="text") == [5]
        assert await found(notes, data={}) == [6]
        assert await found(notes, data__isnull=True) == [7]
        assert await found(notes, data__deep={"name": "Bob"}) == [2]

    async def test_numbers_are_compared_as_numbers(self, notes: Any) -> None:
        values = [-1e300, -10, -9.5, -1, 0, 1e-9, 1, 9, 10, 2**70]
        await write(notes, data=[{"n": each} for each in values])
        for number, value in enumerate(values, 1):
            assert await found(notes, data__n__lt=value) == [*range(1, number)]
            assert await found(notes, data__n=value) == [number]

    async def test_keys_and_values_are_never_syntax(self, notes: Any) -> None:
        hostile = ["a.b", '"],"x', "*", "", "a=sb", "$gt", "\\", "ключ", "a\x00b"]
        await write(notes, data=[{key: key} for key in hostile])
        for number, key in enumerate(hostile, 1):
            assert await found(notes, data__has_key=key) == [number], key
            assert await found(notes, **{f"data__{key}": key}) == [number] or "__" in key or not key

    async def test_long_text_within_is_equal_or_not(self, notes: Any) -> None:
        long = "x" * 5000
        await write(notes, data=[{"t": long}, {"t": long + "x"}])
        assert await found(notes, data__t=long) == [1]
        assert await found(notes, data__t__in=[long + "x"]) == [2]

    async def test_a_change_takes_the_place_of_the_whole(self, notes: Any) -> None:
        await write(notes, data=[{"a": {"b": 1}}, {"a": 2}])
        await notes.filter(id=1).aupdate(data={"a": {"c": 3}})
        await notes.asave(Note(id=2, data={"z": 1}), update_fields=["data"])
        assert (await notes.aget(id=1)).data == {"a": {"c": 3}}
        assert (await notes.aget(id=2)).data == {"z": 1}
        assert await found(notes, data__a__b__isnull=False) == []
        assert await found(notes, data__z=1) == [2]

    async def test_what_it_cannot_do_is_told(self, notes: Any) -> None:
        for lookups in ({"data__a__match": "x"}, {"data__a__iregex": "x"}, {"data__a__gt": [1]}):
            with pytest.raises(NotSupportedError, match="Elasticsearch"):
                await found(notes, **lookups)
        with pytest.raises(NotSupportedError, match="no order for 'data', nor for what is within"):
            await pks(notes.order_by("data__size"))


class TestTheRest:
    async def test_lists(self, notes: Any) -> None:
        await write(notes, numbers=[[1, 2, 3], [3, 2, 1], [], [4]])
        assert await found(notes, numbers=[1, 2, 3]) == [1]
        assert await found(notes, numbers=[]) == [3]
        assert await found(notes, numbers__in=[[4], [3, 2, 1]]) == [2, 4]
        assert await found(notes, numbers__contains=[1, 3]) == [1, 2]
        assert await found(notes, numbers__contains=[]) == [1, 2, 3, 4]
        assert await found(notes, numbers__overlap=[3, 4]) == [1, 2, 4]
        assert await found(notes, numbers__isnull=True) == [5]

    async def test_lists_of_text(self, notes: Any) -> None:
        await write(notes, names=[["ab", "c d"], ["AB"]])
        assert await found(notes, names__contains=["ab"]) == [1]
        assert await found(notes, names__overlap=["AB", "c d"]) == [1, 2]

    async def test_bytes(self, notes: Any) -> None:
        await write(notes, raw=[b"", b"\x00\xff", b"x" * 30_000])
        assert await found(notes, raw=b"\x00\xff") == [2]
        assert await found(notes, raw__in=[b"x" * 30_000, b""]) == [1, 3]
        assert await found(notes, raw__isnull=True) == [4]
        with pytest.raises(NotSupportedError, match=r"'raw'.*it has exact, in, isnull"):
            await found(notes, raw__gt=b"a")

    async def test_addresses(self, notes: Any) -> None:
        await write(notes, ip=["10.0.0.1", "10.0.0.20", "2001:db8::1"])
        assert await found(notes, ip="10.0.0.1") == [1]
        assert await found(notes, ip__in=["2001:DB8::1", "10.0.0.20"]) == [2, 3]
        assert await found(notes, ip__startswith="10.0.0.") == [1, 2]

    async def test_a_field_without_full_text_says_so(self, notes: Any) -> None:
        with pytest.raises(NotSupportedError, match="'match' for 'number', which is indexed as"):
            await found(notes, number__match="5")

    async def test_thousands_of_values(self, notes: Any) -> None:
        await write(notes, number=[5, 70_000])
        assert await found(notes, number__in=range(70_001)) == [1, 2]

    async def test_what_has_no_value_comes_last_whichever_way(self, notes: Any) -> None:
        await write(notes, number=[2, 1])
        assert await pks(notes.order_by("number")) == [2, 1, 3]
        assert await pks(notes.order_by("-number")) == [1, 2, 3]

    async def test_a_random_order_is_one_for_all_pages(self, notes: Any) -> None:
        await write(notes, number=range(300))
        seen = [each.id async for each in notes.order_by("?").aiterator(chunk_size=50)]
        assert sorted(seen) == list(range(1, 302))
        assert seen != sorted(seen)
