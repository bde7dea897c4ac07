"""Synchronous use of ``Article.rows``: told what to write instead, or run natively."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from django.template import Context, Engine

from poolapp import pools
from poolapp.managers.postgres import PostgresQuerySet
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Comment, Tag


@pytest.fixture
async def articles(rows_emptied: None) -> list[Article]:  # noqa: F811
    objs = [Article(title=title, size=size) for size, title in enumerate(("one", "two", "three"))]
    return await Article.rows.abulk_create(objs)


SYNCHRONOUS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "iteration": (list, "async for each in queryset'"),
    "len()": (len, "await queryset.acount()"),
    "its truth": (bool, "await queryset.aexists()"),
    "an index": (lambda rows: rows[3], "await queryset[3:4].aget()"),
    "a step": (lambda rows: rows[1:9:2], "await queryset[3:4].aget()"),
    "'in'": (lambda rows: Article(pk=1) in rows, "await queryset.acontains(instance)"),
    "pickling": (pickle.dumps, "[each async for each in queryset]"),
    "iterator()": (lambda rows: rows.iterator(), "async for each in queryset.aiterator()"),
    "get()": (lambda rows: rows.get(pk=1), "await queryset.aget()"),
    "create()": (lambda rows: rows.create(), "await queryset.acreate()"),
    "first()": (lambda rows: rows.first(), "await queryset.afirst()"),
    "latest()": (lambda rows: rows.latest(), "await queryset.alatest()"),
    "count()": (lambda rows: rows.count(), "await queryset.acount()"),
    "exists()": (lambda rows: rows.exists(), "await queryset.aexists()"),
    "contains()": (lambda rows: rows.contains(Article(pk=1)), "await queryset.acontains()"),
    "aggregate()": (lambda rows: rows.aggregate(), "await queryset.aaggregate()"),
    "in_bulk()": (lambda rows: rows.in_bulk(), "await queryset.ain_bulk()"),
    "explain()": (lambda rows: rows.explain(), "await queryset.aexplain()"),
    "update()": (lambda rows: rows.update(size=1), "await queryset.aupdate()"),
    "delete()": (lambda rows: rows.delete(), "await queryset.adelete()"),
    "get_or_create()": (lambda rows: rows.get_or_create(), "await queryset.aget_or_create()"),
    "bulk_create()": (lambda rows: rows.bulk_create([]), "await queryset.abulk_create()"),
    "bulk_update()": (lambda rows: rows.bulk_update([], []), "await queryset.abulk_update()"),
}


@pytest.mark.parametrize("what", SYNCHRONOUS)
async def test_each_synchronous_use_is_told_the_asynchronous_one(what: str, articles: Any) -> None:
    use, instead = SYNCHRONOUS[what]
    with pytest.raises(TypeError) as told:
        use(Article.rows.order_by("pk"))
    message = str(told.value)
    assert "a PostgresQuerySet (of Article) is asynchronous" in message
    assert f"instead of {what.replace('a step', 'an index')} use '" in message
    assert instead in message
    assert "natively(function)" in message


def test_it_is_told_where_no_loop_runs_too() -> None:
    with pytest.raises(TypeError, match=r"'await queryset\.aget\(\)'"):
        Article.rows.get(pk=1)
    with pytest.raises(TypeError, match="instead of its truth"):
        bool(Article.rows.all())


@pytest.mark.parametrize("use", [list, len, bool, lambda rows: rows[0]])
async def test_raw_queries_are_told_too(use: Any) -> None:
    with pytest.raises(TypeError, match=r"\[each async for each in queryset\]"):
        use(Article.rows.raw("SELECT * FROM rows_article"))


async def test_a_template_that_iterates_is_told(articles: Any) -> None:
    engine = Engine()
    page = engine.from_string("{% for each in rows %}{{ each.title }} {% endfor %}")
    with pytest.raises(TypeError, match="is asynchronous"):
        page.render(Context({"rows": Article.rows.order_by("pk")}))
    rows = Article.rows.order_by("pk")
    async for _ in rows:
        break
    assert page.render(Context({"rows": rows})) == "one two three "


async def test_repr_asks_nothing_and_shows_the_rows_that_are_there(articles: Any) -> None:
    rows = Article.rows.order_by("pk")
    assert repr(rows) == "<PostgresQuerySet of rows.Article, not fetched>"
    assert repr(rows.filter(title="secret")).count("secret") == 0
    assert rows._result_cache is None
    assert [each async for each in rows]
    assert repr(rows) == "<PostgresQuerySet [<Article: one>, <Article: two>, <Article: three>]>"
    assert repr(Article.plain.all()) == "<PostgresPlain of rows.Article, not fetched>"
    await Tag.rows.abulk_create([Tag(name="t")] * 25)
    many = Tag.rows.all()
    assert [each async for each in many]
    assert repr(many).endswith("'...(remaining elements truncated)...']>")


async def test_rows_that_are_there_are_used_as_django_uses_them(articles: Any) -> None:
    rows = Article.rows.order_by("pk")
    found = [each async for each in rows]
    assert list(rows) == found
    assert len(rows) == 3
    assert rows
    assert rows[1] is found[1]
    assert rows[::2] == found[::2]
    assert found[2] in rows
    assert rows.count() == 3
    assert rows.exists()
    assert rows.contains(found[0])


async def test_what_was_prefetched_is_there(articles: Any) -> None:
    tag = await Tag.rows.acreate(name="t")
    await articles[0].tags.aadd(tag)
    found = await Article.rows.prefetch_related("tags").aget(title="one")
    assert isinstance(found.tags.all(), PostgresQuerySet)
    assert [each.name for each in found.tags.all()] == ["t"]
    assert found.tags.all()[0].name == "t"
    with pytest.raises(TypeError, match="async for"):
        list(found.tags.filter(name="t"))


async def test_what_asks_nothing_is_as_ever(articles: Any) -> None:
    rows = Article.rows.filter(size__gt=1)
    assert '"rows_article"."size" > 1' in str(rows.query)
    assert Article.rows.all()[2:4].query.is_sliced
    assert not rows.ordered
    with pytest.raises(ValueError, match="Negative indexing"):
        rows[-1]
    with pytest.raises(TypeError, match="must be integers or slices"):
        rows["one"]
    assert pickle.loads(pickle.dumps(rows.query)).model is Article
    assert copy.deepcopy(rows).db == "default"


@pytest.mark.parametrize("rows", [Article.rows, Article.plain, Article.own], ids=str)
async def test_rows_that_are_there_can_be_pickled(rows: Any, articles: Any) -> None:
    queryset = rows.order_by("pk")
    found = [each async for each in queryset]
    again = pickle.loads(pickle.dumps(queryset))
    assert type(again) is type(queryset)
    assert list(again) == found
    assert [each async for each in again.filter(title="one")] == found[:1]


async def test_code_that_runs_natively_uses_it_synchronously(articles: Any) -> None:
    def work() -> None:
        rows = Article.rows.order_by("pk")
        assert rows.get(title="one") in rows
        assert len(rows) == rows.count() == 3
        assert rows[1].title == "two"
        assert rows.all()
        assert rows.filter(title="four").first() is None
        assert [each.title for each in Article.rows.raw("SELECT * FROM rows_article")]
        assert [each.title for each in rows.iterator(2)] == ["one", "two", "three"]
        assert pickle.loads(pickle.dumps(rows.all())).count() == 3
        assert repr(rows.all()) == "<PostgresQuerySet of rows.Article, not fetched>"
        made = Article.rows.create(title="four")
        assert Article.rows.filter(pk=made.pk).update(title="five") == 1
        comment = Comment.rows.create(article=made)
        assert comment.article.comments.get() == comment
        assert Article.rows.filter(pk=made.pk).delete()[0] == 2

    await pools["default"].natively(work)


async def test_a_thread_beside_native_code_is_told(articles: Any) -> None:
    def other() -> str:
        with pytest.raises(TypeError, match="is asynchronous"):
            Article.rows.count()
        return "told"

    told, count = await asyncio.gather(asyncio.to_thread(other), Article.rows.acount())
    assert (told, count) == ("told", 3)
