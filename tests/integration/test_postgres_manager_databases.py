"""Several databases, and one that can't be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.transaction import TransactionManagementError
from django.db.utils import ConnectionDoesNotExist
from django.test import override_settings

from poolapp import BackendUnavailable, pools
from poolapp.core.config import Breaker
from tests.ledger import config
from tests.real import Proxy, pool_of
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Author, Tag


class ReadsFromReplica:
    """A router; it notes what it was asked."""

    asked: list[str] = []  # noqa: RUF012

    def db_for_read(self, model: Any, **hints: Any) -> str:
        self.asked.append("read")
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        self.asked.append("write")
        return "default"

    def allow_relation(self, *_: Any, **hints: Any) -> bool:
        return True


@pytest.fixture
async def replica(monkeypatch: Any) -> AsyncIterator[str]:
    """Another alias for the same database, as a replica has the same rows, that can't write."""
    settings = connections.settings["default"]
    monkeypatch.setitem(
        connections.settings,
        "replica",
        {**settings, "OPTIONS": {"options": "-c default_transaction_read_only=on"}},
    )
    async with pool_of(config("copies", "replica")):
        yield "copies"


@pytest.fixture
def routed(replica: str) -> Any:
    ReadsFromReplica.asked.clear()
    with override_settings(DATABASE_ROUTERS=[f"{__name__}.ReadsFromReplica"]):
        yield ReadsFromReplica.asked


async def test_reads_go_to_the_replica_and_writes_to_the_primary(routed: list[str]) -> None:
    ann = await Author.rows.acreate(name="Ann")
    assert ann._state.db == "default"
    found = await Author.rows.aget(name="Ann")
    assert found._state.db == "replica"
    assert [each._state.db async for each in Author.rows.all()] == ["replica"]
    assert [each._state.db async for each in Author.rows.aiterator()] == ["replica"]
    assert await Author.rows.acount() == 1
    raw = Author.rows.raw("SELECT * FROM rows_author")
    assert [each._state.db async for each in raw] == ["replica"]
    assert await Author.rows.filter(pk=ann.pk).aupdate(name="Bob") == 1
    await Author.rows.abulk_create([Author(pk=50, name="Cat")])
    await Author.rows.abulk_create([Author(name="Dan")])
    await Author.rows.abulk_update([ann], ["name"])
    assert (await Author.rows.aget_or_create(name="Eve"))[1]
    assert (await Author.rows.aupdate_or_create(name="Eve"))[0]._state.db == "default"
    assert await Author.rows.acopy([Author(name="Fay")]) == 1
    await Author.rows.asave(ann)
    assert (await Author.rows.all().adelete())[0] == 5


async def test_instances_and_related_managers_follow_the_routers(routed: list[str]) -> None:
    article = Article(title="one")
    await article.asave()
    await article.tags.acreate(name="news")
    await article.arefresh_from_db()
    (tag,) = [each async for each in article.tags.all()]
    assert tag.name == "news"
    await article.adelete()
    assert await Tag.rows.acount() == 1


async def test_using_names_the_database(replica: str) -> None:
    await Author.rows.using("default").acreate(name="Ann")
    found = await Author.rows.using("replica").aget()
    assert found._state.db == "replica"
    assert await Author.rows.db_manager("replica").acount() == 1
    with pytest.raises(DatabaseError, match="read-only transaction"):
        await Author.rows.using("replica").acreate(name="Bob")
    with pytest.raises(DatabaseError, match="read-only transaction"):
        await Author.rows.db_manager("replica").asave(Author(name="Bob"))
    await Author.rows.asave(found, using="default")


async def test_a_write_beside_an_atomic_block_is_refused(replica: str) -> None:
    async with pools["default"].atomic():
        assert await Author.rows.using("replica").acount() == 0
        for write in (
            lambda rows: rows.acreate(name="Ann"),
            lambda rows: rows.abulk_create([Author(pk=1, name="Ann")]),
            lambda rows: rows.abulk_create([Author(name="Ann"), Author(name="Bob")]),
            lambda rows: rows.aupdate(name="Ann"),
        ):
            with pytest.raises(TransactionManagementError, match=r'pools\["copies"\].atomic'):
                await write(Author.rows.using("replica"))


async def test_a_database_without_a_pool_is_told_the_fix(monkeypatch: Any) -> None:
    settings = connections.settings["default"]
    monkeypatch.setitem(connections.settings, "lonely", {**settings})
    with pytest.raises(ImproperlyConfigured, match="no pool leads to the database 'lonely'; add"):
        await Author.rows.using("lonely").acount()
    sqlite = {**settings, "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    monkeypatch.setitem(connections.settings, "lonely", sqlite)
    for call in (
        Author.rows.using("lonely").acount,
        Author.rows.using("lonely").acreate,
        Author.rows.using("lonely").aiterator().__anext__,
        Author.rows.using("lonely").raw("SELECT 1").__aiter__().__anext__,
    ):
        with pytest.raises(ImproperlyConfigured, match=r"Use a plain models\.Manager"):
            await call()
    with pytest.raises(ConnectionDoesNotExist, match="there is no database 'nowhere'"):
        await Author.rows.using("nowhere").acount()


async def test_an_outage_is_never_not_found(monkeypatch: Any, postgres_url: str) -> None:
    settings = connections.settings["default"]
    async with Proxy(settings["HOST"], int(settings["PORT"])) as proxy:
        far = {**settings, "HOST": "127.0.0.1", "PORT": proxy.port}
        monkeypatch.setitem(connections.settings, "far", far)
        quick = {"breaker": Breaker(failures=1, reset=60)}
        async with pool_of(config("far", "far", **quick)):
            rows = Author.rows.using("far")
            ann = await rows.acreate(name="Ann")
            proxy._server.close()
            proxy.drop()
            calls: tuple[Callable[[], Awaitable[Any]], ...] = (
                lambda: rows.aget(pk=ann.pk),
                lambda: rows.aget(name="nobody"),
                lambda: rows.afirst(),
                lambda: rows.aexists(),
                lambda: rows.acount(),
                lambda: rows.filter(pk=ann.pk).adelete(),
                lambda: rows.aget_or_create(name="Bob"),
                lambda: rows.abulk_create([Author(pk=9, name="Bob")]),
                lambda: rows.abulk_create([Author(name="Bob"), Author(name="Cat")]),
                lambda: rows.acopy([Author(name="Bob")]),
                lambda: rows.all().__aiter__().__anext__(),
                lambda: rows.aiterator().__anext__(),
                lambda: Author.rows.asave(ann, using="far"),
                lambda: Author.rows.arefresh(ann, using="far"),
            )
            for call in calls:
                with pytest.raises(BackendUnavailable) as failed:
                    await call()
                assert isinstance(failed.value, DatabaseError)
                assert not isinstance(failed.value, Author.DoesNotExist)
        assert await Author.rows.acount() == 1


async def test_tasks_at_once_share_the_pool(replica: str) -> None:
    await Tag.rows.abulk_create([Tag(pk=number, name=str(number)) for number in range(1, 51)])
    found = await asyncio.gather(*(Tag.rows.aget(pk=number) for number in range(1, 51)))
    assert [each.name for each in found] == [str(number) for number in range(1, 51)]
    assert pools["default"].size <= 10


def test_a_manager_of_another_database_is_told_by_the_system_check(monkeypatch: Any) -> None:
    assert Tag.rows.check() == []
    settings = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3"}
    monkeypatch.setitem(connections.settings, "elsewhere", settings)
    (warning,) = Tag.rows.db_manager("elsewhere").check()
    assert warning.id == "poolapp.W009"
    assert warning.msg.startswith("PostgresManager rows.Tag.rows can't be used: the database")
    assert "Use a plain models.Manager" in warning.msg
    (warning,) = Tag.rows.db_manager("nowhere").check()
    assert "there is no database 'nowhere'" in warning.msg
