"""A manager of documents in a model: found from the class, inherited, never Django's own."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Self

import pytest
from django.db import models
from django.test.utils import isolate_apps

from poolapp.managers.declared import declared, name_of
from poolapp.managers.documents import DocumentQuerySet
from tests.stores.gated import GatedManager
from tests.stores.models import Article, Place, Restaurant, bind


class PopularQuerySet(DocumentQuerySet[Any]):
    def popular(self) -> Self:
        return self.filter(likes__gte=100)


class OwnManager(GatedManager):
    def get_queryset(self) -> DocumentQuerySet[Any]:
        return super().get_queryset().filter(pk__gt=0)


@isolate_apps("tests.stores")
def test_it_is_found_from_the_class_alone() -> None:
    class Thing(models.Model):
        search = GatedManager("x")

        class Meta:
            app_label = "stores"

    assert Thing.search.model is Thing
    assert Thing.search is Thing.search
    assert Thing.search.store() is Thing.search.store()
    with pytest.raises(AttributeError, match="via Thing instances"):
        _ = Thing().search


@isolate_apps("tests.stores")
def test_it_never_becomes_the_model_s_default_manager() -> None:
    class Thing(models.Model):
        search = GatedManager("x")
        objects = models.Manager()

        class Meta:
            app_label = "stores"

    class Bare(models.Model):
        search = GatedManager("x")

        class Meta:
            app_label = "stores"

    assert Thing._default_manager is Thing.objects
    assert type(Bare._default_manager) is models.Manager
    assert list(Bare._meta.managers) == [Bare.objects]  # type: ignore[attr-defined]


@isolate_apps("tests.stores")
def test_each_model_that_inherits_has_documents_of_its_own() -> None:
    class Base(models.Model):
        search = GatedManager("x")

        class Meta:
            abstract = True
            app_label = "stores"

    class One(Base):
        class Meta:
            app_label = "stores"

    class Two(Base):
        search = OwnManager("y")

        class Meta:
            app_label = "stores"

    class Three(One):
        class Meta:
            app_label = "stores"

    class Stand(One):
        class Meta:
            app_label = "stores"
            proxy = True

    with pytest.raises(AttributeError, match="Base is abstract"):
        _ = Base.search
    places = [each.search.store().place for each in (One, Two, Three)]
    assert places == ["stores_one", "stores_two", "stores_three"]
    assert (One.search.pool, Two.search.pool) == ("x", "y")
    assert Stand.search.store().place == "stores_one"
    assert type(Stand.search.store().schema.from_document({"id": 1})) is Stand


@isolate_apps("tests.stores")
def test_a_mixin_that_is_no_model_gives_it_too() -> None:
    class Searchable:
        search = GatedManager("x")

    class Thing(Searchable, models.Model):
        class Meta:
            app_label = "stores"

    assert Thing.search.model is Thing
    assert name_of(Thing.search) == "stores.Thing.search"


async def test_a_child_of_several_tables_has_its_parents_columns() -> None:
    restaurants = bind(GatedManager("x"), Restaurant)
    made = await restaurants.acreate(name="Chez", serves_pizza=True)
    (got,) = [each async for each in restaurants.all()]
    assert type(got) is Restaurant
    assert (got.name, got.serves_pizza, got.pk, got.id) == ("Chez", True, made.id, made.id)
    assert isinstance(got, Place)


async def test_methods_of_a_query_set_are_the_manager_s() -> None:
    manager = bind(GatedManager.from_queryset(PopularQuerySet)("x"), Article)
    assert type(manager).__name__ == "GatedManagerFromPopularQuerySet"
    condition = manager.popular().selection().condition
    assert (condition.lookup, condition.value) == ("gte", 100)
    assert manager.exclude(likes=1).popular().selection().condition.parts[1] == condition


async def test_get_queryset_is_what_all_begins_with() -> None:
    manager = bind(OwnManager("x"), Article)
    assert manager.all().selection().condition.lookup == "gt"
    assert manager.order_by("pk").selection().condition.lookup == "gt"


async def test_nothing_is_done_to_everything_by_accident() -> None:
    manager = bind(GatedManager("x"), Article)
    for name in ("adelete", "aupdate"):
        with pytest.raises(AttributeError, match=rf"\.all\(\)\.{name}\(\)"):
            getattr(manager, name)
    with pytest.raises(AttributeError):
        manager.nonsense()
    with pytest.raises(AttributeError, match=r"await .aget"):
        manager.get(pk=1)


async def test_using_takes_another_pool() -> None:
    manager = bind(GatedManager("x"), Article)
    await manager.acreate(slug="a")
    assert await manager.using("y").acount() == 0
    await manager.using("y").acreate(slug="b")
    assert manager.store("y").alias == "y"
    assert [each.slug async for each in manager.using("y")] == ["b"]


def test_every_declared_manager_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, manager in (("hot", GatedManager("x")), ("cold", GatedManager("y"))):
        manager.name = name
        monkeypatch.setattr(Place, name, manager, raising=False)
    found = [name_of(each) for each in declared() if each.model in (Place, Restaurant)]
    assert found == [
        "stores.Place.cold",
        "stores.Place.hot",
        "stores.Restaurant.cold",
        "stores.Restaurant.hot",
    ]


async def test_what_is_read_can_be_pickled_and_copied() -> None:
    manager = bind(GatedManager("x"), Article)
    await manager.acreate(slug="a", title="T")
    (got,) = [each async for each in manager.all()]
    for twin in (pickle.loads(pickle.dumps(got)), copy.deepcopy(got)):
        assert (twin.title, twin._state.adding) == ("T", False)


async def test_what_is_read_is_of_no_database() -> None:
    manager = bind(GatedManager("x"), Article)
    await manager.acreate(slug="a", title="T")
    (got,) = [each async for each in manager.all()]
    assert (got._state.db, got._state.adding) == (None, False)
    (part,) = [each async for each in manager.all().only("title")]
    assert part.get_deferred_fields() == set()  # this store gives all of it
    manager.store().held["a"] = {"slug": "a"}
    (old,) = [each async for each in manager.all()]
    assert (old.title, old.likes, old.data) == ("", 0, {})  # older than these fields
    (part,) = [each async for each in manager.all().only("slug")]
    assert "title" in part.get_deferred_fields()
    with pytest.raises(ValueError, match=r"deferred fields.*update_fields"):
        await manager.asave(part)
