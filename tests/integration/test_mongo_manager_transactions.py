"""``pools[alias].atomic()``: what managers do in it is one transaction, of one task."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.transaction import TransactionManagementError
from pymongo.read_concern import ReadConcern

from poolapp import BackendUnavailable
from poolapp.managers.mongodb import MongoManager, atomic
from tests.mongodb_server import failing, mongodb_pool, outsider, own_server
from tests.stores.models import Article, Author, bind

TRANSIENT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


class Oops(Exception):
    pass


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that can be told to fail."""
    folder: Path = tmp_path_factory.mktemp("mongodb")
    with own_server(folder, "--enable-test-commands") as url:
        yield url


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Any]:
    async with outsider(url) as admin:
        await admin.admin.command("killAllSessions", [])
        await admin.drop_database("shop")
        yield admin


@pytest.fixture
async def pool(url: str, admin: Any) -> AsyncIterator[Any]:
    async with mongodb_pool(url, max_size=4, connect_timeout=2.0) as pool:
        yield pool


@pytest.fixture
async def articles(pool: Any) -> Any:
    manager = bind(MongoManager(pool.alias, "articles"), Article)
    await manager.ensure()
    return manager


@pytest.fixture
async def authors(pool: Any) -> Any:
    manager = bind(MongoManager(pool.alias, "authors"), Author)
    await manager.ensure()
    return manager


async def there(admin: Any, collection: str = "articles") -> list[Any]:
    """What others see."""
    return [each["_id"] async for each in admin.shop[collection].find().sort("_id")]


class TestTogether:
    async def test_the_writes_of_several_managers_are_seen_together(
        self, pool: Any, articles: Any, authors: Any, admin: Any
    ) -> None:
        async with pool.atomic() as session:
            await articles.acreate(slug="a")
            await authors.acreate(id=1, name="Ann")
            await articles.filter(pk="a").aupdate(title="T")
            await session.client.shop.authors.insert_one({"_id": 2, "name": "B"}, session=session)
            assert [each.title async for each in articles.all()] == ["T"]
            assert await authors.acount() == 2
            assert (await there(admin), await there(admin, "authors")) == ([], [])
            assert pool.in_use == 1
        assert (await there(admin), await there(admin, "authors")) == (["a"], [1, 2])
        assert pool.in_use == 0

    async def test_an_exception_undoes_them_all(
        self, pool: Any, articles: Any, authors: Any, admin: Any
    ) -> None:
        with pytest.raises(Oops):
            async with pool.atomic():
                await articles.acreate(slug="a")
                await authors.acreate(id=1, name="Ann")
                raise Oops
        assert (await there(admin), await there(admin, "authors")) == ([], [])
        assert pool.block() is None

    async def test_a_cancel_undoes_them_at_any_turn(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        async def work() -> None:
            async with pool.atomic():
                await articles.acreate(slug="a")
                await articles.acreate(slug="b")
                await asyncio.Event().wait()

        for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34, 200):
            task = asyncio.create_task(work())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pool.in_use == 0
        assert await there(admin) == []
        await articles.acreate(slug="a")

    async def test_everything_reads_in_it(self, pool: Any, articles: Any) -> None:
        async with pool.atomic(read_concern=ReadConcern("snapshot")):
            rows = (Article(slug=f"{at:04}", likes=at) for at in range(120))
            assert (await articles.abulk_create(rows, batch_size=50)).succeeded == 120
            assert await articles.filter(likes__gte=100).acount() == 20
            assert await articles.aexists()
            assert (await articles.order_by("-likes").afirst()).likes == 119
            likes = articles.values_list("likes", flat=True).order_by("likes")
            assert [each async for each in likes.aiterator(25, prefetch=3)] == list(range(120))
            assert (await articles.abulk_delete([Article(slug="0000")])).succeeded == 1
        assert await articles.acount() == 119

    async def test_a_generator_that_is_left_early_does_no_harm(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        await articles.abulk_create(Article(slug=f"{at:04}") for at in range(100))
        async with pool.atomic():
            async for each in articles.order_by("pk").aiterator(10):
                if each.slug == "0015":
                    break
            await articles.all()[:1].aget()
            await articles.acreate(slug="last")
        assert len(await there(admin)) == 101

    async def test_pools_do_not_share_it(self, url: str, pool: Any, articles: Any) -> None:
        async with mongodb_pool(url) as second, pool.atomic():
            other = bind(MongoManager(second.alias, "articles"), Article)
            await articles.acreate(slug="a")
            assert not await other.aexists()
            assert not await articles.using(second.alias).aexists()


class TestNested:
    async def test_an_inner_block_is_part_of_the_outer(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        async with pool.atomic() as outer:
            await articles.acreate(slug="a")
            async with pool.atomic() as inner:
                assert inner is outer
                await articles.acreate(slug="b")
            assert await there(admin) == []
        assert await there(admin) == ["a", "b"]

    async def test_what_fails_inside_and_is_caught_can_not_be_committed(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        """There are no savepoints: silence would commit the half of the inner block."""
        with pytest.raises(TransactionManagementError, match=r"nothing .* was written.*savepoints"):
            async with pool.atomic():
                await articles.acreate(slug="a")
                with pytest.raises(Oops):
                    async with pool.atomic():
                        await articles.acreate(slug="b")
                        raise Oops
                with pytest.raises(TransactionManagementError, match="nothing more can be done"):
                    await articles.acount()
        assert await there(admin) == []
        assert pool.in_use == 0

    async def test_it_has_no_options_of_its_own(self, pool: Any) -> None:
        async with pool.atomic():
            with pytest.raises(TransactionManagementError, match="can't have max_commit_time_ms"):
                async with pool.atomic(max_commit_time_ms=5):
                    pass

    async def test_a_block_is_entered_once(self, pool: Any) -> None:
        block = pool.atomic()
        async with block:
            with pytest.raises(TransactionManagementError, match="entered before"):
                await block.__aenter__()


class TestFailures:
    async def test_a_refused_write_ends_it(self, pool: Any, articles: Any, admin: Any) -> None:
        await articles.acreate(slug="a")
        with pytest.raises(IntegrityError, match="primary key 'a'"):
            async with pool.atomic():
                await articles.acreate(slug="b")
                await articles.acreate(slug="a")
        assert await there(admin) == ["a"]

    async def test_one_that_is_caught_is_told_at_the_end(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        await articles.acreate(slug="a")
        with pytest.raises(TransactionManagementError, match="E11000") as info:
            async with pool.atomic():
                await articles.acreate(slug="b")
                with pytest.raises(IntegrityError):
                    await articles.acreate(slug="a")
                with pytest.raises(TransactionManagementError, match="nothing more"):
                    await articles.acreate(slug="c")
        assert "RawBSON" not in str(info.value)
        assert await there(admin) == ["a"]

    async def test_a_bulk_fails_as_a_whole(self, pool: Any, articles: Any, admin: Any) -> None:
        """Five written and five refused would be a lie: the server undoes the five."""
        await articles.acreate(slug="b")
        with pytest.raises(IntegrityError, match="primary key 'b'"):
            async with pool.atomic():
                await articles.abulk_create(Article(slug=slug) for slug in "abc")
        assert await there(admin) == ["b"]

    async def test_conflicts_can_be_ignored(self, pool: Any, articles: Any, admin: Any) -> None:
        await articles.acreate(slug="b")
        async with pool.atomic():
            result = await articles.abulk_create(
                (Article(slug=slug) for slug in "abc"), ignore_conflicts=True
            )
            assert (result.succeeded, result.ignored) == (2, 1)
        assert await there(admin) == ["a", "b", "c"]

    async def test_what_never_reached_the_server_does_not_end_it(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        async with pool.atomic():
            with pytest.raises(ValueError, match="likes"):
                await articles.acreate(slug="a", likes="many")
            result = await articles.abulk_create(
                [Article(slug="b", title="\ud800"), Article(slug="c")]
            )
            assert (result.succeeded, len(result.failed)) == (1, 1)
        assert await there(admin) == ["c"]

    async def test_a_lost_server_is_an_outage(self, pool: Any, articles: Any, admin: Any) -> None:
        async with failing(admin, "insert", times=2, closeConnection=True):
            with pytest.raises(BackendUnavailable):
                async with pool.atomic():
                    await articles.acreate(slug="a")
        assert pool.in_use == 0
        assert await there(admin) == []


class TestTasks:
    async def test_a_task_of_the_block_can_not_work_in_it(self, pool: Any, articles: Any) -> None:
        async with pool.atomic():
            await articles.acreate(slug="a")
            with pytest.raises(TransactionManagementError, match="started inside an atomic"):
                await asyncio.gather(articles.acreate(slug="b"))
            with pytest.raises(
                TransactionManagementError, match=r"context=contextvars.Context\(\)"
            ):
                await asyncio.create_task(articles.acount())
            async with asyncio.timeout(30):
                await articles.acreate(slug="c")
        assert await articles.acount() == 2

    async def test_one_with_a_context_of_its_own_works_outside(
        self, pool: Any, articles: Any
    ) -> None:
        async with pool.atomic():
            await articles.acreate(slug="a")
            counting = asyncio.create_task(articles.acount(), context=contextvars.Context())
            assert await counting == 0

    async def test_one_that_outlives_the_block_works_by_itself(
        self, pool: Any, articles: Any
    ) -> None:
        over = asyncio.Event()

        async def later() -> int:
            await over.wait()
            return int(await articles.acount())

        async with pool.atomic():
            task = asyncio.create_task(later())
            await articles.acreate(slug="a")
        over.set()
        assert await task == 1

    async def test_two_tasks_have_two_transactions(self, pool: Any, articles: Any) -> None:
        both = asyncio.Barrier(2)

        async def write(slug: str) -> None:
            async with pool.atomic():
                await articles.acreate(slug=slug)
                await both.wait()
                assert [each.slug async for each in articles.all()] == [slug]
                await both.wait()

        await asyncio.gather(write("a"), write("b"))
        assert await articles.acount() == 2


class TestDecorator:
    async def test_it_is_run_again_when_that_may_help(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        runs = 0

        @pool.atomic()
        async def work(slug: str, *, title: str) -> str:
            nonlocal runs
            runs += 1
            await articles.acreate(slug=slug, title=title)
            return f"run {runs}"

        async with failing(admin, "insert", times=2, **TRANSIENT):
            assert await work("a", title="T") == "run 3"
        assert await there(admin) == ["a"]
        assert await work("b", title="T") == "run 4"
        assert work.__name__ == "work"
        assert pool.in_use == 0

    async def test_also_when_the_commit_says_so(self, pool: Any, articles: Any, admin: Any) -> None:
        runs = 0

        @pool.atomic()
        async def work() -> None:
            nonlocal runs
            runs += 1
            await articles.acreate(slug="a")

        async with failing(admin, "commitTransaction", times=1, **TRANSIENT):
            await work()
        assert (runs, await there(admin)) == (2, ["a"])

    async def test_not_for_ever(self, pool: Any, articles: Any, admin: Any) -> None:
        @pool.atomic(repeated_for=0.0)
        async def work() -> None:
            await articles.acreate(slug="a")

        async with failing(admin, "insert", times=100, **TRANSIENT):
            with pytest.raises(Exception, match="MongoDB 'articles'"):
                await work()

    async def test_not_for_other_errors(self, pool: Any, articles: Any) -> None:
        runs = 0

        @pool.atomic()
        async def work() -> None:
            nonlocal runs
            runs += 1
            await articles.acreate(slug="a")
            await articles.acreate(slug="a")

        with pytest.raises(IntegrityError):
            await work()
        assert runs == 1

    async def test_not_when_it_may_have_been_committed(
        self, url: str, admin: Any, articles: Any
    ) -> None:
        runs = 0
        async with mongodb_pool(url, connect_timeout=0.3) as pool:
            mine = bind(MongoManager(pool.alias, "articles"), Article)

            @pool.atomic()
            async def work() -> None:
                nonlocal runs
                runs += 1
                await mine.acreate(slug="a")

            async with failing(admin, "commitTransaction", times=1000, closeConnection=True):
                with pytest.raises(BackendUnavailable, match="may or may not"):
                    await work()
        assert runs == 1

    async def test_the_outermost_alone(self, pool: Any, articles: Any, admin: Any) -> None:
        runs = []

        @pool.atomic()
        async def inner() -> None:
            runs.append("inner")
            await articles.acreate(slug="a")

        @pool.atomic()
        async def outer() -> None:
            runs.append("outer")
            await inner()

        async with failing(admin, "insert", times=1, **TRANSIENT):
            await outer()
        assert runs == ["outer", "inner"] * 2
        assert await there(admin) == ["a"]

    async def test_of_a_module_before_any_loop_runs(
        self, pool: Any, articles: Any, admin: Any
    ) -> None:
        @atomic(pool.alias)
        async def work(slug: str) -> None:
            await articles.acreate(slug=slug)
            if slug == "b":
                raise Oops

        await work("a")
        with pytest.raises(Oops):
            await work("b")
        async with atomic(pool.alias, read_concern=ReadConcern("snapshot")):
            await articles.acreate(slug="c")
        assert await there(admin) == ["a", "c"]

    async def test_the_lease_is_known_by_the_line_of_the_block(self, pool: Any) -> None:
        async with pool.atomic():
            (lease,) = pool.leases()
            assert "test_the_lease_is_known_by_the_line_of_the_block" in lease.site
