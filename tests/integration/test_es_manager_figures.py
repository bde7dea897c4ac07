"""ElasticsearchManager: figures, and groups of them."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import NotSupportedError
from django.db.models import Avg, Count, Max, Min, Q, Sum

from tests.composite import SEEN, with_composites
from tests.integration.es_documents import documents_of
from tests.stores.models import Article
from tests.stores.models_elasticsearch import Line, Note


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    """Of a server that makes composite aggregations, which the stand-in has not."""
    return with_composites(server_urls["elasticsearch"])


@pytest.fixture
async def notes(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Note) as documents:
        yield documents


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        made = [
            Article(
                slug=f"{n:02}", title=f"t{n % 3}", likes=n, rating=n / 2, is_public=n % 2 == 0,
                author_id=n % 2 or None, day=date(2024, 1, 1 + n % 2), price=Decimal(n) / 10,
                published=datetime(2024, 1, 1, microsecond=n % 2, tzinfo=UTC),
            )
            for n in range(10)
        ]  # fmt: skip
        assert await documents.abulk_create(made)
        yield documents


async def rows(query: Any) -> list[Any]:
    return [each async for each in query]


class TestFigures:
    async def test_the_least_and_the_most_are_exact_in_every_type(self, notes: Any) -> None:
        big = 2**60
        first = Note(
            id=1, number=big + 3, name="b", price=Decimal("0.10000000000000000001"),
            at=datetime(1, 1, 1, 0, 0, 0, 1, UTC), day=date(9999, 12, 31), weight=-1.5,
            lasted=timedelta(days=9999, microseconds=1), ip="10.0.0.9",
        )  # fmt: skip
        second = Note(
            id=2, number=-big - 1, name="a", price=Decimal("0.1"),
            at=datetime(1, 1, 1, 0, 0, 0, 2, UTC), day=date(1, 1, 1), weight=2.5,
            lasted=timedelta(days=9999), ip="10.0.0.1",
        )  # fmt: skip
        assert await notes.abulk_create([first, second, Note(id=3)])
        names = ("number", "name", "price", "at", "day", "weight", "lasted")
        least = await notes.aaggregate(**{name: Min(name) for name in names})
        most = await notes.aaggregate(**{name: Max(name) for name in names})
        for name in names:
            values = sorted([getattr(first, name), getattr(second, name)])
            assert [least[name], most[name]] == values, name
            assert type(least[name]) is type(values[0])

    async def test_sums_and_means_have_the_fields_type(self, articles: Any) -> None:
        got = await articles.aaggregate(
            Sum("likes"), Avg("likes"), Sum("price"), Avg("price"), Sum("rating")
        )
        assert got == {
            "likes__sum": 45, "likes__avg": 4.5, "price__sum": Decimal("4.5"),
            "price__avg": Decimal("0.45"), "rating__sum": 22.5,
        }  # fmt: skip
        assert type(got["likes__sum"]) is int

    async def test_durations_are_summed(self, notes: Any) -> None:
        made = [Note(id=n, lasted=timedelta(seconds=n)) for n in range(1, 4)]
        assert await notes.abulk_create(made)
        got = await notes.aaggregate(Sum("lasted"), Avg("lasted"))
        assert got == {"lasted__sum": timedelta(seconds=6), "lasted__avg": timedelta(seconds=2)}

    async def test_of_nothing_there_is_nothing(self, articles: Any) -> None:
        none = articles.filter(likes__gt=99)
        got = await none.aaggregate(
            Sum("likes"), Avg("rating"), Min("price"), Max("likes"), n=Count("*"), c=Count("price")
        )
        assert got == {
            "likes__sum": None, "rating__avg": None, "price__min": None, "likes__max": None,
            "n": 0, "c": 0,
        }  # fmt: skip

    async def test_floats_that_are_no_numbers_count(self, notes: Any) -> None:
        infinity, nan = float("inf"), float("nan")
        for values, expected in (
            ([1.0, infinity], (1.0, infinity, infinity)),
            ([1.0, -infinity], (-infinity, 1.0, -infinity)),
            ([infinity, -infinity], (-infinity, infinity, nan)),
            ([1.0, nan], (1.0, nan, nan)),
        ):
            await notes.filter(id__gte=0).adelete()
            assert await notes.abulk_create([Note(id=n, weight=w) for n, w in enumerate(values)])
            got = await notes.aaggregate(Min("weight"), Max("weight"), Sum("weight"))
            assert [repr(each) for each in got.values()] == [repr(each) for each in expected]

    async def test_each_has_its_own_condition(self, articles: Any) -> None:
        got = await articles.aaggregate(
            few=Count("slug", filter=Q(likes__lt=3)),
            best=Max("likes", filter=Q(is_public=True)),
            authors=Count("author"),
            titles=Count("title", distinct=True, filter=~Q(title="t0")),
        )
        assert got == {"few": 3, "best": 8, "authors": 5, "titles": 2}

    async def test_what_a_search_found(self, articles: Any) -> None:
        assert (await articles.search("t1", "title").aaggregate(Sum("likes")))["likes__sum"] == 12

    @pytest.mark.parametrize(
        ("figure", "message"),
        [
            (Sum("title"), "no sum of 'title'"),
            (Max("data"), "no max of 'data'"),
            (Count("data", distinct=True), "no count of 'data'"),
            (Sum("likes", distinct=True), "no sum of distinct values"),
        ],
    )
    async def test_what_it_cannot_is_told(self, articles: Any, figure: Any, message: str) -> None:
        with pytest.raises(NotSupportedError, match=message):
            await articles.aaggregate(x=figure)

    async def test_a_slice_is_not_aggregated(self, articles: Any) -> None:
        with pytest.raises(NotSupportedError, match="not a slice"):
            await articles.all()[:3].aaggregate(Sum("likes"))


class TestGroups:
    async def test_a_row_for_each_value_null_among_them(self, articles: Any) -> None:
        groups = articles.values("author").annotate(n=Count("*"), most=Max("price"))
        assert await rows(groups.order_by("author")) == [
            {"author": 1, "n": 5, "most": Decimal("0.9")},
            {"author": None, "n": 5, "most": Decimal("0.8")},
        ]
        assert [row["author"] for row in await rows(groups.order_by("-author"))] == [None, 1]

    async def test_by_several_fields_of_every_type(self, articles: Any) -> None:
        groups = articles.values_list("is_public", "day", "published", "title")
        got = await rows(groups.annotate(n=Count("pk")).order_by("title", "-is_public"))
        assert len(got) == 6
        assert got[0] == (True, date(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "t0", 2)
        assert got[1] == (
            False, date(2024, 1, 2), datetime(2024, 1, 1, microsecond=1, tzinfo=UTC), "t0", 2,
        )  # fmt: skip

    async def test_floats_that_are_no_numbers_are_groups_of_their_own(self, notes: Any) -> None:
        weights = [1.5, 1.5, float("nan"), float("inf"), None]
        assert await notes.abulk_create([Note(id=n, weight=w) for n, w in enumerate(weights)])
        got = await rows(notes.values_list("weight").annotate(n=Count("*")))
        assert sorted(map(repr, got)) == ["(1.5, 2)", "(None, 1)", "(inf, 1)", "(nan, 1)"]

    async def test_more_groups_than_a_page_has(self, url: str) -> None:
        async with documents_of(url, Line) as lines:
            assert await lines.abulk_create(Line(id=n, parity=n % 2 == 0) for n in range(2300))
            groups = lines.values_list("id", flat=True).distinct().order_by("-id")
            SEEN[url].clear()
            assert await rows(groups) == list(range(2299, -1, -1))
            assert len(SEEN[url]) == 3
            assert await rows(groups[1500:1503]) == [799, 798, 797]
            assert await rows(groups[2298:]) == [1, 0]

    async def test_what_it_cannot_is_told(self, articles: Any) -> None:
        groups = articles.values("title").annotate(n=Count("*"))
        with pytest.raises(NotSupportedError, match=r"by what they are grouped by.*'n'"):
            await rows(groups.order_by("-n"))
        with pytest.raises(NotSupportedError, match="can't group by 'data'"):
            await rows(articles.values("data").annotate(n=Count("*")))

    async def test_a_server_without_composites_is_told_of(
        self, server_urls: dict[str, str]
    ) -> None:
        if with_composites(server_urls["elasticsearch"]) == server_urls["elasticsearch"]:
            pytest.skip("this one has them")
        async with documents_of(server_urls["elasticsearch"], Line) as lines:
            with pytest.raises(NotSupportedError, match=r"this server lacks something.*composite"):
                await rows(lines.values("parity").annotate(n=Count("*")))
