"""RedisManager: found by an index, which is never out of step."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, NotSupportedError
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolapp.managers import RedisManager
from poolapp.managers.documents.kinds import Kind
from poolapp.managers.redis.codec import encode
from tests.real import pool_of
from tests.stores.models import Article, Everything, bind
from tests.valkey import cluster, redis_config

_numbers = itertools.count(1)


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Any]:
    async with pool_of(redis_config(redis_url)) as made:
        yield made


def place() -> str:
    return f"indexes-{next(_numbers)}"


def documents_of(pool: Any, *indexes: str, model: Any = Article, prefix: str = "") -> Any:
    return bind(RedisManager(pool.alias, prefix=prefix or place(), indexes=indexes), model)


def library(count: int = 40) -> list[Article]:
    chosen = random.Random(5)
    return [
        Article(slug=f"{n:02}", likes=chosen.randint(-5, 5), title=chosen.choice(["", "a", "b\0c"]))
        for n in range(count)
    ]


async def slugs(query: Any) -> list[str]:
    return [each async for each in query.values_list("slug", flat=True)]


async def test_an_index_follows_every_write(pool: Any) -> None:
    documents = documents_of(pool, "likes")
    one = await documents.acreate(slug="a", likes=1)

    async def now() -> list[int | None]:
        return [n for n in range(6) if await documents.filter(likes=n).aexists()]

    assert await now() == [1]
    one.likes = 2
    await documents.asave(one)
    assert await now() == [2]
    one.likes = 3
    await documents.asave(one, update_fields=["likes"])
    assert await now() == [3]
    one.title = "U"
    await documents.asave(one, update_fields=["title"])
    assert await now() == [3]
    await documents.abulk_update([Article(slug="a", likes=4)], ["likes"])
    assert await now() == [4]
    assert await documents.filter(likes__lt=9).aupdate(likes=5) == 1
    assert await now() == [5]
    await documents.aremove(one)
    assert await now() == []


async def test_an_update_of_what_it_finds_by_moves_each_once(pool: Any) -> None:
    documents = documents_of(pool, "likes")
    await documents.abulk_create(Article(slug=f"{n:04}", likes=n % 7) for n in range(1300))
    assert await documents.filter(likes__lt=7).aupdate(likes=6) == 1300
    assert await documents.filter(likes=6).acount() == 1300
    assert await documents.filter(likes__lt=6).acount() == 0


async def test_everything_is_deleted_in_steps(pool: Any) -> None:
    documents = documents_of(pool, "likes")
    await documents.abulk_create(Article(slug=f"{n:04}", likes=n % 7) for n in range(1300))
    assert (await documents.filter(Q(likes=1) | Q(likes__gt=4)).adelete())[0] == 556
    assert await documents.acount() == 744
    assert (await documents.all().adelete())[0] == 744


async def test_pages_of_any_size_give_the_same(pool: Any) -> None:
    documents = documents_of(pool, "likes", "title")
    rows = library()
    await documents.abulk_create(rows)
    by_likes = [each.slug for each in sorted(rows, key=lambda it: (it.likes, it.slug))]
    for size in (1, 3, 7, 100):
        for query, expected in (
            (documents.order_by("likes"), by_likes),
            (documents.order_by("likes", "pk"), by_likes),
            (documents.order_by("-likes", "-pk"), by_likes[::-1]),
            (documents.order_by("likes")[5:20], by_likes[5:20]),
            (documents.order_by("-likes")[5:20], by_likes[::-1][5:20]),
            (documents.all(), sorted(by_likes)),
            (documents.reverse()[3:], sorted(by_likes)[::-1][3:]),
        ):
            got = [each.slug async for each in query.aiterator(chunk_size=size)]
            assert got == expected


CONDITIONS = st.recursive(
    st.builds(
        lambda lookup, value: Q(**{f"likes{lookup}": value}),
        st.sampled_from(["", "__gt", "__gte", "__lt", "__lte"]), st.integers(-6, 6),
    ) | st.lists(st.integers(-6, 6), max_size=3).map(lambda it: Q(likes__in=it)),
    lambda inner: st.builds(lambda a, b: a & b, inner, inner)
    | st.builds(lambda a, b: a | b, inner, inner)
    | st.builds(lambda a, b: a ^ b, inner, inner)
    | inner.map(lambda it: ~it),
    max_leaves=6,
)  # fmt: skip


def holds(q: Q, likes: int) -> bool:
    """What a Q says of a number, in plain Python."""
    compare = {
        "likes": lambda a, b: a == b, "likes__gt": lambda a, b: a > b,
        "likes__gte": lambda a, b: a >= b, "likes__lt": lambda a, b: a < b,
        "likes__lte": lambda a, b: a <= b, "likes__in": lambda a, b: a in b,
    }  # fmt: skip
    parts = [
        holds(each, likes) if isinstance(each, Q) else compare[each[0]](likes, each[1])
        for each in q.children
    ]
    whole = {Q.AND: all, Q.OR: any, Q.XOR: lambda them: sum(them) % 2 == 1}[q.connector](parts)
    return whole is not q.negated if parts else True


_kept: list[str] = []


@settings(max_examples=60, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(q=CONDITIONS, low=st.integers(0, 12), length=st.integers(0, 12), backwards=st.booleans())
async def test_any_condition_of_one_index_finds_what_python_finds(
    redis_url: str, q: Q, low: int, length: int, backwards: bool
) -> None:
    rows = library()
    async with pool_of(redis_config(redis_url)) as pool:
        prefix = _kept[0] if _kept else place()
        documents = documents_of(pool, "likes", "title", prefix=prefix)
        if not _kept:
            await documents.abulk_create(rows)
            _kept.append(prefix)
        expected = [
            each.slug
            for each in sorted(rows, key=lambda it: (it.likes, it.slug), reverse=backwards)
            if holds(q, each.likes)
        ]
        query = documents.filter(q).order_by("-likes" if backwards else "likes")
        assert await slugs(query) == expected
        assert await query.acount() == len(expected)
        part = query[low : low + length]
        assert await slugs(part) == expected[low : low + length]
        assert await part.acount() == len(expected[low : low + length])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Kind.INTEGER, st.integers()),
        (Kind.DECIMAL, st.decimals(allow_nan=False, allow_infinity=False)),
        (Kind.FLOAT, st.floats(allow_nan=False)),
        (Kind.BOOLEAN, st.booleans()),
        (Kind.TEXT, st.text(st.characters(exclude_categories=["Cs"]))),
    ],
)
def test_codes_have_the_order_of_the_values(kind: Kind, values: Any) -> None:
    @settings(max_examples=200, database=None, derandomize=True)
    @given(values, values)
    def check(one: Any, other: Any) -> None:
        a, b = encode(kind, one), encode(kind, other)
        if kind is Kind.TEXT:
            one, other = one.encode(), other.encode()
        assert (a < b, a == b) == (one < other, one == other)
        # Each is ended by NUL, and what follows must not matter.
        assert (a + b"\0~" < b + b"\0") == (one < other)
        assert b"\0" not in a
        assert encode(kind, None) < a < b"2"

    check()


async def test_indexes_of_every_kind_that_has_an_order(pool: Any) -> None:
    numbers = ["big_integer", "boolean", "decimal", "duration", "floating", "positive_integer"]
    texts = ["char", "date", "datetime", "file", "ip", "text", "time", "uuid"]
    names = [*numbers, *texts, "author"]
    documents = documents_of(pool, *names, model=Everything)
    one = await documents.acreate(char="x", floating=float("nan"), decimal="1.50", file="a.txt")
    for lookup in ({"char": "x"}, {"floating": float("nan")}, {"decimal": 1.5}, {"file": "a.txt"},
                   {"author": None}, {"uuid__isnull": True}):  # fmt: skip
        assert [each.pk async for each in documents.filter(**lookup)] == [one.pk]
    for name in ("json", "binary", "numbers"):
        with pytest.raises(NotSupportedError, match=name):
            documents_of(pool, name, model=Everything).store()
    with pytest.raises(FieldDoesNotExist):
        documents_of(pool, "nope").store()


async def test_what_no_index_finds_is_refused_with_those_that_there_are(pool: Any) -> None:
    documents = documents_of(pool, "likes", "title")
    for query, words in (
        (documents.filter(body="x"), "no index of 'body'"),
        (documents.filter(likes=1, title="x"), "one field at a time, not by 'likes', 'title'"),
        (documents.order_by("body"), "no index of 'body'"),
        (documents.filter(likes__gt=1).order_by("title"), "can't sort by title"),
        (documents.filter(likes__gt=1).order_by("pk"), "can't sort by slug"),
        (documents.order_by("likes", "-pk"), "can't sort by likes, -slug"),
        (documents.filter(data__a=1), "no JSONField"),
    ):
        with pytest.raises(NotSupportedError, match=f"{words}.*: slug, likes, title "):
            await slugs(query)
    with pytest.raises(NotSupportedError, match="startswith"):
        await documents.filter(likes__startswith="1").acount()
    assert await slugs(documents.filter(likes=1).order_by("pk")) == []  # one value: it can


# -- indexes that change --------------------------------------------------------------------------


async def test_an_index_declared_later_has_to_be_built(pool: Any) -> None:
    old = documents_of(pool, "likes")
    prefix = old.store().place
    assert await old.ensure() == []
    await old.abulk_create(
        [Article(slug=name, likes=n, title=name) for n, name in enumerate("abc")]
    )
    assert await old.ensure() == []
    new = documents_of(pool, "likes", "title", prefix=prefix)
    with pytest.raises(DatabaseError, match="poolensure"):
        await new.filter(title="b").acount()
    assert await new.acount() == 3  # by the primary key it works
    (sentence,) = await new.ensure()
    assert "indexes of 3 documents were built anew; there are now: likes, title." in sentence
    assert await slugs(new.filter(title="b")) == ["b"]
    assert await new.ensure() == []


async def test_an_index_that_is_declared_no_more_is_gone(pool: Any) -> None:
    old = documents_of(pool, "likes", "title")
    await old.acreate(slug="a", title="T")
    new = documents_of(pool, "likes", prefix=old.store().place)
    assert len(await new.ensure()) == 1
    assert not await pool.execute("EXISTS", old.store().layout.start + "i:title")
    await new.aremove(Article(slug="a"))
    assert await pool.execute("KEYS", old.store().layout.start + "*") == [
        (old.store().layout.start + "c").encode()
    ]


async def test_a_process_with_other_indexes_leaves_none_silently_wrong(pool: Any) -> None:
    new = documents_of(pool, "likes", "title")
    old = documents_of(pool, "likes", prefix=new.store().place)
    await new.acreate(slug="a", title="T")
    await old.acreate(slug="b", title="T")  # knows of no index of titles
    with pytest.raises(DatabaseError, match="poolensure"):
        await new.filter(title="T").acount()
    await new.ensure()
    assert await slugs(new.filter(title="T")) == ["a", "b"]


async def test_building_goes_on_beside_writes(pool: Any) -> None:
    old = documents_of(pool)
    await old.abulk_create(Article(slug=f"{n:04}", likes=n) for n in range(1200))
    new = documents_of(pool, "likes", prefix=old.store().place)

    async def write() -> None:
        for number in range(0, 1200, 40):
            await new.asave(Article(slug=f"{number:04}", likes=-1))

    await asyncio.gather(new.ensure(), write())
    assert await new.filter(likes=-1).acount() == 30
    assert await new.filter(likes__gte=0).acount() == 1170


# -- a cluster ------------------------------------------------------------------------------------


async def test_a_cluster_keeps_a_manager_in_one_place(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        url = f"redis+cluster://127.0.0.1:{nodes[0].port}"
        async with pool_of(redis_config(url)) as pool:
            for prefix in ("one", "two", "three"):
                documents = documents_of(pool, "likes", prefix=prefix)
                result = await documents.ttl(100).abulk_create(
                    Article(slug=f"{{{n}}}", likes=n) for n in range(20)
                )
                assert result, result.failed
                assert await documents.filter(likes__gte=15).acount() == 5
                assert await documents.filter(pk__in=["{1}", "{2}", "x"]).acount() == 2
                assert len(await documents.ain_bulk(["{1}", "{2}", "x"])) == 2
                got = await documents.aget_or_set("new", lambda: Article(slug="new", likes=1))
                assert got.likes == 1
                assert (await documents.all().adelete())[0] == 21
