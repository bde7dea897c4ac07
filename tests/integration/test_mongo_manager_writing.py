"""Writes, one and many: what became of each."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from django.db import IntegrityError

from poolapp import BackendUnavailable
from poolapp.managers import BulkError, Conflict, Missing, Rejected
from poolapp.managers.mongodb import MongoManager
from tests.mongodb_manager import database_url, documents_of, raw
from tests.mongodb_server import address, mongodb_pool, through
from tests.real import Proxy
from tests.stores.models import Article, bind
from tests.stores.models_mongodb import Indexed


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        yield documents


def some(*slugs: str, **fields: Any) -> list[Article]:
    return [Article(slug=slug, **fields) for slug in slugs]


async def slugs(documents: Any) -> str:
    query = documents.order_by("pk").values_list("pk", flat=True)
    return "".join([each async for each in query])


def errors(result: Any) -> list[tuple[int, type[Exception]]]:
    return [(each.index, type(each.error)) for each in result.failed]


class TestOrdered:
    async def test_it_stops_at_the_first_failure_and_says_what_was_not_tried(
        self, articles: Any
    ) -> None:
        told: list[BulkError] = []
        await articles.abulk_create(some("c"))
        result = await articles.ordered().abulk_create(
            some(*"abcdefgh"), batch_size=4, on_error=told.extend
        )
        assert (result.succeeded, result.stopped) == (2, True)
        assert errors(result) == [(2, IntegrityError), (3, Rejected)]
        assert "not tried, because operation 2" in str(result.failed[1].error)
        assert [each.index for each in told] == [2, 3]
        assert await slugs(articles) == "abc"

    async def test_without_it_each_fails_alone(self, articles: Any) -> None:
        await articles.abulk_create(some(*"ace"))
        result = await articles.abulk_create(some(*"abcdef"), batch_size=4)
        assert (result.succeeded, result.stopped) == (3, False)
        assert errors(result) == [(0, IntegrityError), (2, IntegrityError), (4, IntegrityError)]
        assert result.failed[1].status == 11000
        assert "primary key 'c' already" in str(result.failed[1].error)
        assert await slugs(articles) == "abcdef"

    async def test_conflicts_that_are_ignored_do_not_stop_it(self, articles: Any) -> None:
        await articles.abulk_create(some("b", title="old"))
        result = await articles.ordered().abulk_create(
            some(*"abc", title="new"), ignore_conflicts=True
        )
        assert (result.succeeded, result.ignored, result.failed) == (2, 1, [])
        assert [each.title async for each in articles.order_by("pk")] == ["new", "old", "new"]

    async def test_one_that_cant_be_sent_stops_it_as_well(self, articles: Any) -> None:
        batch = [*some("a"), Article(slug="b", body="x" * 17_000_000), *some("c")]
        result = await articles.ordered().abulk_create(batch)
        assert errors(result) == [(1, Rejected), (2, Rejected)]
        assert "17,0" in str(result.failed[0].error)
        assert await slugs(articles) == "a"


class TestItems:
    async def test_what_bson_cant_hold_fails_alone(self, articles: Any) -> None:
        result = await articles.abulk_create(
            [
                *some("a"),
                Article(slug="b", title="\ud800"),
                Article(slug="c", body="x" * 17_000_000),
                Article(slug="d", likes="many"),
                *some("e"),
            ]
        )
        assert [each.id for each in result.failed] == ["b", "c", "d"]
        assert "takes up to 16,777,216" in str(result.failed[1].error)
        assert "likes" in str(result.failed[2].error)
        assert result.succeeded == 2
        assert await slugs(articles) == "ae"

    async def test_a_unique_index_names_itself(self, url: str) -> None:
        async with documents_of(url, Indexed) as documents:
            await documents.ensure()
            rows = [Indexed(id=at, slug=str(at % 3), city=str(at)) for at in range(4)]
            result = await documents.abulk_create(rows)
            assert errors(result) == [(3, IntegrityError)]
            assert "slug_1" in str(result.failed[0].error)
            with pytest.raises(IntegrityError, match="slug_1"):
                await documents.acreate(id=9, slug="0", city="x")
            with pytest.raises(IntegrityError, match="slug_1"):
                await documents.filter(pk=0).aupdate(slug="1")

    async def test_updates_of_what_is_not_there(self, articles: Any) -> None:
        await articles.abulk_create(some(*"bd"))
        result = await articles.abulk_update(some(*"abcd", title="new"), ["title"])
        assert result.succeeded == 2
        assert errors(result) == [(0, Missing), (2, Missing)]
        assert await articles.filter(title="new").acount() == 2

    async def test_deletions_of_what_is_not_there(self, articles: Any) -> None:
        await articles.abulk_create(some(*"bde"))
        result = await articles.abulk_delete(some(*"abcd"))
        assert result.succeeded == 2
        assert errors(result) == [(0, Missing), (2, Missing)]
        assert await slugs(articles) == "e"

    async def test_an_empty_bulk(self, articles: Any) -> None:
        result = await articles.abulk_create([])
        assert (result.succeeded, result.failed, bool(result)) == (0, [], True)


class TestVersions:
    async def test_every_write_makes_another(self, articles: Any) -> None:
        one = await articles.acreate(slug="a")
        seen = [(await raw(articles, _id="a"))["_v"]]
        for write in (
            lambda: articles.asave(one),
            lambda: articles.asave(one, update_fields=["title"]),
            lambda: articles.filter(pk="a").aupdate(title="x"),
            lambda: articles.abulk_update([one], ["title"]),
        ):
            await write()
            seen.append((await raw(articles, _id="a"))["_v"])
        assert len(set(seen)) == len(seen)

    async def test_a_bulk_tells_which_were_changed_meanwhile(self, articles: Any) -> None:
        await articles.abulk_create(some(*"abcd"))
        mine = [each async for each in articles.order_by("pk")]
        await articles.filter(pk="b").aupdate(likes=9)
        await articles.filter(pk="c").adelete()
        for each in mine:
            each.likes = 1
        result = await articles.abulk_update(mine, ["likes"], if_unchanged=True)
        assert errors(result) == [(1, Conflict), (2, Conflict)]
        assert "'b' was written by somebody else" in str(result.failed[0].error)
        assert "'c' was deleted by somebody else" in str(result.failed[1].error)
        assert [each.likes async for each in articles.order_by("pk")] == [1, 9, 1]
        again = await articles.abulk_update([mine[0]], ["likes"], if_unchanged=True)
        assert again.succeeded == 1

    async def test_a_removal_of_what_was_changed_meanwhile(self, articles: Any) -> None:
        one = await articles.acreate(slug="a")
        await articles.filter(pk="a").aupdate(likes=1)
        with pytest.raises(Conflict, match="'a' was written by somebody else"):
            await articles.aremove(one, if_unchanged=True)
        await articles.filter(pk="a").adelete()
        with pytest.raises(Conflict, match="'a' was deleted by somebody else"):
            await articles.aremove(one, if_unchanged=True)

    async def test_a_document_of_another_program_is_guarded_too(self, articles: Any) -> None:
        async with articles.store().pool.database() as database:
            await database[articles.collection].insert_one({"_id": "a", "title": "T"})
        with pytest.raises(ValueError, match="was not read from"):
            await articles.asave(await articles.aget(pk="a"), if_unchanged=True)


class TestOutage:
    async def test_a_bulk_says_what_was_written_before_it(self, url: str, articles: Any) -> None:
        async with Proxy(*address(url)) as proxy:
            options = {"serverSelectionTimeoutMS": 300}
            async with mongodb_pool(through(proxy, url), options=options) as pool:
                far = bind(MongoManager(pool.alias, articles.collection), Article)

                def items() -> Any:
                    for at in range(400):
                        if at == 200:
                            proxy.refuse()
                        yield Article(slug=str(uuid.uuid4()))

                with pytest.raises(BackendUnavailable) as info:
                    await far.abulk_create(items(), batch_size=50, concurrency=1)
        result = info.value.result  # type: ignore[attr-defined]
        assert 50 <= result.succeeded <= 200
        assert result.succeeded + len(result.failed) == result.processed
        assert await articles.acount() == result.succeeded

    async def test_a_write_that_is_not_confirmed_is_not_told_as_done(self, url: str) -> None:
        async with documents_of(f"{url}&w=0", Article) as documents:
            await documents.acreate(slug="a")
            with pytest.raises(IntegrityError):
                await documents.acreate(slug="a")
            assert (await documents.abulk_create(some(*"ab"))).succeeded == 1


class TestStreamedWrites:
    async def test_they_are_read_no_faster_than_they_are_written(self, articles: Any) -> None:
        read, seen = 0, []

        async def items() -> AsyncIterator[Article]:
            nonlocal read
            for at in range(100):
                read += 1
                seen.append(read - await articles.acount())
                yield Article(slug=f"{at:03}")

        result = await articles.abulk_create(items(), batch_size=10, concurrency=2)
        assert result.succeeded == 100
        assert max(seen) <= 30

    async def test_an_error_of_ones_own_ends_it(self, articles: Any) -> None:
        def no_more(failed: Sequence[BulkError]) -> bool:
            return False

        await articles.abulk_create(some("a"))
        result = await articles.abulk_create(
            some(*"abcdef"), batch_size=2, concurrency=1, on_error=no_more
        )
        assert result.stopped
        assert await slugs(articles) == "ab"
