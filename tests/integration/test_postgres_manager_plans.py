"""``aget()`` is compiled once for many values, and nobody can tell but by the clock; instances are
made without their ``__init__`` where nobody listens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import FieldError
from django.db import connections, models
from django.db.models.signals import post_init, pre_init
from django.test import override_settings

from poolapp import pools
from poolapp.managers.postgres import plans
from tests.rows.fixtures import rows_emptied, rows_tables  # noqa: F401
from tests.rows.models import Article, Author, Everything


@pytest.fixture(autouse=True)
async def no_plans() -> AsyncIterator[None]:
    plans._plans.clear()
    yield
    plans._plans.clear()
    await sync_to_async(connections.close_all)()  # of the thread that `objects` uses


def kept() -> list[tuple[str, ...]]:
    """The names of the fields by which there is a plan."""
    return [key[2] for key, plan in plans._plans.items() if plan is not None]


def contents(row: Any) -> dict[str, Any]:
    """All that an instance holds, and what is cached of its relations."""
    state = {name: value for name, value in vars(row._state).items() if name != "fields_cache"}
    related = {name: contents(each) for name, each in row._state.fields_cache.items() if each}
    own = {name: value for name, value in vars(row).items() if name != "_state"}
    return {**own, "_state": state, "related": related, "class": type(row)}


async def same(named: dict[str, Any], chain: Any = lambda rows: rows.all()) -> Any:
    """What both managers give, which is the same, twice."""
    theirs = await chain(Article.objects).aget(**named)
    for _ in range(2):
        ours = await chain(Article.rows).aget(**named)
        assert contents(ours) == contents(theirs)
    return ours


@pytest.fixture
async def article() -> Article:
    author = await Author.rows.acreate(name="Ann")
    await Article.rows.acreate(title="another")
    return await Article.rows.acreate(title="one", size=7, author=author)


class TestPlans:
    async def test_one_serves_all_values(self, article: Article) -> None:
        other = await Article.rows.aget(title="another")
        for pk in (article.pk, other.pk, article.pk):
            assert (await Article.rows.aget(pk=pk)).pk == pk
        assert kept() == [("title",), ("pk",)]

    @pytest.mark.parametrize(
        "chain",
        [
            lambda rows: rows.all(),
            lambda rows: rows.select_related("author"),
            lambda rows: rows.only("title"),
            lambda rows: rows.defer("body"),
            lambda rows: rows.select_related("author").only("title", "author__name"),
        ],
    )
    async def test_they_give_what_django_gives(self, article: Article, chain: Any) -> None:
        await same({"pk": article.pk}, chain)
        await same({"title": "one", "size": 7}, chain)
        assert kept() == [("pk",), ("size", "title")]

    async def test_chains_that_differ_have_plans_that_differ(self, article: Article) -> None:
        whole = await Article.rows.aget(pk=article.pk)
        part = await Article.rows.only("title").aget(pk=article.pk)
        joined = await Article.rows.select_related("author").aget(pk=article.pk)
        assert whole.get_deferred_fields() == set()
        assert part.get_deferred_fields() != set()
        assert joined._state.fields_cache["author"].name == "Ann"
        assert len(plans._plans) == 3

    @pytest.mark.parametrize(
        "chain",
        [
            lambda rows: rows.filter(size=7),
            lambda rows: rows.exclude(size=8),
            lambda rows: rows.annotate(double=models.F("size") * 2),
            lambda rows: rows.alias(double=models.F("size") * 2).filter(double=14),
            lambda rows: rows.extra(where=["size = 7"]),
            lambda rows: rows.distinct(),
        ],
    )
    async def test_anything_else_is_django_s(self, article: Article, chain: Any) -> None:
        await same({"pk": article.pk}, chain)
        assert plans._plans == {}

    async def test_what_is_prefetched_is_django_s(self, article: Article) -> None:
        found = await Article.rows.prefetch_related("tags").aget(pk=article.pk)
        assert found._prefetched_objects_cache["tags"]._result_cache == []
        assert plans._plans == {}

    async def test_values_and_lists_are_django_s(self, article: Article) -> None:
        assert await Article.rows.values("title").aget(pk=article.pk) == {"title": "one"}
        assert await Article.rows.values_list("size", flat=True).aget(pk=article.pk) == 7
        assert plans._plans == {}

    async def test_only_plain_values_are_planned(self, article: Article) -> None:
        class Title(str):
            __slots__ = ()

        assert (await Article.rows.aget(pk=str(article.pk))).title == "one"
        assert (await Article.rows.aget(title=Title("one"))).size == 7
        assert (await Article.rows.aget(title__iexact="ONE")).size == 7
        assert (await Article.rows.aget(author__name="Ann")).size == 7
        assert (await Article.rows.aget(models.Q(title="one"))).size == 7
        assert plans._plans == {}

    async def test_fields_that_prepare_their_values_are_django_s(self) -> None:
        made = await Everything.rows.acreate(loud="quiet", name="x")
        assert (await Everything.rows.aget(loud="quiet")).pk == made.pk
        assert plans._plans == {}
        assert (await Everything.rows.aget(pk=made.pk)).name == "x"
        assert kept() == [("pk",)]

    async def test_a_user_s_get_is_asked(self, article: Article) -> None:
        assert (await Article.plain.aget(pk=article.pk)).title == "one"
        assert plans._plans == {}

    async def test_a_manager_s_own_conditions_hold(self, article: Article) -> None:
        hidden = await Article.rows.acreate(title="hidden")
        with pytest.raises(Article.DoesNotExist):
            await Article.shown.aget(pk=hidden.pk)
        assert plans._plans == {}

    async def test_the_rows_of_a_related_manager_are_its_own(self, article: Article) -> None:
        stranger = await Author.rows.acreate(name="Bob")
        with pytest.raises(Article.DoesNotExist):
            await stranger.articles(manager="rows").aget(pk=article.pk)
        assert plans._plans == {}


class TestErrors:
    async def test_none_and_several(self, article: Article) -> None:
        await Article.rows.acreate(title="one")
        for manager in (Article.rows, Article.objects):
            with pytest.raises(Article.DoesNotExist, match=r"^Article matching query does not ex"):
                await manager.aget(title="nobody")
            with pytest.raises(Article.MultipleObjectsReturned, match=r"returned 2!$"):
                await manager.aget(title="one")

    @pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**200])
    async def test_a_number_that_the_column_can_t_hold(self, number: int) -> None:
        for _ in range(2):
            with pytest.raises(Article.DoesNotExist):
                await Article.rows.aget(size=number)

    async def test_a_field_that_is_none(self) -> None:
        with pytest.raises(FieldError, match="Cannot resolve keyword 'nothing'"):
            await Article.rows.aget(nothing=1)
        with pytest.raises(ValueError, match="Field 'size' expected a number"):
            await Article.rows.aget(size="x")

    async def test_text_is_never_sql(self, article: Article) -> None:
        for hostile in ("' OR true --", "%s", "$1", "one\\", "%(pk)s"):
            with pytest.raises(Article.DoesNotExist):
                await Article.rows.aget(title=hostile)


class TestWhere:
    async def test_in_a_transaction(self, article: Article) -> None:
        await Article.rows.aget(pk=article.pk)
        with pytest.raises(RuntimeError):
            async with pools["default"].atomic():
                await Article.rows.filter(pk=article.pk).aupdate(title="changed")
                assert (await Article.rows.aget(pk=article.pk)).title == "changed"
                raise RuntimeError
        assert (await Article.rows.aget(pk=article.pk)).title == "one"

    async def test_many_at_once(self, article: Article) -> None:
        found = await asyncio.gather(*(Article.rows.aget(pk=article.pk) for _ in range(200)))
        assert {each.title for each in found} == {"one"}
        assert len({id(each) for each in found}) == 200

    async def test_a_change_of_the_time_zone_is_seen(self, article: Article) -> None:
        aware = await Article.rows.aget(pk=article.pk)
        assert aware.created.tzinfo is not None
        with override_settings(USE_TZ=False):
            assert (await Article.rows.aget(pk=article.pk)).created.tzinfo is None
        assert (await Article.rows.aget(pk=article.pk)).created == aware.created

    async def test_statements_are_logged_where_they_are_debugged(self, article: Article) -> None:
        with override_settings(DEBUG=True):
            assert (await Article.rows.aget(pk=article.pk)).title == "one"
        assert plans._plans == {}

    async def test_the_oldest_go_when_there_are_too_many(
        self, article: Article, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(plans, "MOST", 2)
        await Article.rows.aget(pk=article.pk)
        await Article.rows.aget(title="one")
        await Article.rows.aget(pk=article.pk)
        await Article.rows.aget(id=article.pk)
        assert kept() == [("pk",), ("id",)]


class TestInstances:
    async def test_who_listens_is_told(self, article: Article) -> None:
        await Article.rows.aget(pk=article.pk)  # before anybody listens
        heard: list[Any] = []

        def before(sender: Any, args: Any, **_: Any) -> None:
            heard.append(args[1])

        def after(sender: Any, instance: Any, **_: Any) -> None:
            heard.append(instance)

        pre_init.connect(before, sender=Article)
        post_init.connect(after, sender=Article)
        try:
            found = await Article.rows.aget(pk=article.pk)
            listed = [each async for each in Article.rows.order_by("pk")]
        finally:
            pre_init.disconnect(before, sender=Article)
            post_init.disconnect(after, sender=Article)
        assert heard == ["one", found, "another", listed[0], "one", listed[1]]
        await Article.rows.aget(pk=article.pk)
        assert len(heard) == 6

    async def test_a_model_s_own_init_and_from_db_are_called(
        self, article: Article, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from poolapp.backends.postgres.native import hydration

        made = []

        class Proud(Article):
            def __init__(self, *args: Any, **named: Any) -> None:
                super().__init__(*args, **named)
                made.append("init")

            @classmethod
            def from_db(cls, *args: Any, **named: Any) -> Any:
                made.append("from_db")
                return super().from_db(*args, **named)

            class Meta:
                app_label = "rows"
                proxy = True

        try:
            assert (await Proud.rows.aget(pk=article.pk)).title == "one"
            assert made == ["from_db", "init"]
            assert not hydration._is_plain(Proud)
            assert hydration._is_plain(Article)
        finally:
            del Article._meta.apps.all_models["rows"]["proud"]
            Article._meta.apps.clear_cache()

    @pytest.mark.filterwarnings("ignore:.*must accept a fetch_mode")
    async def test_a_from_db_that_knows_of_no_fetch_modes_is_called_too(
        self, article: Article
    ) -> None:
        class Plain(Article):
            @classmethod
            def from_db(cls, db: Any, field_names: Any, values: Any) -> Any:
                made = super().from_db(db, field_names, values)
                made.title = made.title.upper()
                return made

            class Meta:
                app_label = "rows"
                proxy = True

        try:
            for _ in range(2):
                assert (await Plain.rows.aget(pk=article.pk)).title == "ONE"
            assert [each.title async for each in Plain.rows.order_by("pk")] == ["ANOTHER", "ONE"]
            assert kept() == [("pk",)]
        finally:
            del Article._meta.apps.all_models["rows"]["plain"]
            Article._meta.apps.clear_cache()

    @pytest.mark.skipif(not hasattr(models, "FETCH_PEERS"), reason="of Django 6.1")
    @pytest.mark.parametrize("mode", ["FETCH_ONE", "FETCH_PEERS", "FETCH_RAISE"])
    async def test_what_was_left_out_is_fetched_as_was_said(
        self, article: Article, mode: str
    ) -> None:
        def chain(rows: Any) -> Any:
            how = getattr(models, mode)
            return rows.fetch_mode(how).select_related("author").defer("size")

        theirs = await chain(Article.objects).aget(pk=article.pk)
        for _ in range(2):
            ours = await chain(Article.rows).aget(pk=article.pk)
            assert contents(ours) == contents(theirs)
        assert bool(kept()) is (mode == "FETCH_ONE")
        expected = [each async for each in chain(Article.objects).order_by("pk")]
        listed = [each async for each in chain(Article.rows).order_by("pk")]
        assert [*map(contents, listed)] == [*map(contents, expected)]
        reading = pools["default"].natively(getattr, listed[0], "size")
        if mode == "FETCH_RAISE":
            with pytest.raises(FieldError, match="blocked"):
                await reading
        else:
            assert await reading == 0
        with_size = ["size" in vars(each) for each in listed]
        assert with_size == [mode != "FETCH_RAISE", mode == "FETCH_PEERS"]

    async def test_lists_are_what_django_makes_them(self, article: Article) -> None:
        def chain(rows: Any) -> Any:
            return rows.select_related("author").annotate(n=models.Value(1)).order_by("pk")

        theirs = [contents(each) async for each in chain(Article.objects)]
        assert [contents(each) async for each in chain(Article.rows)] == theirs

    async def test_instances_share_nothing(self) -> None:
        pk = uuid.uuid4()
        await Everything.rows.acreate(pk=pk, data={"a": [1]})
        one, two = [await Everything.rows.aget(pk=pk) for _ in range(2)]
        one.data["a"].append(2)
        one._state.adding = True
        assert two.data == {"a": [1]}
        assert two._state.adding is False
