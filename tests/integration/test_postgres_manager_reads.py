"""``Article.rows``: what Django's QuerySets give, natively."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Avg, Count, Exists, F, OuterRef, Prefetch, Q, Subquery
from django.shortcuts import aget_list_or_404, aget_object_or_404

from poolapp import pools
from poolapp.managers.postgres import PostgresManager, PostgresQuerySet
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Author, Comment, Plain, Tag


@pytest.fixture
async def articles(rows_emptied: None) -> list[Article]:  # noqa: F811
    def make() -> list[Article]:
        ann, bob = Author.objects.create(name="Ann"), Author.objects.create(name="Bob")
        made = [
            Article.objects.create(title="one", size=10, author=ann),
            Article.objects.create(title="two", size=200, author=ann),
            Article.objects.create(title="three", size=300, author=bob),
            Article.objects.create(title="hidden", size=4),
        ]
        news, long = Tag.rows.create(name="news"), Tag.rows.create(name="long")
        made[0].tags.add(news)
        made[1].tags.add(news, long)
        Comment.objects.create(article=made[1], text="yes", approved=True)
        Comment.objects.create(article=made[1], text="no")
        return made

    found: list[Article] = await pools["default"].natively(make)
    return found


async def titles(queryset: Any) -> list[str]:
    return [each.title async for each in queryset]


# -- one row, or a number --------------------------------------------------------------------------


async def test_each_method_that_gives_an_instance_gives_what_django_gives(articles: Any) -> None:
    rows = Article.rows.order_by("size")
    assert (await rows.aget(title="two")).pk == articles[1].pk
    assert (await rows.afirst()).title == "hidden"
    assert (await rows.alast()).title == "three"
    assert (await Article.rows.aearliest()).title == "hidden"
    assert (await Article.rows.alatest("title")).title == "two"
    assert (await rows[1:2].aget()).title == "one"
    assert await rows.filter(title="none").afirst() is None
    found = await Article.rows.aget(pk=articles[0].pk)
    assert isinstance(found, Article)
    assert found._state.db == "default"
    assert not found._state.adding


async def test_each_method_that_gives_a_value_gives_what_django_gives(articles: Any) -> None:
    rows = Article.rows
    assert await rows.acount() == 4
    assert await rows.filter(size__gt=100).aexists()
    assert not await rows.filter(size__gt=1000).aexists()
    assert await rows.acontains(articles[0])
    assert not await rows.filter(size=4).acontains(articles[0])
    assert await rows.aaggregate(Avg("size"), n=Count("pk")) == {"size__avg": 128.5, "n": 4}
    assert "Scan" in await rows.all().aexplain()
    assert await rows.ain_bulk([articles[0].pk]) == {articles[0].pk: articles[0]}
    assert await Author.rows.ain_bulk(["Ann"], field_name="name") == {"Ann": articles[0].author}


async def test_what_is_not_there_or_there_twice_is_the_models_own_exception(articles: Any) -> None:
    with pytest.raises(Article.DoesNotExist, match="Article matching query does not exist"):
        await Article.rows.aget(title="none")
    with pytest.raises(Article.MultipleObjectsReturned, match="it returned 2"):
        await Article.rows.aget(size__gt=100)
    with pytest.raises(FieldError, match="Cannot resolve keyword 'titel'"):
        await Article.rows.aget(titel="one")


async def test_djangos_shortcuts_take_the_manager(articles: Any) -> None:
    assert (await aget_object_or_404(Article.rows, title="one")).size == 10
    assert len(await aget_list_or_404(Article.rows.filter(size__gt=100))) == 2


async def test_a_coroutine_may_be_made_before_a_loop_runs() -> None:
    def elsewhere() -> int:
        count: int = asyncio.run(Article.rows.acount())
        return count

    assert await asyncio.to_thread(elsewhere) == 0


async def test_no_thread_is_started(articles: Any) -> None:
    before = threading.active_count()
    await asyncio.gather(*(Article.rows.select_related("author").aget(title="one") for _ in "abcd"))
    assert [each async for each in Article.rows.prefetch_related("tags")]
    assert threading.active_count() == before


# -- many rows -------------------------------------------------------------------------------------


async def test_async_for_fetches_once(articles: Any) -> None:
    rows = Article.rows.order_by("size")
    assert await titles(rows) == ["hidden", "one", "two", "three"]
    await Article.rows.all().adelete()
    assert await titles(rows) == ["hidden", "one", "two", "three"]
    assert await titles(rows.all()) == []


async def test_rows_come_as_values_too(articles: Any) -> None:
    rows = Article.rows.filter(size__lt=300).order_by("size")
    assert [each async for each in rows.values_list("title", flat=True)] == ["hidden", "one", "two"]
    assert [each async for each in rows.values("size")][:1] == [{"size": 4}]
    assert [each.size async for each in rows.values_list("size", named=True)] == [4, 10, 200]
    assert [each async for each in rows.dates("created", "year")] == [
        articles[0].created.date().replace(month=1, day=1)
    ]
    assert await rows.values("author").acount() == 3


async def test_querysets_combine(articles: Any) -> None:
    small, large = Article.rows.filter(size__lt=10), Article.rows.filter(size__gt=200)
    assert await titles((small | large).order_by("size")) == ["hidden", "three"]
    assert await titles(small.union(large).order_by("size")) == ["hidden", "three"]
    assert await titles(Article.rows.none()) == []
    assert await titles(Article.rows.filter(Q(size=4) | Q(title="one")).reverse()) != []


async def test_related_rows_come_natively(articles: Any) -> None:
    queryset = Comment.rows.filter(approved=True)
    rows = Article.rows.select_related("author").prefetch_related(
        "tags__articles", Prefetch("comments", queryset, to_attr="approved")
    )
    two = await rows.aget(title="two")
    assert two.author.name == "Ann"
    assert sorted(each.name for each in two.tags.all()) == ["long", "news"]
    assert [each.title for each in two.tags.all()[0].articles.all()]
    assert [each.text for each in two.approved] == ["yes"]


async def test_instances_that_are_there_have_their_related_ones_fetched(articles: Any) -> None:
    found = [each async for each in Article.rows.order_by("pk")]
    await Article.rows.aprefetch(found, "tags", "author")
    assert [len(each.tags.all()) for each in found] == [1, 2, 0, 0]
    assert found[0].author.name == "Ann"


async def test_subqueries_go_into_querysets_of_either_manager(articles: Any) -> None:
    ann = Author.rows.filter(name="Ann")
    authors = Author.objects.filter(name="Bob")
    assert await Article.rows.filter(author__in=ann).acount() == 2
    assert await Article.rows.filter(author__in=authors).acount() == 1
    natively = pools["default"].natively
    inner = Article.rows.filter(author=OuterRef("pk"), size__gt=250)
    outer = Author.objects.filter(Exists(inner))
    assert [each.name for each in await natively(list, outer)] == ["Bob"]
    assert await natively(Article.objects.filter(author__in=ann).count) == 2
    biggest = Article.objects.filter(author=OuterRef("pk")).order_by("-size").values("size")[:1]
    most = Author.rows.annotate(most=Subquery(biggest)).order_by("name")
    assert [each.most async for each in most] == [200, 300]
    assert "IN (SELECT" in str(Article.objects.filter(author__in=ann).query)


async def test_raw_queries_give_instances_and_what_belongs_to_them(articles: Any) -> None:
    sql = "SELECT id, title AS body, size * 2 AS twice FROM rows_article WHERE size > %s ORDER BY 1"
    found = Article.rows.raw(sql, [100], translations={"body": "title"})
    rows = [each async for each in found.prefetch_related("tags")]
    assert [(each.title, each.twice) for each in rows] == [("two", 400), ("three", 600)]
    assert len(rows[0].tags.all()) == 2
    assert [each.twice async for each in found.using("default")] == [400, 600]
    assert "rows_article" in repr(found)
    named = Article.rows.raw("SELECT * FROM rows_article WHERE title = %(t)s", {"t": "one"})
    assert [each.size async for each in named] == [10]


# -- classes of one's own --------------------------------------------------------------------------


async def test_a_plain_class_of_querysets_is_mixed_in(articles: Any) -> None:
    rows = Article.plain.long()
    assert isinstance(rows, Plain)
    assert isinstance(rows, PostgresQuerySet)
    assert sorted(await titles(rows)) == ["three", "two"]
    assert await pools["default"].natively(Article.plain.count_long) == 2
    with pytest.raises(TypeError, match=r"await queryset\.acount"):
        Article.plain.count_long()
    one = Article.plain.filter(title="one")
    await one.aget()
    assert one.got  # its own get() is what aget() calls


async def test_a_native_class_of_querysets_makes_managers(articles: Any) -> None:
    assert (await Article.own.titled("one").aget()).size == 10
    assert await Article.own.afirst_title() == "hidden"
    assert await Article.shown.acount() == 3
    assert await Article.shown.afirst_title() == "one"
    assert isinstance(Article.shown, PostgresManager)
    assert isinstance(Article.own, models.Manager)
    assert type(Article.own.all()).__name__ == "Native"


async def test_it_is_a_manager_like_any_other(articles: Any) -> None:
    assert isinstance(Article.rows, models.Manager)
    assert str(Article.rows) == "rows.Article.rows"
    assert Article._default_manager is Article.objects
    assert type(Tag._default_manager) is PostgresManager
    assert not Article.rows.use_in_migrations
    with pytest.raises(AttributeError, match="isn't accessible via Article instances"):
        Article().rows  # noqa: B018
    for name in dir(models.QuerySet):
        if name.startswith("a") and callable(getattr(models.QuerySet, f"{name[1:]}", None)):
            assert getattr(PostgresQuerySet, name) is not getattr(models.QuerySet, name), name


async def test_hostile_values_are_data_and_hostile_names_are_no_fields(articles: Any) -> None:
    value = "'; DROP TABLE rows_article; --\\ $1 %s {} \" ''"
    assert await Article.rows.filter(title=value).acount() == 0
    made = await Article.rows.acreate(title=value)
    assert (await Article.rows.aget(title__contains="DROP TABLE")).title == value
    assert [each.pk async for each in Article.rows.filter(title__in=[value])] == [made.pk]
    name = 'title") OR 1=1; --'
    for attempt in (
        lambda: Article.rows.filter(**{name: 1}),
        lambda: Article.rows.filter(**{f"title__{name}": 1}),
        lambda: Article.rows.order_by(name),
        lambda: Article.rows.annotate(x=F(name)),
    ):
        with pytest.raises(FieldError):
            attempt()
    with pytest.raises(ValueError, match="cannot contain"):
        Article.rows.annotate(**{name: F("title")})
    with pytest.raises(ValueError, match="cannot contain"):
        Article.rows.values(name)
    assert await Article.rows.acount() == 5
