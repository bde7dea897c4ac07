"""What is asked of MongoDB is what Django means: the parts of JSON, arrays, figures, orders."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, DataError, NotSupportedError
from django.db.models import Avg, Count, Max, Min, Q, Sum

from poolapp.managers.mongodb import MongoManager, MongoQuerySet
from tests.mongodb_manager import database_url, documents_of
from tests.stores.models import Article, Everything, bind
from tests.stores.models_mongodb import Numbers

NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
DATA: dict[str, Any] = {
    "a": {"n": 1, "list": [1, [2, 3], {"k": "v"}], "name": "Ann", "flag": True, "none": None},
    "b": {"n": 2.5, "list": [3, 1], "name": "bob", "flag": False, "deep": {"er": {"x": 1}}},
    "c": {"n": "1", "list": {"0": 1}, "name": 5, "a.b": 1, "$gt": 2, "deep": [{"er": 1}]},
    "d": [1, 2, {"n": 1}],
    "e": {"n": 10, "list": [[1]], "deep": {"er": {"x": 1, "y": 2}}},
    "f": {},
    "g": "text",
}


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        yield documents


@pytest.fixture
async def filled(articles: Any) -> Any:
    await articles.abulk_create(Article(slug=slug, data=data) for slug, data in DATA.items())
    return articles


async def found(documents: Any, *conditions: Q, **lookups: Any) -> str:
    query = documents.filter(*conditions, **lookups).order_by("pk")
    return "".join([each async for each in query.values_list("pk", flat=True)])


class TestJson:
    async def test_parts_are_looked_up_and_never_mixed_up_with_those_of_arrays(
        self, filled: Any
    ) -> None:
        assert await found(filled, data__n=1) == "a"
        assert await found(filled, data__n="1") == "c"
        assert await found(filled, data__list=1) == ""
        assert await found(filled, data__list__0=1) == "ac"
        assert await found(filled, data__list__1__1=3) == "a"
        assert await found(filled, data__list__2__k="v") == "a"
        assert await found(filled, data__2__n=1) == "d"
        assert await found(filled, data__deep__er__x=1) == "be"
        assert await found(filled, data__deep__er=1) == ""
        assert await found(filled, data__deep__0__er=1) == "c"
        assert await found(filled, data__flag=True) == "a"
        assert await found(filled, data__n__in=[1, 10, "1", True]) == "ace"

    async def test_hostile_keys_are_keys(self, filled: Any) -> None:
        assert await found(filled, **{"data__a.b": 1}) == "c"
        assert await found(filled, **{"data__$gt": 2}) == "c"
        assert await found(filled, **{"data__$where": "sleep(1)"}) == ""
        assert await found(filled, data__n={"$gt": 0}) == ""
        assert await found(filled, data={"$gt": 0}) == ""
        assert await found(filled, title="$slug") == ""
        assert await found(filled, data__name="$slug") == ""

    async def test_comparisons_stay_within_a_type(self, filled: Any) -> None:
        assert await found(filled, data__n__gt=1) == "be"
        assert await found(filled, data__n__lte=2.5) == "ab"
        assert await found(filled, data__n__range=(2, 10)) == "be"
        assert await found(filled, data__name__gt="A") == "ab"

    async def test_text_within(self, filled: Any) -> None:
        assert await found(filled, data__name__icontains="N") == "a"
        assert await found(filled, data__name__istartswith="B") == "b"
        assert await found(filled, data__name__iregex="^a|B$") == "ab"
        assert await found(filled, data__name__endswith="5") == ""

    async def test_null_and_missing(self, filled: Any) -> None:
        assert await found(filled, data__none__isnull=True) == "abcdefg"
        assert await found(filled, data__name__isnull=False) == "abc"
        assert await found(filled, ~Q(data__n=1)) == "bcdefg"

    async def test_containment(self, filled: Any) -> None:
        assert await found(filled, data__contains={"deep": {"er": {"x": 1}}}) == "be"
        assert await found(filled, data__contains={"list": [1]}) == "ab"
        assert await found(filled, data__contains={"list": [[3], {"k": "v"}]}) == "a"
        assert await found(filled, data__contains={"none": None}) == "a"
        assert await found(filled, data__contains={}) == "abcef"
        assert await found(filled, data__contains=[2]) == "d"
        assert await found(filled, data__contains=2) == "d"
        assert await found(filled, data__contains="text") == "g"

    async def test_keys(self, filled: Any) -> None:
        assert await found(filled, data__has_key="none") == "a"
        assert await found(filled, data__has_key="$gt") == "c"
        assert await found(filled, data__has_keys=["n", "flag"]) == "ab"
        assert await found(filled, data__has_any_keys=["none", "a.b"]) == "ac"
        assert await found(filled, data__deep__has_key="er") == "be"

    async def test_an_order_by_a_part(self, filled: Any) -> None:
        numbers = filled.filter(data__n__gt=0).order_by("-data__n")
        assert [each.pk async for each in numbers] == ["e", "b", "a"]
        assert [each.pk async for each in numbers[1:2]] == ["b"]
        (only,) = [each async for each in numbers.only("title")[:1]]
        assert only.pk == "e"
        assert "data" in only.get_deferred_fields()


class TestArrays:
    async def test_contains_and_overlap(self, url: str) -> None:
        async with documents_of(url, Everything) as documents:
            rows = {"a": [1, 2, 2], "b": [2, 3], "c": [], "d": None}
            await documents.abulk_create(
                Everything(char=name, numbers=numbers) for name, numbers in rows.items()
            )

            async def names(**lookups: Any) -> str:
                query = documents.filter(**lookups).order_by("char")
                return "".join([each.char async for each in query])

            assert await names(numbers__contains=[2]) == "ab"
            assert await names(numbers__contains=[2, 3]) == "b"
            assert await names(numbers__contains=[]) == "abc"
            assert await names(numbers__overlap=[1, 3]) == "ab"
            assert await names(numbers__overlap=[]) == ""
            assert await names(numbers=[2, 3]) == "b"
            assert await names(numbers=[]) == "c"
            assert await names(numbers__in=[[2, 3], []]) == "bc"
            assert await names(numbers__isnull=True) == "d"


class TestText:
    async def test_the_ends_are_the_ends(self, articles: Any) -> None:
        await articles.abulk_create(
            Article(slug=slug, title=title)
            for slug, title in {"a": "end", "b": "end\n", "c": "the\nend", "d": "x\x00y"}.items()
        )
        assert await found(articles, title__endswith="end") == "ac"
        assert await found(articles, title__iexact="END") == "a"
        assert await found(articles, title__startswith="end") == "ab"
        assert await found(articles, title__contains="\n") == "bc"
        assert await found(articles, title__contains="\x00") == "d"
        assert await found(articles, title="x\x00y") == "d"

    async def test_a_pattern_that_is_none_is_told(self, articles: Any) -> None:
        await articles.acreate(slug="a", title="x")
        with pytest.raises(DataError, match=r"MongoDB .*[Rr]egular expression"):
            await articles.filter(title__regex="(").acount()
        with pytest.raises(ValueError, match="32,764 bytes"):
            await articles.filter(title__contains="x" * 40_000).acount()

    async def test_a_text_longer_than_any_index_takes_is_found(self, articles: Any) -> None:
        await articles.acreate(slug="a", body="x" * 1_000_000)
        assert await found(articles, body="x" * 1_000_000) == "a"
        assert await found(articles, body="x" * 999_999) == ""


class TestFigures:
    @pytest.fixture
    async def shop(self, articles: Any) -> Any:
        await articles.abulk_create(
            Article(
                slug=str(at), likes=at, author_id=at % 3 or None, price=price,
                is_public=at % 2 == 0,
                published=NOON + dt.timedelta(microseconds=at % 4), rating=at / 2,
            )
            for at, price in enumerate([None, "1.10", "2.20", "3.30", "1.1", None])
        )  # fmt: skip
        return articles

    async def test_of_all(self, shop: Any) -> None:
        figures = await shop.aaggregate(
            n=Count("*"), priced=Count("price"), kinds=Count("price", distinct=True),
            total=Sum("price"), distinct=Sum("price", distinct=True), mean=Avg("price"),
            first=Min("published"), last=Max("published"), likes=Sum("likes"), avg=Avg("likes"),
            popular=Count("pk", filter=Q(likes__gte=3)),
            late=Sum("likes", filter=Q(published__gt=NOON) & ~Q(price=None)),
        )  # fmt: skip
        assert figures == {
            "n": 6, "priced": 4, "kinds": 3, "total": Decimal("7.70"),
            "distinct": Decimal("6.60"), "mean": Decimal("1.925"), "first": NOON,
            "last": NOON + dt.timedelta(microseconds=3), "likes": 15, "avg": 2.5, "popular": 3,
            "late": 6,
        }  # fmt: skip
        assert type(figures["likes"]) is int

    async def test_of_nothing(self, shop: Any) -> None:
        figures = {"n": Count("*"), "s": Sum("likes"), "a": Avg("price"), "m": Max("published")}
        expected = {"n": 0, "s": None, "a": None, "m": None}
        assert await shop.filter(likes__gt=99).aaggregate(**figures) == expected
        assert await shop.none().aaggregate(**figures) == expected
        assert await shop.filter(price=None).aaggregate(s=Sum("price")) == {"s": None}
        distinct = {"c": Count("price", distinct=True), "s": Sum("price", distinct=True)}
        assert await shop.filter(price=None).aaggregate(**distinct) == {"c": 0, "s": None}

    async def test_of_a_slice(self, shop: Any) -> None:
        assert await shop.order_by("-likes")[:2].aaggregate(s=Sum("likes")) == {"s": 9}

    async def test_sums_beyond_64_bits_are_exact(self, url: str) -> None:
        async with documents_of(url, Numbers) as numbers:
            await numbers.abulk_create(Numbers(id=at, integer=2**63 - 1) for at in range(3))
            assert await numbers.aaggregate(s=Sum("integer")) == {"s": 3 * (2**63 - 1)}
            await numbers.all().aupdate(
                duration=dt.timedelta(days=1, microseconds=1), wide=Decimal(1)
            )
            found = await numbers.aaggregate(
                s=Sum("duration"), a=Avg("duration"), m=Max("wide"), n=Count("wide")
            )
            day = dt.timedelta(days=1, microseconds=1)
            assert found == {"s": 3 * day, "a": day, "m": Decimal(1), "n": 3}
            with pytest.raises(NotSupportedError, match=r"Sum\('wide'\): it has no numbers of so"):
                await numbers.aaggregate(Sum("wide"))

    async def test_by_group(self, shop: Any) -> None:
        rows = shop.values("author").annotate(
            n=Count("*"), likes=Sum("likes"), prices=Count("price", distinct=True),
            public=Count("pk", filter=Q(is_public=True)), dear=Sum("price", filter=Q(price__gt=2)),
        )  # fmt: skip
        assert [each async for each in rows.order_by("-likes", "author")] == [
            {"author": 2, "n": 2, "likes": 7, "prices": 1, "public": 1, "dear": Decimal("2.20")},
            {"author": 1, "n": 2, "likes": 5, "prices": 1, "public": 1, "dear": None},
            {"author": None, "n": 2, "likes": 3, "prices": 1, "public": 1, "dear": Decimal("3.30")},
        ]
        assert await rows.acount() == 3

    async def test_groups_of_moments_are_apart_by_microseconds(self, shop: Any) -> None:
        rows = shop.values_list("published").annotate(n=Count("*")).order_by("published")
        assert [each async for each in rows[1:]] == [
            (NOON + dt.timedelta(microseconds=1), 2),
            (NOON + dt.timedelta(microseconds=2), 1),
            (NOON + dt.timedelta(microseconds=3), 1),
        ]
        assert [each async for each in rows[2:2]] == []
        # 1.1 and 1.10 are one number.
        assert len([each async for each in shop.values("price").distinct()]) == 4

    async def test_names_are_data(self, shop: Any) -> None:
        hostile = {"$gt": Count("*"), "a.b": Sum("likes"), "_id": Max("likes")}
        assert await shop.aaggregate(**hostile) == {"$gt": 6, "a.b": 15, "_id": 5}
        rows = shop.values("is_public").annotate(**{"$x.y": Count("*")}).order_by("$x.y")
        assert {each["$x.y"] async for each in rows} == {3}

    async def test_what_has_no_figure_is_refused_before_it_is_asked(self, articles: Any) -> None:
        for figure, why in {
            Sum("title"): "keyword, not of numbers",
            Avg("published"): "datetime, not of numbers",
            Max("data"): "json, which has no order",
            Min("is_public"): "boolean, which has no order",
        }.items():
            with pytest.raises(NotSupportedError, match=why):
                await articles.aaggregate(figure)
            with pytest.raises(NotSupportedError, match=why):
                [each async for each in articles.values("slug").annotate(x=figure)]


class TestRest:
    async def test_a_random_order_has_them_all(self, articles: Any) -> None:
        await articles.abulk_create(Article(slug=f"{at:02}") for at in range(40))
        orders = [[each.pk async for each in articles.order_by("?")] for _ in range(3)]
        assert {tuple(sorted(each)) for each in orders} == {tuple(f"{at:02}" for at in range(40))}
        assert len({tuple(each) for each in orders}) > 1

    async def test_what_has_no_order_is_not_compared(self, url: str) -> None:
        async with documents_of(url, Everything) as documents:
            for lookup in ("binary__gt", "json__lt", "numbers__gte"):
                with pytest.raises(NotSupportedError, match="use exact, in or isnull"):
                    await documents.filter(**{lookup: b"" if "b" in lookup else [1]}).acount()

    async def test_methods_of_ones_own(self, url: str) -> None:
        class Public(MongoQuerySet[Any]):
            def public(self) -> Any:
                return self.filter(is_public=True)

        async with documents_of(url, Article) as documents:
            manager = MongoManager.from_queryset(Public)(documents.pool, documents.collection)
            mine = bind(manager, Article)
            await mine.abulk_create([Article(slug="a"), Article(slug="b", is_public=False)])
            assert [each.pk async for each in mine.public()] == ["a"]

    async def test_another_database(self, url: str) -> None:
        async with documents_of(url, Article) as documents:
            other = bind(
                MongoManager(documents.pool, documents.collection, database="elsewhere"), Article
            )
            await other.acreate(slug="a")
            assert not await documents.aexists()
            assert [each.pk async for each in other.all()] == ["a"]
            async with other.store().pool.database("elsewhere") as database:
                await database.drop_collection(documents.collection)

    async def test_a_refusal_of_the_server_is_a_database_error(self, url: str) -> None:
        name = "x" * 300
        async with documents_of(url, Article) as documents:
            long = bind(MongoManager(documents.pool, name), Article)
            with pytest.raises(DatabaseError, match=r"MongoDB 'xxx"):
                await long.acreate(slug="a")
