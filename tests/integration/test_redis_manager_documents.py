"""RedisManager: hashes, lifetimes, counters, versions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import NotSupportedError

from poolapp import BackendUnavailable, pools
from poolapp.managers import Conflict, Missing, RedisManager, Rejected
from tests.real import eventually, pool_of
from tests.stores.models import Article, Everything, bind
from tests.valkey import Valkey, redis_config

_numbers = itertools.count(1)


@contextlib.asynccontextmanager
async def documents_of(url: str, model: Any = Article, **settings: Any) -> AsyncIterator[Any]:
    options = settings.pop("options", {})
    settings.setdefault("prefix", f"documents-{next(_numbers)}")
    async with pool_of(redis_config(url, options=options)) as pool:
        documents = bind(RedisManager(pool.alias, **settings), model)
        yield documents
        await documents.all().adelete()


@pytest.fixture
async def documents(redis_url: str) -> AsyncIterator[Any]:
    async with documents_of(redis_url, indexes=["likes", "title"]) as made:
        yield made


async def keys(documents: Any) -> set[str]:
    store = documents.store()
    found = await store.pool.execute("KEYS", f"{store.layout.start}*")
    return {each.decode().removeprefix(store.layout.start) for each in found}


async def expired(documents: Any, *pks: str) -> None:
    """Have documents expire now, as their time would have them."""
    store = documents.store()
    for pk in pks:
        await store.pool.execute("PEXPIRE", store.layout.key(pk), 1)
        await store.pool.execute("ZADD", store.layout.start + "t", 1, store.layout.member(pk))

    async def gone() -> bool:
        found = [await store.pool.execute("EXISTS", store.layout.key(pk)) for pk in pks]
        return not any(found)

    await eventually(gone)


async def test_a_document_is_a_hash_of_json_that_others_can_read(documents: Any) -> None:
    await documents.acreate(slug="a", title='"T"', likes=3, data={"k": [1, None]})
    store = documents.store()
    held = await store.pool.execute("HGETALL", store.layout.key("a"))
    assert json.loads(held[b"title"]) == '"T"'
    assert held[b"likes"] == b"3"
    assert json.loads(held[b"data"]) == {"k": [1, None]}
    assert held[b"price"] == b"null"


async def test_nothing_is_left_of_what_was_removed(documents: Any) -> None:
    await documents.abulk_create([Article(slug="a", likes=1), Article(slug="b", likes=2)])
    await documents.filter(likes__gte=2).adelete()
    await documents.aremove(Article(slug="a"))
    assert await keys(documents) == {"c"}


async def test_all_keys_of_a_manager_have_one_hash_tag(documents: Any) -> None:
    await documents.ttl(60).acreate(slug="x}{y", title="T")
    prefix = documents.store().place
    pool = documents.store().pool
    found = {each.decode() for each in await pool.execute("KEYS", f"*{prefix}*")}
    assert len(found) == 7
    assert all(each.startswith(f"{{{prefix}}}:") for each in found)


async def test_a_pool_that_decodes_answers_does_as_well(redis_url: str) -> None:
    settings = {"options": {"decode_responses": True}, "indexes": ["likes", "title"]}
    async with documents_of(redis_url, **settings) as documents:
        await documents.abulk_create(Article(slug=f"é{n}", title="ü", likes=-n) for n in range(5))
        assert [each.likes async for each in documents.filter(title="ü").order_by("title")] == (
            [0, -1, -2, -3, -4]
        )
        assert [each.slug async for each in documents.order_by("likes")[:2]] == ["é4", "é3"]
        got, _ = await documents.aupdate_or_create(pk="é1", defaults={"likes": 7})
        assert got.likes == 7
        with pytest.raises(Missing):
            await documents.aremove(Article(slug="nope"))


async def test_a_server_that_forgot_its_scripts_gets_them_again(documents: Any) -> None:
    await documents.acreate(slug="a", title="T")
    await documents.store().pool.execute("SCRIPT", "FLUSH")
    result = await documents.abulk_create([Article(slug=str(n)) for n in range(5)])
    assert result.succeeded == 5
    await documents.store().pool.execute("SCRIPT", "FLUSH")
    assert await documents.acount() == 6


async def test_text_that_can_not_be_written_fails_alone(documents: Any) -> None:
    result = await documents.abulk_create([Article(slug="a"), Article(slug="b", body="\ud800")])
    assert (result.succeeded, [each.index for each in result.failed]) == (1, [1])
    assert isinstance(result.failed[0].error, Rejected)


# -- lifetimes -----------------------------------------------------------------------------------


async def test_every_write_gives_the_whole_lifetime_again(redis_url: str) -> None:
    async with documents_of(redis_url, ttl=100) as documents:
        store = documents.store()

        async def left() -> float:
            return await store.pool.execute("PTTL", store.layout.key("a")) / 1000

        one = await documents.acreate(slug="a", title="T")
        assert 95 < await left() <= 100
        await documents.ttl(5).asave(one)
        assert 0 < await left() <= 5
        await documents.asave(one, update_fields=["title"])
        assert 95 < await left() <= 100
        await documents.ttl(5).aincrement("a", likes=1)
        assert 0 < await left() <= 5
        assert await documents.filter(pk="a").aupdate(title="U") == 1
        assert 95 < await left() <= 100
        await documents.ttl(None).asave(one)
        assert await left() < 0
        assert "t" not in await keys(documents)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_a_lifetime_is_some_seconds(wrong: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        RedisManager("x", ttl=wrong)


async def test_what_has_expired_is_nowhere_any_more(documents: Any) -> None:
    for name in "abcd":
        await documents.ttl(1000).acreate(slug=name, title=f"T{name}", likes=1)
    await expired(documents, "a", "c")
    assert await documents.acount() == 2
    assert await documents.filter(likes=1).acount() == 2
    assert [each.slug async for each in documents.order_by("-title")] == ["d", "b"]
    await documents.filter(likes=1).adelete()
    assert await keys(documents) == {"c"}


async def test_a_lifetime_that_somebody_else_has_changed_counts(documents: Any) -> None:
    for name in "ab":
        await documents.ttl(1000).acreate(slug=name, likes=1)
    store = documents.store()
    await store.pool.execute("PERSIST", store.layout.key("a"))
    for name in "ab":  # as if their time had come
        await store.pool.execute("ZADD", store.layout.start + "t", 1, store.layout.member(name))
    assert await documents.filter(likes=1).acount() == 2
    times = await store.pool.execute("ZRANGE", store.layout.start + "t", 0, -1, "WITHSCORES")
    assert len(times) == (1 if isinstance(times[0], list | tuple) else 2)
    await expired(documents, "b")
    assert await documents.filter(likes=1).acount() == 1


async def test_many_that_expire_at_once_are_cleared_in_steps(documents: Any) -> None:
    names = [f"{n:04}" for n in range(1200)]
    await documents.ttl(1000).abulk_create([Article(slug=name) for name in names])
    store = documents.store()
    pipeline = store.pool.pipeline(transaction=False)
    for name in names:
        pipeline.pexpire(store.layout.key(name), 1)
        pipeline.zadd(store.layout.start + "t", {store.layout.member(name): 1})
    await pipeline.execute()

    async def gone() -> bool:
        return not await store.pool.execute("EXISTS", *map(store.layout.key, names))

    await eventually(gone)
    assert await documents.acount() == 0
    assert await keys(documents) == {"c"}


async def test_what_was_evicted_is_left_out_and_cleared(documents: Any) -> None:
    await documents.abulk_create([Article(slug=name, likes=1) for name in "abc"])
    store = documents.store()
    await store.pool.execute("DEL", store.layout.key("b"))  # as the server does, out of memory
    assert [each.slug async for each in documents.all()] == ["a", "c"]
    assert await documents.filter(likes=1).acount() == 2
    assert [each.slug async for each in documents.filter(likes=1)[:2]] == ["a", "c"]


# -- two at a time -------------------------------------------------------------------------------


async def test_of_many_who_change_one_none_is_lost(documents: Any) -> None:
    await documents.acreate(slug="a", title="T", body="")

    async def append(mark: str) -> int:
        tries = 0
        while True:
            tries += 1
            one = await documents.aget(pk="a")
            one.body += mark
            try:
                await documents.asave(one, if_unchanged=True)
            except Conflict:
                continue
            return tries

    tries = await asyncio.gather(*(append(mark) for mark in "abcdefgh"))
    assert sorted((await documents.aget(pk="a")).body) == list("abcdefgh")
    assert max(tries) > 1


async def test_a_version_never_comes_again(documents: Any) -> None:
    one = await documents.acreate(slug="a", title="T")
    await documents.aremove(Article(slug="a"))
    await documents.acreate(slug="a", title="another")
    with pytest.raises(Conflict):
        await documents.asave(one, if_unchanged=True)
    assert (await documents.aget(pk="a")).title == "another"


async def test_what_is_no_plain_number_can_not_be_counted_with(documents: Any) -> None:
    await documents.acreate(slug="a", title="T", author_id=None)
    with pytest.raises(NotSupportedError, match="keeps an index"):
        await documents.aincrement("a", likes=1)
    with pytest.raises(TypeError, match="no integer"):
        await documents.aincrement("a", title=1)


async def test_of_many_who_count_none_is_lost(redis_url: str) -> None:
    async with documents_of(redis_url, Everything) as counters:
        one = await counters.acreate(integer=5, big_integer=None)
        await asyncio.gather(*(counters.aincrement(one.pk, integer=2) for _ in range(50)))
        assert await counters.aincrement(one.pk, integer=-1, big_integer=2**62) == {
            "integer": 104,
            "big_integer": 2**62,
        }
        assert (await counters.aget(pk=one.pk)).big_integer == 2**62
        with pytest.raises(Conflict):
            await counters.asave(one, if_unchanged=True)
        with pytest.raises(Missing):
            await counters.aincrement("00000000-0000-0000-0000-000000000000", integer=1)


# -- outages -------------------------------------------------------------------------------------


async def test_a_server_that_ends_in_the_middle_is_told_with_the_result(tmp_path: Any) -> None:
    async with Valkey(tmp_path) as server, documents_of_server(server) as documents:
        await documents.acreate(slug="there", title="T")

        async def source() -> AsyncIterator[Article]:
            for number in range(10):
                if number == 4:
                    server.kill()
                yield Article(slug=str(number))

        with pytest.raises(BackendUnavailable) as caught:
            await documents.abulk_create(source(), batch_size=2, concurrency=1)
        result = caught.value.result  # type: ignore[attr-defined]
        assert (result.succeeded, [each.index for each in result.failed]) == (4, [4, 5])


@contextlib.asynccontextmanager
async def documents_of_server(server: Valkey) -> AsyncIterator[Any]:
    async with pool_of(redis_config(server.url)) as pool:
        yield bind(RedisManager(pool.alias, indexes=["likes"]), Article)


async def test_it_works_from_sync_code_on_the_pool_loop(redis_url: str) -> None:
    config = redis_config(redis_url)
    pools.register(config.alias, config)
    documents = bind(RedisManager(config.alias, prefix="from-sync"), Article)

    async def trip() -> str:
        await documents.asave(Article(slug="a", title="T"))
        return str((await documents.aget(pk="a")).title)

    try:
        assert await asyncio.to_thread(pools.run, trip) == "T"
        await documents.all().adelete()
    finally:
        await pools.remove(config.alias)
