"""``awatch()``: what happens to documents, as instances."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp import PoolError
from poolapp.managers.mongodb import Change, MongoManager
from tests.mongodb_manager import database_url, documents_of
from tests.mongodb_server import address, mongodb_pool, through
from tests.real import Proxy
from tests.stores.models import Article, bind

NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 7, tzinfo=dt.UTC)


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        await documents.ensure()
        yield documents


async def read(changes: Any, count: int) -> list[Change[Article]]:
    async with asyncio.timeout(30):
        return [await anext(changes) for _ in range(count)]


async def test_each_change_has_its_instance(articles: Any) -> None:
    async with articles.awatch() as changes:
        one = await articles.acreate(slug="a", title="T", published=NOON, data={"$x": 1})
        (made,) = await read(changes, 1)
        assert (made.operation, made.pk, made.fields) == ("insert", "a", None)
        assert type(made.instance) is Article
        assert (made.instance.published, made.instance.data) == (NOON, {"$x": 1})
        one.likes = 3
        await articles.asave(one)
        (replaced,) = await read(changes, 1)
        assert (replaced.operation, replaced.instance.likes) == ("replace", 3)
        await articles.filter(pk="a").aupdate(published=None, title="U")
        (updated,) = await read(changes, 1)
        assert (updated.operation, updated.instance.title) == ("update", "U")
        assert updated.fields == {"published", "title"}
        await articles.aremove(one)
        (deleted,) = await read(changes, 1)
        assert (deleted.operation, deleted.pk, deleted.instance) == ("delete", "a", None)


async def test_an_instance_can_be_saved_if_unchanged(articles: Any) -> None:
    async with articles.awatch() as changes:
        await articles.acreate(slug="a")
        (change,) = await read(changes, 1)
        change.instance.title = "new"
        await articles.asave(change.instance, if_unchanged=True)
    assert (await articles.aget(pk="a")).title == "new"


async def test_a_filter_lets_through_what_matches_and_what_is_gone(articles: Any) -> None:
    few = articles.filter(likes__gt=5, data__kind="x").exclude(published__lt=NOON)
    async with few.awatch() as changes:
        await articles.acreate(slug="a", likes=1)
        await articles.acreate(slug="b", likes=9, data={"kind": "x"}, published=NOON)
        await articles.acreate(slug="c", likes=9, data={"kind": "y"})
        await articles.filter(pk="c").adelete()
        found = await read(changes, 2)
    assert [(each.operation, each.pk) for each in found] == [("insert", "b"), ("delete", "c")]


async def test_it_goes_on_behind_a_token(articles: Any) -> None:
    async with articles.awatch() as changes:
        await articles.abulk_create(Article(slug=slug) for slug in "abc")
        first, second = await read(changes, 2)
        assert changes.resume_token == second.token
    async with articles.awatch(resume_after=first.token) as changes:
        assert [each.pk for each in await read(changes, 2)] == ["b", "c"]


async def test_an_interruption_loses_nothing(url: str, articles: Any) -> None:
    async with Proxy(*address(url)) as proxy, mongodb_pool(through(proxy, url)) as pool:
        far = bind(MongoManager(pool.alias, articles.collection), Article)
        async with far.awatch() as changes:
            await articles.acreate(slug="a")
            assert [each.pk for each in await read(changes, 1)] == ["a"]
            reading = asyncio.create_task(read(changes, 2))
            proxy.drop()
            await articles.acreate(slug="b")
            await articles.acreate(slug="c")
            assert [each.pk for each in await reading] == ["b", "c"]


async def test_the_end_of_the_collection_ends_it(articles: Any) -> None:
    async with articles.awatch() as changes:
        await articles.acreate(slug="a")
        async with articles.store().pool.database() as database:
            await database.drop_collection(articles.collection)
        assert [each.pk async for each in changes] == ["a"]


async def test_it_is_used_as_a_block_of_whole_instances(articles: Any) -> None:
    with pytest.raises(PoolError, match="async with"):
        await anext(articles.awatch())
    for narrowed in (articles.all()[:3], articles.only("title"), articles.values("title")):
        with pytest.raises(TypeError, match=r"filter\(\) alone"):
            narrowed.awatch()


async def test_the_seat_is_given_back(articles: Any) -> None:
    pool = articles.store().pool
    async with articles.awatch():
        assert pool.in_use == 1
    assert pool.in_use == 0
