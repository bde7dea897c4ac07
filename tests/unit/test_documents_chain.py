"""The lazy chain: what it says, what it refuses, and that it asks nobody."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import NotSupportedError
from django.db.models import Avg, Count, F, Max, Q, StdDev, Sum

from poolapp.managers.documents.selection import Aggregate
from tests.stores.gated import GatedManager, GatedStore
from tests.stores.models import Article, bind


class OwnOrderStore(GatedStore):
    meta_ordering = False


class OwnOrderManager(GatedManager):
    def make_store(self, alias: str) -> GatedStore:
        return OwnOrderStore(self.model, alias, "own")


@pytest.fixture
async def articles() -> Any:
    return bind(GatedManager("x"), Article)


def names(query: Any) -> list[str]:
    return [("-" if each.descending else "") + each.field.name for each in query.selection().order]


async def test_every_step_leaves_the_one_before_as_it_was(articles: Any) -> None:
    first = articles.filter(likes=1)
    before = first.selection()
    first.filter(likes=2), first.order_by("title"), first[1:2], first.only("title"), first.values()
    assert first.selection() == before


async def test_slices_of_slices(articles: Any) -> None:
    def bounds(query: Any) -> tuple[int, int | None]:
        return query.selection().low, query.selection().high

    everything = articles.all()
    assert bounds(everything[5:]) == (5, None)
    assert bounds(everything[5:][2:4]) == (7, 9)
    assert bounds(everything[2:6][1:]) == (3, 6)
    assert bounds(everything[2:6][1:100]) == (3, 6)
    assert bounds(everything[2:6][10:20]) == (6, 6)
    assert bounds(everything[4:2]) == (4, 4)
    assert everything[2:6].selection().limit == 4


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        (3, TypeError, r"\[3:4\]"),
        (slice(-1, None), ValueError, "Negative"),
        (slice(0, -1), ValueError, "Negative"),
        (slice(0, 9, 2), TypeError, "step"),
        ("a", TypeError, "'str'"),
    ],
)
async def test_other_indexes_are_refused(articles: Any, key: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        articles.all()[key]


async def test_after_a_slice_nothing_changes_which_they_are(articles: Any) -> None:
    some = articles.all()[:5]
    for change in (
        lambda: some.filter(likes=1),
        lambda: some.exclude(likes=1),
        lambda: some.order_by("likes"),
        lambda: some.reverse(),
        lambda: some.values("likes").distinct(),
        lambda: some.values("likes").annotate(n=Count("*")),
    ):
        with pytest.raises(TypeError, match="slice"):
            change()
    with pytest.raises(TypeError, match="offset"):
        await some.adelete()
    with pytest.raises(TypeError, match="offset"):
        await some.aupdate(likes=1)


async def test_what_has_to_be_awaited_says_how(articles: Any) -> None:
    query = articles.all()
    for ask, instead in (
        (lambda: list(query), "async for"),
        (lambda: len(query), "acount"),
        (lambda: bool(query), "aexists"),
        (lambda: Article() in query, "acontains"),
    ):
        with pytest.raises(TypeError, match=instead):
            ask()
    for name in ("get", "create", "count", "delete", "bulk_create", "first"):
        with pytest.raises(AttributeError, match=f"await .a{name}"):
            getattr(query, name)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        query.nonsense()


async def test_order_by_takes_the_place_of_the_model_s(
    articles: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(articles.all()) == []
    monkeypatch.setattr(Article._meta, "ordering", ["-published", "pk"])
    assert names(articles.all()) == ["-published", "slug"]
    assert articles.all().selection().default_order
    assert names(articles.reverse()) == ["published", "-slug"]
    assert names(articles.order_by("likes")) == ["likes"]
    assert names(articles.order_by()) == []
    assert names(articles.order_by("likes").order_by("-title", "author_id")) == ["-title", "author"]
    assert names(articles.order_by("likes").reverse().reverse()) == ["likes"]
    monkeypatch.setattr(Article._meta, "ordering", ["author__name"])
    with pytest.raises(NotSupportedError, match=r"Meta.ordering of stores.Article.*order_by"):
        articles.all().selection()
    assert await articles.acount() == 0  # in whatever order


async def test_a_store_with_an_order_of_its_own_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    own = bind(OwnOrderManager("x"), Article)
    monkeypatch.setattr(Article._meta, "ordering", ["-published"])
    assert names(own.all()) == []
    assert own.reverse().selection().backwards
    assert not own.order_by("likes").reverse().selection().backwards
    await own.alast()
    assert own.store().asked[-1].backwards
    await own.afirst()
    assert own.store().asked[-1].order == ()


async def test_first_and_last_are_by_the_primary_key_if_nothing_else(articles: Any) -> None:
    await articles.afirst()
    assert [each.field.name for each in articles.store().asked[-1].order] == ["slug"]
    await articles.order_by("likes").alast()
    assert [each.descending for each in articles.store().asked[-1].order] == [True]
    with pytest.raises(ValueError, match="get_latest_by"):
        await articles.alatest()
    with pytest.raises(Article.DoesNotExist):
        await articles.alatest("likes")


async def test_projections(articles: Any) -> None:
    def only(query: Any) -> list[str]:
        return [each.name for each in query.selection().only]

    assert only(articles.only("title")) == ["slug", "title"]
    assert only(articles.only("title", "body").defer("body")) == ["slug", "title"]
    assert "body" not in only(articles.defer("body"))
    assert articles.only("title").defer(None).selection().only is None
    assert only(articles.values("likes", "author")) == ["likes", "author"]
    with pytest.raises(TypeError, match="values"):
        articles.values("likes").only("title")
    with pytest.raises(TypeError, match="flat"):
        articles.values_list(flat=True)
    with pytest.raises(TypeError, match="together"):
        articles.values_list("likes", flat=True, named=True)
    with pytest.raises(FieldError):
        articles.only("nope")
    with pytest.raises(TypeError, match="values"):
        await articles.values("likes").adelete()


async def test_rows_have_python_s_values_and_parts_of_json(articles: Any) -> None:
    await articles.acreate(slug="a", title="T", price="1.5", data={"a": [1, {"b": 2}]})
    rows = articles.values("price", "data__a__1__b", "data__nope", "data__a__9")
    assert [each async for each in rows] == [
        {"price": Decimal("1.5"), "data__a__1__b": 2, "data__nope": None, "data__a__9": None}
    ]


async def test_aggregates_are_read_from_django_s(articles: Any) -> None:
    asked: dict[str, Aggregate] = {}

    async def aggregate(selection: Any, aggregates: Any) -> Any:
        asked.update(aggregates)
        return dict.fromkeys(aggregates, "2.5")

    articles.store().aggregate = aggregate
    got = await articles.aaggregate(
        Sum("price"), mean=Avg("price"), authors=Count("author", distinct=True)
    )
    assert got == {"price__sum": Decimal("2.5"), "mean": Decimal("2.5"), "authors": "2.5"}
    assert asked["authors"].distinct
    for wrong, error in (
        (StdDev("likes"), "StdDev"),
        (Max(F("likes") + 1), "aggregates fields"),
        (Max("data__size"), "no part of a JSONField"),
    ):
        with pytest.raises(NotSupportedError, match=error):
            await articles.aaggregate(n=wrong)
    with pytest.raises(TypeError, match="needs a name"):
        await articles.aaggregate(Max(F("likes") + 1))
    with pytest.raises(TypeError, match="twice"):
        await articles.aaggregate(Sum("likes"), likes__sum=Sum("likes"))
    with pytest.raises(FieldError):
        await articles.aaggregate(Sum("nope"))


async def test_groups_say_by_what_and_in_what_order(articles: Any) -> None:
    query = articles.order_by("-author").values("author").annotate(n=Count("*"))
    assert query._grouping().order == (("author_id", True),)
    assert query.order_by("-n")[2:5]._grouping().order == (("n", True),)
    assert (query[2:5]._grouping().low, query[2:5]._grouping().high) == (2, 5)
    assert query.selection(ordered=False).order == ()
    with pytest.raises(NotSupportedError, match="values\\('field'\\)"):
        articles.annotate(n=Count("*"))
    with pytest.raises(NotSupportedError, match="filter before"):
        query.filter(likes=1)
    with pytest.raises(NotSupportedError, match="what they show"):
        query.order_by("title")
    with pytest.raises(NotSupportedError, match="by a part"):
        articles.values("data__a").annotate(n=Count("*"))
    with pytest.raises(ValueError, match="name of a column"):
        articles.values("likes").annotate(likes=Count("*"))
    filtered = articles.values("author").annotate(n=Count("pk", filter=Q(likes=1)))
    assert filtered._grouping().aggregates["n"].condition is not None


async def test_a_store_that_can_not_says_so(articles: Any) -> None:
    with pytest.raises(NotSupportedError, match="Gated can't aggregate"):
        await articles.aaggregate(n=Count("*"))
    with pytest.raises(NotSupportedError, match="Gated can't update what a filter selects"):
        await articles.filter(likes=1).aupdate(likes=2)
    with pytest.raises(NotSupportedError, match="Gated can't delete"):
        await articles.filter(likes=1).adelete()
    with pytest.raises(NotSupportedError, match="Gated can't tell whether a document was changed"):
        await articles.asave(Article(slug="a"), if_unchanged=True)


async def test_updates_are_of_plain_values(articles: Any) -> None:
    with pytest.raises(NotSupportedError, match="by an expression"):
        await articles.filter(likes=1).aupdate(likes=F("likes") + 1)
    with pytest.raises(FieldError, match="primary key"):
        await articles.filter(likes=1).aupdate(pk="x")
    with pytest.raises(FieldError, match="Choices"):
        await articles.filter(likes=1).aupdate(nope="x")


async def test_in_bulk_is_for_unique_fields(articles: Any) -> None:
    with pytest.raises(ValueError, match="unique"):
        await articles.ain_bulk([1], field_name="likes")
