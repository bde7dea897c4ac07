"""What went into a document comes out of it, and is found and ordered by what it is."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test import override_settings

from poolapp.managers.mongodb import MongoManager
from tests.mongodb_manager import database_url, documents_of, raw
from tests.stores.models import Article, Everything, bind
from tests.stores.models_mongodb import Moment, Numbers

NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        yield documents


@pytest.fixture
async def numbers(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Numbers) as documents:
        yield documents


def after(microseconds: int) -> dt.datetime:
    return NOON + dt.timedelta(microseconds=microseconds)


class TestDates:
    async def test_they_are_bson_dates_and_microseconds_beside(self, articles: Any) -> None:
        await articles.acreate(slug="a", published=after(1_234_567), day=dt.date(1, 1, 1))
        await articles.acreate(slug="b", published=after(5_000), day=dt.date(9999, 12, 31))
        a, b = await raw(articles, _id="a"), await raw(articles, _id="b")
        assert a["published"] == after(1_234_000).replace(tzinfo=None)
        assert a["_us"] == {"published": 567}
        assert a["day"] == dt.datetime(1, 1, 1)
        assert "_us" not in b
        assert [each.published async for each in articles.order_by("pk")] == [
            after(1_234_567), after(5_000),
        ]  # fmt: skip

    async def test_look_ups_and_order_are_exact_to_the_microsecond(self, articles: Any) -> None:
        offsets = [-1001, -1000, -999, -1, 0, 1, 999, 1000, 1001]
        shuffled = random.Random(1).sample(offsets, len(offsets))
        await articles.abulk_create(
            Article(slug=str(offset), published=after(offset)) for offset in shuffled
        )
        await articles.acreate(slug="null")

        async def found(**lookups: Any) -> list[int]:
            query = articles.filter(**lookups).order_by("published")
            return [int(each) async for each in query.values_list("slug", flat=True)]

        assert await found(published__isnull=False) == offsets
        for offset in offsets:
            at = after(offset)
            assert await found(published=at) == [offset]
            assert await found(published__gt=at) == [each for each in offsets if each > offset]
            assert await found(published__gte=at) == [each for each in offsets if each >= offset]
            assert await found(published__lt=at) == [each for each in offsets if each < offset]
            assert await found(published__lte=at) == [each for each in offsets if each <= offset]
        assert await found(published__range=(after(-999), after(1000))) == offsets[2:8]
        assert await found(published__range=(after(-999), None)) == []
        assert await found(published__in=[after(1), after(2), after(-1000)]) == [-1000, 1]
        assert await articles.exclude(published__lte=after(0)).acount() == 5

    async def test_a_partial_update_forgets_microseconds_that_are_gone(self, articles: Any) -> None:
        one = await articles.acreate(slug="a", published=after(1))
        one.published = after(2000)
        await articles.asave(one, update_fields=["published"])
        assert (await articles.aget(pk="a")).published == after(2000)
        await articles.filter(pk="a").aupdate(published=after(3))
        assert (await articles.aget(pk="a")).published == after(3)
        await articles.filter(pk="a").aupdate(published=None)
        assert (await articles.aget(pk="a")).published is None

    async def test_a_key_has_all_of_its_microseconds(self, url: str) -> None:
        async with documents_of(url, Moment) as moments:
            await moments.abulk_create([Moment(at=after(1)), Moment(at=after(2))])
            assert [each.at async for each in moments.filter(at__gt=after(1))] == [after(2)]
            await moments.aremove(Moment(at=after(2)))
            assert [each.pk async for each in moments.all()] == [after(1)]

    async def test_without_time_zones(self, articles: Any) -> None:
        local = dt.datetime(2024, 2, 29, 12, 0, 0, 7)
        with override_settings(USE_TZ=False):
            await articles.acreate(slug="a", published=local)
            assert (await articles.aget(published__gte=local)).published == local

    async def test_one_that_utc_has_no_year_for_is_refused(self, articles: Any) -> None:
        far = dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5)))
        with pytest.raises(ValueError, match=r"'published'.*beyond the years"):
            await articles.acreate(slug="a", published=far)


class TestNumbers:
    async def test_integers_beyond_64_bits_are_exact_and_in_order(self, numbers: Any) -> None:
        values = [-(10**33), -(2**63) - 1, -(2**63), -1, 0, 2**63 - 1, 2**63, 10**33 + 1]
        await numbers.abulk_create(Numbers(id=at, integer=value) for at, value in enumerate(values))
        found = [each.integer async for each in numbers.order_by("integer")]
        assert found == values
        assert {type(each) for each in found} == {int}
        assert await numbers.filter(integer__gt=2**63 - 1).acount() == 2
        assert (await numbers.aget(integer=2**63)).id == 6

    async def test_one_of_too_many_digits_is_refused(self, numbers: Any) -> None:
        result = await numbers.abulk_create(
            [Numbers(id=1, integer=10**40 + 1), Numbers(id=2, integer=1)]
        )
        assert (result.succeeded, result.failed[0].id) == (1, 1)
        assert "more than 34 digits" in str(result.failed[0].error)
        with pytest.raises(ValueError, match="more than 34 digits"):
            await numbers.filter(integer=10**40 + 1).acount()

    async def test_decimals_are_decimals_of_the_server_with_their_zeros(self, numbers: Any) -> None:
        await numbers.acreate(id=1, narrow=Decimal("1.50"))
        assert (await raw(numbers, _id=1))["narrow"] == Decimal128("1.50")
        assert str((await numbers.aget(narrow=Decimal("1.5"))).narrow) == "1.50"
        with pytest.raises(ValueError, match="declares them by its max_digits"):
            await numbers.asave(Numbers(id=2, narrow=Decimal("1." + "1" * 40)))

    async def test_a_field_of_more_digits_than_the_server_has_is_exact_and_in_order(
        self, numbers: Any
    ) -> None:
        zeros = "0" * 28
        tail = Decimal(f"0.{zeros}1")
        values = [
            Decimal(-(10**49)), Decimal(f"-1.{zeros}1"), Decimal(-1), -tail, Decimal(0), tail,
            Decimal("0.5"), Decimal(10**49), Decimal(10**49 + 1),
        ]  # fmt: skip
        await numbers.abulk_create(Numbers(id=at, wide=value) for at, value in enumerate(values))
        assert [each.wide async for each in numbers.order_by("wide")] == values
        assert await numbers.filter(wide__gt=10**49).acount() == 1
        assert (await numbers.aget(wide=-tail)).id == 3
        assert await numbers.filter(wide__range=(-1, 0)).acount() == 3

    async def test_durations_as_long_as_python_has_them(self, numbers: Any) -> None:
        values = [dt.timedelta.min, dt.timedelta(microseconds=-1), dt.timedelta.max]
        await numbers.abulk_create(Numbers(id=at, duration=each) for at, each in enumerate(values))
        assert [each.duration async for each in numbers.order_by("duration")] == values

    async def test_floats_that_are_no_numbers(self, numbers: Any) -> None:
        values = [float("-inf"), -0.0, 5e-324, float("inf")]
        await numbers.abulk_create(Numbers(id=at, floating=each) for at, each in enumerate(values))
        await numbers.acreate(id=9, floating=float("nan"))
        assert [
            each.floating async for each in numbers.exclude(pk=9).order_by("floating")
        ] == values
        assert (await numbers.aget(floating=float("nan"))).id == 9


class TestJson:
    HOSTILE = (
        {"$where": "1"}, {"a.b": {"$gt": 1}}, {"": 1}, {"%": 1}, {"%int": "5"}, {"%24": 0, "$": 1},
        {"a\x00b": [None]}, [[1, [2]], {}], 10**50, -(2**63) - 1, 1.0, 1, True, "text", {},
    )  # fmt: skip

    async def test_any_of_it_comes_back_and_is_found(self, articles: Any) -> None:
        await articles.abulk_create(
            Article(slug=f"{at:02}", data=value) for at, value in enumerate(self.HOSTILE)
        )
        found = [each.data async for each in articles.order_by("pk")]
        assert found == list(self.HOSTILE)
        assert [type(each) for each in found] == [type(each) for each in self.HOSTILE]
        for at, value in enumerate(self.HOSTILE):
            equal = {int(each.pk) async for each in articles.filter(data=value)}
            # A number is a number, whole or not.
            assert equal == ({10, 11} if at in (10, 11) else {at}), value

    async def test_other_programs_see_plain_documents(self, articles: Any) -> None:
        await articles.acreate(slug="a", data={"deep": {"list": [1, "x"]}, "size %": 2.5})
        data = (await raw(articles, _id="a"))["data"]
        assert data == {"deep": {"list": [1, "x"]}, "size %": 2.5}

    async def test_the_order_of_keys_is_no_matter(self, articles: Any) -> None:
        await articles.acreate(slug="a", data={"x": 1, "y": {"b": 1, "a": 2}})
        assert await articles.filter(data={"y": {"a": 2, "b": 1}, "x": 1}).aexists()


class TestEverything:
    async def test_arrays_of_dates_and_custom_fields(self, url: str) -> None:
        from tests.stores.fields import Point

        async with documents_of(url, Everything) as documents:
            made = await documents.acreate(
                numbers=[1, 2**40], moments=[after(1), after(2)], point=Point(1, 2),
                reversed="abc", time=dt.time(23, 59, 59, 999_999), binary=b"\x00\xff",
                ip="2001:db8::1", text="a\x00b", decimal=Decimal(1) / 3,
            )  # fmt: skip
            (got,) = [each async for each in documents.filter(moments__contains=[after(2)])]
            for name in ("numbers", "moments", "point", "reversed", "time", "ip", "text"):
                assert getattr(got, name) == getattr(made, name)
            assert bytes(got.binary) == b"\x00\xff"
            assert await documents.filter(point=Point(1, 2), binary=b"\x00\xff").acount() == 1
            assert await documents.filter(time__lt=dt.time(23, 59, 59, 999_999)).acount() == 0

    async def test_a_document_from_elsewhere_has_the_defaults_of_what_it_lacks(
        self, articles: Any
    ) -> None:
        async with articles.store().pool.database() as database:
            await database[articles.collection].insert_one({"_id": "a", "title": "T"})
        got = await articles.aget(pk="a")
        assert (got.title, got.likes, got.data, got.published) == ("T", 0, {}, None)
        got.likes = 3
        await articles.asave(got)
        assert (await articles.aget(likes=3)).title == "T"

    def test_names_that_mean_something_to_the_manager_are_no_fields(self) -> None:
        for name in ("_v", "_us", "_id"):
            made = type(
                f"Odd{name}",
                (models.Model,),
                {
                    "__module__": __name__,
                    name: models.IntegerField(null=True),
                    "Meta": type("Meta", (), {"app_label": "odd", "managed": False}),
                },
            )
            with pytest.raises(ImproperlyConfigured, match=repr(name)):
                bind(MongoManager("events"), made).store()

    @pytest.mark.parametrize("name", ["", "a$b", "system.users", "a\x00"])
    def test_a_collection_has_a_name_of_one(self, name: str) -> None:
        with pytest.raises(ImproperlyConfigured, match="no name of a collection"):
            MongoManager("events", name)

    async def test_projections_leave_what_was_not_asked_for(self, articles: Any) -> None:
        await articles.acreate(slug="a", title="T", published=after(7), data={"k": 1})
        (got,) = [each async for each in articles.only("published")]
        assert got.published == after(7)
        assert "title" in got.get_deferred_fields()
        rows = articles.values_list("published", "data__k", "slug")
        assert [each async for each in rows] == [(after(7), 1, "a")]

    async def test_every_pair_of_kinds_and_orders(self, articles: Any) -> None:
        fields = ("likes", "published", "price", "title", "is_public", "day")
        chosen = random.Random(7)
        rows = [
            Article(
                slug=str(at), title=chosen.choice("abc"), likes=chosen.randint(0, 3),
                price=Decimal(chosen.randint(0, 3)), published=after(chosen.randint(0, 3)),
                is_public=chosen.random() < 0.5, day=dt.date(2024, 1, chosen.randint(1, 3)),
            )
            for at in range(60)
        ]  # fmt: skip
        await articles.abulk_create(rows)
        for one, other in itertools.permutations(fields, 2):
            rows.sort(key=lambda row: row.slug)
            rows.sort(key=lambda row, name=other: getattr(row, name))
            rows.sort(key=lambda row, name=one: getattr(row, name), reverse=True)
            found = articles.order_by(f"-{one}", other, "slug").values_list("slug", flat=True)
            assert [each async for each in found[10:40]] == [row.slug for row in rows[10:40]]
