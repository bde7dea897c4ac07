"""``ensure()``: the collection, and the indexes that the model declares."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError

from tests.mongodb_manager import database_url, documents_of
from tests.stores.models import Restaurant
from tests.stores.models_mongodb import Indexed, Moment, Undoable

NOON = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)


@pytest.fixture
def url(mongodb_url: str) -> str:
    return database_url(mongodb_url)


@pytest.fixture
async def documents(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Indexed) as documents:
        yield documents


async def indexes(documents: Any) -> dict[str, Any]:
    async with documents.store().pool.database() as database:
        found: dict[str, Any] = await database[documents.collection].index_information()
        return found


async def test_all_that_is_declared_and_nothing_twice(documents: Any) -> None:
    said = await documents.ensure()
    assert said[0].endswith("made the collection.")
    assert said[1].endswith("made the unique index 'slug_1' (slug).")
    assert len(said) == 1 + 9
    made = await indexes(documents)
    assert {name: (each["key"], each.get("unique", False)) for name, each in made.items()} == {
        "_id_": ([("_id", 1)], False),
        "slug_1": ([("slug", 1)], True),
        "email_1": ([("email", 1)], True),
        "city_1": ([("city", 1)], False),
        "city_1_rank_1": ([("city", 1), ("rank", 1)], True),
        "recent": ([("at", -1), ("_us.at", -1), ("city", 1)], False),
        "high": ([("rank", 1)], False),
        "known": ([("city", 1)], False),
        "one_at_a_time": ([("at", 1), ("_us.at", 1)], True),
        "one_null": ([("email", 1)], True),
    }
    assert made["high"]["partialFilterExpression"] == {"rank": {"$gte": 10}}
    assert await documents.ensure() == []


async def test_nulls_are_equal_to_nobody_unless_they_are_declared_to_be(documents: Any) -> None:
    await documents.ensure()
    rows = [Indexed(id=at, slug=str(at), city=str(at)) for at in range(3)]
    assert (await documents.abulk_create(rows)).succeeded == 3
    await documents.acreate(id=5, slug="5", city="5", email="a@example.org")
    with pytest.raises(IntegrityError, match="email_1"):
        await documents.acreate(id=6, slug="6", city="6", email="a@example.org")
    await documents.acreate(id=7, slug="7", city="7", rank=1)
    with pytest.raises(IntegrityError, match="one_null"):
        await documents.acreate(id=8, slug="8", city="8", rank=1)


async def test_moments_are_unique_to_the_microsecond(url: str, documents: Any) -> None:
    await documents.ensure()
    microsecond = dt.timedelta(microseconds=1)
    await documents.acreate(id=1, slug="1", city="1", at=NOON)
    await documents.acreate(id=2, slug="2", city="2", at=NOON + microsecond)
    with pytest.raises(IntegrityError, match="one_at_a_time"):
        await documents.acreate(id=3, slug="3", city="3", at=NOON + microsecond)
    async with documents_of(url, Moment) as moments:
        await moments.ensure()
        await moments.acreate(at=NOON, seen=NOON)
        with pytest.raises(IntegrityError):
            await moments.acreate(at=NOON + microsecond, seen=NOON)


async def test_a_look_up_uses_the_index_of_a_nullable_field(documents: Any) -> None:
    """Which has no nulls in it: the server has to see that none are asked for."""
    await documents.ensure()
    store = documents.store()
    condition = documents.filter(email="a@example.org").selection().condition
    async with store.pool.database() as database:
        plan = await database.command(
            "explain", {"find": documents.collection, "filter": store._matcher.query(condition)}
        )
    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])


async def test_what_mongodb_cant_have_is_told_after_the_rest_was_made(url: str) -> None:
    async with documents_of(url, Undoable) as documents:
        with pytest.raises(DatabaseError) as info:
            await documents.ensure()
        said = str(info.value)
        assert "GinIndex 'gin': is of one database's own kind" in said
        assert "Index 'lower': is of expressions" in said
        assert "Index 'not_a': its condition" in said
        assert "UniqueConstraint 'unique_lower': is of expressions" in said
        assert "UniqueConstraint 'later': is deferrable" in said
        assert set(await indexes(documents)) == {"_id_", "fine"}


async def test_an_index_that_differs_is_left_and_told(documents: Any) -> None:
    async with documents.store().pool.database() as database:
        await database[documents.collection].create_index([("city", 1)], name="recent")
    with pytest.raises(DatabaseError, match=r"there is an index 'recent' \(city\), which differs"):
        await documents.ensure()
    assert (await indexes(documents))["recent"]["key"] == [("city", 1)]
    assert "slug_1" in await indexes(documents)


async def test_duplicates_that_are_there_are_told(documents: Any) -> None:
    await documents.abulk_create(Indexed(id=at, slug="same", city=str(at)) for at in range(2))
    with pytest.raises(DatabaseError, match=r"'slug_1' .* can't be made: .* the same values"):
        await documents.ensure()


async def test_a_child_has_the_fields_of_its_parents(url: str) -> None:
    async with documents_of(url, Restaurant) as documents:
        assert len(await documents.ensure()) >= 1
        made = await documents.acreate(name="Bo", serves_pizza=True)
        got = await documents.aget(name="Bo")
        assert (got.pk, got.serves_pizza) == (made.pk, True)
