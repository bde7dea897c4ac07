"""``aiterator()``: rows by a server-side cursor, and its end in every case."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import aclosing
from typing import Any

import pytest
from django.db import connections

from poolapp import pools
from tests.ledger import config
from tests.real import eventually, pool_of
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Comment, Tag


@pytest.fixture
async def articles(rows_emptied: None, pg_admin: Any) -> None:  # noqa: F811
    await pg_admin.execute(
        "INSERT INTO rows_article (title, body, size, created, changed)"
        " SELECT 'title ' || n, 'body', n, now(), now() FROM generate_series(1, 1000) n;"
        "INSERT INTO rows_tag (name) VALUES ('even');"
        "INSERT INTO rows_article_tags (article_id, tag_id)"
        " SELECT id, 1 FROM rows_article WHERE size % 2 = 0"
    )


async def is_over() -> bool:
    """Whether the connection is back."""
    gc.collect()
    await asyncio.sleep(0)
    return not pools["default"].in_use


async def test_all_rows_come_in_their_order_with_what_is_prefetched(articles: Any) -> None:
    rows = Article.rows.order_by("-size").prefetch_related("tags")
    found = [(each.size, len(each.tags.all())) async for each in rows.aiterator(chunk_size=300)]
    assert found == [(size, size % 2 == 0) for size in range(1000, 0, -1)]
    assert rows._result_cache is None
    sizes = Article.rows.order_by("size").values_list("size", flat=True)
    assert [each async for each in sizes.aiterator()] == list(range(1, 1001))
    assert [each async for each in Article.rows.aiterator(500) if each.size > 1000] == []
    assert [each async for each in Article.rows.none().aiterator()] == []
    assert await is_over()


async def test_memory_stays_small_however_many_rows_there_are(pg_admin: Any) -> None:
    await pg_admin.execute(
        "INSERT INTO rows_tag (name) SELECT repeat('n', 50) FROM generate_series(1, 200000)"
    )
    count = 0
    before, most = sys.getallocatedblocks(), 0
    async for _ in Tag.rows.values_list("pk", "name").aiterator(1000):
        count += 1
        if count % 500 == 0:
            most = max(most, sys.getallocatedblocks() - before)
    assert count == 200_000
    assert most < 60_000, "all of them are 600,000 objects and more"


async def test_a_lease_is_held_meanwhile_that_names_the_users_line(articles: Any) -> None:
    async with aclosing(Article.rows.aiterator(10)) as stream:
        await anext(stream)
        (lease,) = pools["default"].leases()
        assert "test_a_lease_is_held_meanwhile" in lease.site
        assert await Article.rows.acount() == 1000  # on another connection
    assert await is_over()


async def test_rows_that_are_written_meanwhile_are_not_seen(articles: Any) -> None:
    stream = Article.rows.order_by("size").aiterator(10)
    assert (await anext(stream)).size == 1
    await Article.rows.filter(size__gt=1).adelete()
    assert len([each async for each in stream]) == 999


async def test_break_ends_it(articles: Any) -> None:
    async for _ in Article.rows.aiterator(10):
        break
    await eventually(is_over)


async def test_aclose_ends_it_at_once(articles: Any) -> None:
    stream = Article.rows.aiterator(10)
    await anext(stream)
    assert pools["default"].in_use == 1
    await stream.aclose()
    assert pools["default"].in_use == 0
    assert [each async for each in stream] == []


async def test_an_exception_in_the_loop_ends_it(articles: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with aclosing(Article.rows.aiterator(10)) as stream:
            async for _ in stream:
                1 / 0  # noqa: B018
    assert pools["default"].in_use == 0


async def test_a_stream_that_nobody_has_any_more_ends(articles: Any) -> None:
    stream = Article.rows.aiterator(10)
    await anext(stream)
    del stream
    await eventually(is_over)


@pytest.mark.parametrize("turns", range(0, 24, 2))
async def test_a_cancel_at_any_turn_ends_it(turns: int, articles: Any) -> None:
    async def read() -> None:
        async for _ in Article.rows.prefetch_related("tags").aiterator(10):
            pass

    task = asyncio.create_task(read())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(is_over)
    assert await Article.rows.acount() == 1000


async def test_an_error_of_the_server_ends_it(articles: Any) -> None:
    from django.db import DataError
    from django.db.models import F

    rows = Article.rows.annotate(bad=1 / (F("size") - 500)).order_by("size")
    with pytest.raises(DataError, match="division by zero"):
        async for _ in rows.aiterator(10):
            pass
    assert await is_over()


async def test_a_size_that_is_no_size_is_refused(articles: Any) -> None:
    with pytest.raises(ValueError, match="must be strictly positive"):
        async for _ in Article.rows.aiterator(chunk_size=0):
            pass
    assert await is_over()


async def test_in_a_transaction_it_reads_what_that_has_written(articles: Any) -> None:
    pool = pools["default"]
    async with pool.atomic():
        await Comment.rows.acreate(article_id=1, text="mine")
        async for each in Comment.rows.aiterator(1):
            assert each.text == "mine"
            assert pool.in_use == 1
            await Comment.rows.acreate(article_id=2, text="more")
            break
    assert await Comment.rows.acount() == 2
    await eventually(is_over)


async def test_several_at_once_do_not_meet(articles: Any) -> None:
    async def total(remainder: int) -> int:
        count = 0
        async for each in Article.rows.aiterator(50):
            count += each.size % 4 == remainder
        return count

    assert await asyncio.gather(*map(total, range(4))) == [250] * 4


async def test_without_server_side_cursors_it_is_the_same(articles: Any, monkeypatch: Any) -> None:
    # As behind a pooler that gives each transaction another session.
    monkeypatch.setitem(connections.settings["default"], "DISABLE_SERVER_SIDE_CURSORS", True)
    stream = Article.rows.order_by("size").aiterator(100)
    assert (await anext(stream)).size == 1
    assert pools["default"].in_use == 0
    assert len([each async for each in stream]) == 999


async def test_on_the_pool_of_all_loops(articles: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(connections.settings, "second", {**connections.settings["default"]})
    async with pool_of(config("second", loops="shared", database="second")):
        rows = Article.rows.using("second").order_by("size")
        assert len([each async for each in rows.aiterator(400)]) == 1000
        async for _ in rows.aiterator(10):
            break
        (pool,) = [
            each
            for each in pools.all(initialized_only=True)
            if each.alias == "second" and each.size
        ]

        async def back() -> bool:
            gc.collect()
            return not pool.in_use

        await eventually(back)
