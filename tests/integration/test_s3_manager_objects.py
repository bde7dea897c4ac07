"""Instances as objects: what is written where, what is found, who may write over what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError

from poolapp import PoolError
from poolapp.managers import Conflict, Missing, Rejected, S3Manager
from tests.buckets import ONCE, address, new_bucket, s3_pool, through
from tests.http_server import Api
from tests.real import Proxy
from tests.stores.models import Article, Restaurant, bind
from tests.stores.models_s3 import Memo, Reading


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


_number = iter(range(10**6))


def manager(pool: Any, model: Any = Article, prefix: str | None = None, **settings: Any) -> Any:
    """Below a prefix of the test's own."""
    prefix = f"test{next(_number)}/" if prefix is None else prefix
    return bind(S3Manager(pool.alias, prefix, **settings), model)


@pytest.fixture
def articles(pool: Any) -> Any:
    return manager(pool)


async def keys(pool: Any, prefix: str = "") -> list[str]:
    return [each["Key"] async for each in pool.list(prefix)]


async def slugs(query: Any) -> list[str]:
    return [each.slug async for each in query]


class TestKeys:
    async def test_an_instance_is_a_json_object_below_the_prefix(self, pool: Any) -> None:
        articles = manager(pool, prefix="json")
        await articles.acreate(slug="first", title="Erste", price=Decimal("1.50"))
        answer = await pool.fetch("json/first")
        held = json.loads(answer["Body"])
        assert (held["slug"], held["title"], held["price"]) == ("first", "Erste", "1.5")
        assert answer["ContentType"] == "application/json"

    async def test_without_a_prefix_it_is_the_models_label(self, pool: Any) -> None:
        articles = bind(S3Manager(pool.alias), Article)
        await articles.acreate(slug="x", title="")
        assert await keys(pool, "stores_article/") == ["stores_article/x"]
        await articles.all().adelete()

    @pytest.mark.parametrize("prefix", ["/x", "a//b", "../x", "a/./b", "//"])
    def test_a_prefix_that_is_no_folder_is_refused(self, prefix: str) -> None:
        with pytest.raises(ImproperlyConfigured, match="path of folders"):
            bind(S3Manager("media", prefix), Article).store()

    @pytest.mark.parametrize(
        "slug",
        [
            "../secret", "..", ".", "", "/", "a/b", "a//b/", "%2F", "%", "?x=1&y=#z", "é\u2028😀",
            " ", "\x00\n\r\t", "a\\b", "<Key>&amp;</Key>", "~", "'\"", "x" * 200,
        ],
    )  # fmt: skip
    async def test_a_hostile_primary_key_is_data(self, pool: Any, slug: str) -> None:
        """Scenario 47: no key syntax, no path, no XML."""
        articles = manager(pool, prefix="hostile")
        await articles.acreate(slug=slug, title="hostile")
        (key,) = await keys(pool, "hostile/")
        assert key.count("/") == 1
        assert (await articles.aget(pk=slug)).slug == slug
        assert await slugs(articles.all()) == [slug]
        assert await articles.filter(pk__startswith=slug[:1]).acount() == 1
        assert await articles.filter(pk=slug + "x").aexists() is False
        assert await articles.filter(pk=slug).adelete() == (1, {"stores.Article": 1})

    async def test_a_prefix_never_touches_its_neighbours(self, pool: Any) -> None:
        """Scenario 45: neither ``data2/`` nor what lies deeper, nor what others put there."""
        others = ["data2/x", "data/deeper/y", "data/", "data/%zz", "data/a b"]
        for key in others:
            await pool.put(key, b"not ours")
        articles = manager(pool, prefix="data")
        deeper = manager(pool, prefix="data/deeper")
        await deeper.acreate(slug="z", title="")
        await articles.acreate(slug="x", title="")
        assert await slugs(articles.all()) == ["x"]
        assert await articles.acount() == 1
        assert await articles.all().adelete() == (1, {"stores.Article": 1})
        assert await articles.aexists() is False
        assert set(await keys(pool, "data")) == {*others, "data/deeper/z"}

    async def test_a_key_too_long_is_rejected_when_written_and_matches_nothing(
        self, articles: Any
    ) -> None:
        slug = "é" * 200
        with pytest.raises(Rejected, match=r"'slug'.*bytes; S3 allows 1024"):
            await articles.acreate(slug=slug, title="")
        assert await articles.filter(pk=slug).aexists() is False
        with pytest.raises(Article.DoesNotExist):
            await articles.aget(pk=slug)

    async def test_the_key_of_a_child_is_that_of_its_parent(self, pool: Any) -> None:
        places = manager(pool, Restaurant)
        number = uuid4()
        made = await places.acreate(
            id=number, place_ptr_id=number, name="Da Gino", serves_pizza=True
        )
        found = await places.aget(pk=made.pk)
        assert (found.name, found.serves_pizza, found.id) == ("Da Gino", True, made.id)


class TestFinding:
    @pytest.fixture
    async def memos(self, pool: Any) -> Any:
        memos = manager(pool, Memo)
        numbers = (-2, 1, 2, 9, 10, 11, 100)
        result = await memos.abulk_create([Memo(id=n, title=str(n)) for n in numbers])
        assert result.succeeded == 7
        return memos

    @pytest.mark.parametrize(
        ("lookups", "expected"),
        [
            ({}, [-2, 1, 2, 9, 10, 11, 100]),
            ({"pk": 9}, [9]),
            ({"id__in": [100, 3, 1]}, [1, 100]),
            ({"pk__in": []}, []),
            ({"pk__gt": 9}, [10, 11, 100]),
            ({"pk__gte": 9}, [9, 10, 11, 100]),
            ({"pk__lt": 9}, [-2, 1, 2]),
            ({"pk__lte": 9}, [-2, 1, 2, 9]),
            ({"pk__range": (2, 10)}, [2, 9, 10]),
            ({"pk__gt": 10**40}, []),
            ({"pk__isnull": False}, [-2, 1, 2, 9, 10, 11, 100]),
        ],
    )
    async def test_look_ups_of_the_primary_key(
        self, memos: Any, lookups: dict[str, Any], expected: list[int]
    ) -> None:
        chosen = memos.filter(**lookups)
        assert [each.pk async for each in chosen] == expected
        assert await chosen.acount() == len(expected)
        assert await chosen.aexists() is bool(expected)
        if lookups:
            others = [each.pk async for each in memos.exclude(**lookups)]
            assert sorted(others + expected) == [-2, 1, 2, 9, 10, 11, 100]

    async def test_slices_of_lists_of_ranges_and_of_single_keys(self, memos: Any) -> None:
        everything = [-2, 1, 2, 9, 10, 11, 100]
        for low, high in ((0, 3), (2, 5), (5, None), (7, 9), (3, 3)):
            for chosen in (
                memos.order_by("pk"),
                memos.filter(pk__in=[*everything, 3, 50]),
                memos.exclude(pk__in=[3, 50]),
            ):
                part = chosen[low:high]
                assert [each.pk async for each in part] == everything[low:high]
                assert [pk async for pk in part.values_list("pk", flat=True)] == everything[
                    low:high
                ]
                assert await part.acount() == len(everything[low:high])
                assert await part.aexists() is bool(everything[low:high])
        assert (await memos.afirst()).pk == -2

    async def test_a_key_is_found_by_one_request_and_its_absence_too(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url, max_size=4) as pool:
            articles = manager(pool)
            await articles.acreate(slug="a", title="")
            before = pool.stats().acquired
            await articles.aget(pk="a")
            with pytest.raises(Article.DoesNotExist):
                await articles.aget(pk="b")
            assert pool.stats().acquired == before + 2
            assert [pk async for pk in articles.values_list("pk", flat=True)] == ["a"]
            assert pool.stats().acquired == before + 3, "names alone are told by the listing"

    async def test_it_pages_through_what_there_is(
        self, memos: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("poolapp.managers.s3.finding.LISTED", 2)
        monkeypatch.setattr("poolapp.managers.s3.reading.LISTED", 2)
        monkeypatch.setattr("poolapp.managers.s3.store.LISTED", 2)
        assert [each.pk async for each in memos.aiterator(3)] == [-2, 1, 2, 9, 10, 11, 100]
        assert await memos.acount() == 7
        assert await memos.filter(pk__gt=1)[1:4].acount() == 3
        assert await memos.filter(pk__gt=1).adelete() == (5, {"stores.Memo": 5})
        assert [each.pk async for each in memos.all()] == [-2, 1]

    async def test_what_is_deleted_while_it_is_read_is_left_out(self, memos: Any) -> None:
        seen = []
        async for each in memos.aiterator(1, prefetch=0):
            seen.append(each.pk)
            await memos.filter(pk=2).adelete()
        assert seen == [-2, 1, 9, 10, 11, 100]

    @pytest.mark.parametrize(
        "ask",
        [
            lambda memos: memos.filter(title="x"),
            lambda memos: memos.exclude(title="x"),
            lambda memos: memos.order_by("title"),
            lambda memos: memos.order_by("-pk"),
            lambda memos: memos.reverse().order_by("-id"),
            lambda memos: memos.filter(pk=1, title="x"),
        ],
    )
    async def test_what_a_bucket_can_not_do_is_refused_before_a_request(
        self, memos: Any, pool: Any, ask: Any
    ) -> None:
        before = pool.stats().acquired
        with pytest.raises(NotSupportedError, match="pk"):
            async for _ in ask(memos):
                pass
        with pytest.raises(NotSupportedError):
            await memos.alast()
        assert pool.stats().acquired == before

    async def test_texts_are_found_by_how_they_begin(self, articles: Any) -> None:
        for slug in ("ab", "a", "abc", "b", "a/b", "é", "éa"):
            await articles.acreate(slug=slug, title="")
        assert sorted(await slugs(articles.filter(pk__startswith="a"))) == ["a", "a/b", "ab", "abc"]
        assert await slugs(articles.filter(pk__startswith="a/")) == ["a/b"]
        assert await slugs(articles.filter(pk__startswith="é")) == ["é", "éa"]
        assert await slugs(articles.filter(pk__startswith="ab").exclude(pk="ab")) == ["abc"]

    async def test_keys_in_no_order_are_still_found(self, pool: Any) -> None:
        readings = manager(pool, Reading)
        for value in ("9.50", "10.00", "-1.25"):
            await readings.acreate(value=Decimal(value))
        assert (await readings.aget(pk=Decimal("9.5"))).value == Decimal("9.5")
        found = {each.value async for each in readings.all()}
        assert found == {Decimal("9.5"), Decimal(10), Decimal("-1.25")}
        for ask in (readings.filter(pk__gt=1), readings.order_by("pk")):
            with pytest.raises(NotSupportedError, match="order"):
                await ask.aget()


class TestWriting:
    async def test_of_many_at_once_exactly_one_creates_it(self, articles: Any) -> None:
        made = await asyncio.gather(
            *(articles.acreate(slug="race", title=str(n)) for n in range(10)),
            return_exceptions=True,
        )
        refused = [each for each in made if isinstance(each, IntegrityError)]
        assert len(refused) == 9
        assert "race" in str(refused[0])

    async def test_a_lost_update_is_a_conflict(self, articles: Any) -> None:
        await articles.acreate(slug="x", title="first")
        mine, theirs = await articles.aget(pk="x"), await articles.aget(pk="x")
        theirs.title = "theirs"
        await articles.asave(theirs, if_unchanged=True)
        mine.title = "mine"
        with pytest.raises(Conflict, match="changed or deleted since"):
            await articles.asave(mine, if_unchanged=True)
        with pytest.raises(Conflict):
            await articles.asave(mine, update_fields=["title"], if_unchanged=True)
        with pytest.raises(Conflict):
            await articles.aremove(mine, if_unchanged=True)
        assert (await articles.aget(pk="x")).title == "theirs"
        theirs.title = "again"
        await articles.asave(theirs, if_unchanged=True)
        await articles.aremove(theirs, if_unchanged=True)
        for write in (articles.asave, articles.aremove):
            with pytest.raises(Conflict):
                await write(mine, if_unchanged=True)

    async def test_of_many_conditional_saves_exactly_one_wins(self, articles: Any) -> None:
        await articles.acreate(slug="x", title="")
        read = [await articles.aget(pk="x") for _ in range(8)]
        for number, each in enumerate(read):
            each.title = f"title {number}"
        done = await asyncio.gather(
            *(articles.asave(each, if_unchanged=True) for each in read), return_exceptions=True
        )
        assert sum(each is None for each in done) == 1
        assert sum(isinstance(each, Conflict) for each in done) == 7

    async def test_fields_written_by_several_at_once_are_all_there(self, articles: Any) -> None:
        article = await articles.acreate(slug="x", title="")
        article.title, article.likes, article.body = "new", 7, "text"
        await asyncio.gather(
            *(articles.asave(article, update_fields=[name]) for name in ("title", "likes", "body")),
            articles.filter(pk="x").aupdate(rating=1.5),
        )
        found = await articles.aget(pk="x")
        assert (found.title, found.likes, found.body, found.rating) == ("new", 7, "text", 1.5)

    async def test_what_is_not_there_is_neither_changed_nor_removed(self, articles: Any) -> None:
        absent = Article(slug="absent", title="")
        with pytest.raises(Missing):
            await articles.asave(absent, update_fields=["title"])
        with pytest.raises(Missing):
            await articles.aremove(absent)
        assert await articles.filter(pk="absent").aupdate(title="x") == 0
        assert not await articles.aexists()

    async def test_what_somebody_set_on_an_object_stays_when_it_is_changed(self, pool: Any) -> None:
        articles = manager(pool, prefix="kept")
        await articles.acreate(slug="x", title="")
        body = await pool.get("kept/x")
        await pool.put("kept/x", body, content_type="text/json", CacheControl="max-age=60")
        assert await articles.all().aupdate(title="new") == 1
        head = await pool.head("kept/x")
        assert (head["ContentType"], head["CacheControl"]) == ("text/json", "max-age=60")

    async def test_a_bulk_tells_each_item(self, articles: Any) -> None:
        """Scenario 42: five of ten are there already."""
        for number in range(0, 10, 2):
            await articles.acreate(slug=f"s{number}", title="old")
        items = [Article(slug=f"s{number}", title="new") for number in range(10)]
        items.append(Article(slug="é" * 300, title="too long"))
        result = await articles.abulk_create(items, batch_size=3)
        assert (result.succeeded, result.processed) == (5, 11)
        assert [each.index for each in result.failed] == [0, 2, 4, 6, 8, 10]
        assert {type(each.error) for each in result.failed} == {IntegrityError, Rejected}
        assert [each.status for each in result.failed] == [412] * 5 + [None]
        again = await articles.abulk_create(items[:10], update_conflicts=True)
        assert again.succeeded == 10
        assert {each.title async for each in articles.all()} == {"new"}
        result = await articles.abulk_delete([*items[:10], Article(slug="none")])
        assert result.succeeded == 10
        assert isinstance(result.failed[0].error, Missing)

    async def test_a_bulk_takes_no_more_of_the_pool_than_there_is(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url, max_size=2, max_waiting=2) as pool:
            articles = manager(pool)
            result = await articles.abulk_create(
                (Article(slug=f"{n:03}", title="") for n in range(100)), batch_size=100
            )
            assert result.succeeded == 100

    async def test_an_object_that_was_not_written_by_a_manager(self, pool: Any) -> None:
        articles = manager(pool, prefix="strange")
        for body in (b"no json", b"[1]", b"\xff\xfe"):
            await pool.put("strange/x", body)
            with pytest.raises(DataError, match="strange/x"):
                await articles.aget(pk="x")
        await pool.put("strange/x", b'{"title": "given", "unknown": 1}')
        found = await articles.aget(pk="x")
        assert (found.slug, found.title, found.likes) == ("x", "given", 0)


class TestServer:
    async def test_ensure_makes_the_bucket_once(self, s3_url: str) -> None:
        url = (await new_bucket(s3_url)).replace("/bucket-", "/ensured-")
        async with s3_pool(url) as pool:
            articles = manager(pool)
            with pytest.raises(ProgrammingError, match=f"poolensure {pool.alias}"):
                await articles.aget(pk="x")
            (made,) = await articles.ensure()
            assert pool.backend.bucket in made
            assert await articles.ensure() == []
            assert await keys(pool) == []

    async def test_another_bucket_than_that_of_the_location(self, s3_url: str) -> None:
        async with s3_pool(s3_url) as pool:
            articles = manager(pool, bucket="managers-own-bucket")
            assert await articles.ensure() == ["made the bucket 'managers-own-bucket'"]
            await articles.acreate(slug="x", title="there")
            assert (await articles.aget(pk="x")).title == "there"
            assert await articles.all().adelete() == (1, {"stores.Article": 1})

    async def test_a_server_that_ignores_conditions_is_found_out(self) -> None:
        from aiohttp import web

        async def careless(request: web.Request) -> web.Response:
            return web.Response(headers={"ETag": '"1"'})

        class Everywhere(dict[str, Any]):
            def get(self, path: str, default: Any = None) -> Any:
                return careless

        async with Api() as api:
            api.handlers = Everywhere()
            url = f"http://key:secret@127.0.0.1:{api.port}/bucket?region=us-east-1"
            async with s3_pool(url) as pool:
                with pytest.raises(NotSupportedError, match="If-None-Match and If-Match and"):
                    await manager(pool).ensure()

    async def test_an_outage_is_never_not_found(self, bucket_url: str) -> None:
        """Scenario 41."""
        async with Proxy(*address(bucket_url)) as proxy:
            settings = {"options": ONCE, "acquire_timeout": 0.3, "connect_timeout": 0.3}
            async with s3_pool(through(proxy.port, bucket_url), **settings) as pool:
                articles = manager(pool)
                article = await articles.acreate(slug="x", title="")
                await proxy.__aexit__()
                for ask in (
                    lambda: articles.aget(pk="x"),
                    lambda: articles.filter(pk="nothing").aexists(),
                    articles.acount,
                    lambda: articles.asave(article),
                    lambda: articles.aremove(article),
                    lambda: articles.all().adelete(),
                    lambda: articles.acreate(slug="y", title=""),
                    articles.ensure,
                ):
                    with pytest.raises(PoolError):
                        await ask()
                with pytest.raises(PoolError) as info:
                    await articles.abulk_create([Article(slug="z", title="")])
                assert info.value.result.succeeded == 0

    async def test_on_the_process_s_own_loop(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url, max_size=4, loops="shared") as pool:
            articles = manager(pool)
            result = await articles.abulk_create([Article(slug=n, title="") for n in "abc"])
            assert result.succeeded == 3
            assert await slugs(articles.filter(pk__gt="a")) == ["b", "c"]
            assert await articles.filter(pk="b").aupdate(title="new") == 1
            assert await articles.all().adelete() == (3, {"stores.Article": 3})
            assert pool.stats().acquired == 0, "all of it was done over there"
