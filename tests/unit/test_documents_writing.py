"""What a write fills in, and what it must not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.db.models.functions import Now
from django.test.utils import isolate_apps

from poolapp.managers.documents.versions import forget, remember, version_of
from tests.stores.gated import GatedManager, GatedStore
from tests.stores.models import Article, bind

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def stamped() -> Any:
    class Stamped(models.Model):
        made = models.DateTimeField(auto_now_add=True)
        changed = models.DateTimeField(auto_now=True)
        size = models.IntegerField(db_default=7)
        server_time = models.DateTimeField(db_default=Now(), null=True)
        upload = models.FileField(upload_to="uploads")

        class Meta:
            app_label = "stores"

    return Stamped


@isolate_apps("tests.stores")
async def test_a_new_one_gets_what_save_would_give_it() -> None:
    documents = bind(GatedManager("x"), stamped())
    one = await documents.acreate(id=1)
    assert one.made is not None
    assert one.changed is not None
    assert (one.size, one.server_time) == (7, None)
    one.made = one.changed = LONG_AGO
    await documents.asave(one)
    assert one.made == LONG_AGO
    assert one.changed > LONG_AGO
    one.changed = LONG_AGO
    await documents.asave(one, update_fields=["size"])
    assert one.changed == LONG_AGO


@isolate_apps("tests.stores")
async def test_a_row_of_a_database_is_copied_as_it_is() -> None:
    model = stamped()
    documents = bind(GatedManager("x"), model)
    row = model.from_db("default", ["id", "made", "changed", "size", "server_time", "upload"],
                        [1, LONG_AGO, LONG_AGO, 3, LONG_AGO, ""])  # fmt: skip
    await documents.abulk_create([row])
    assert documents.store().held[1]["changed"] == "2000-01-01T00:00:00.000000Z"
    assert row._state.db == "default"


@isolate_apps("tests.stores")
async def test_a_file_that_waits_is_stored(tmp_path: Path, settings: Any) -> None:
    settings.MEDIA_ROOT = tmp_path
    documents = bind(GatedManager("x"), stamped())
    one = await documents.acreate(id=1, upload=ContentFile(b"content", name="a.txt"))
    assert one.upload.name == "uploads/a.txt"
    assert (tmp_path / "uploads" / "a.txt").read_bytes() == b"content"
    assert documents.store().held[1]["upload"] == "uploads/a.txt"


@isolate_apps("tests.stores")
async def test_what_a_database_computes_is_copied_of_rows_alone() -> None:
    class Doubled(models.Model):
        double = models.GeneratedField(
            expression=models.F("id") * 2, output_field=models.BigIntegerField(), db_persist=True
        )

        class Meta:
            app_label = "stores"

    documents = bind(GatedManager("x"), Doubled)
    row = Doubled.from_db("default", ["id", "double"], [2, 4])
    await documents.abulk_create([Doubled(id=1), row])
    assert documents.store().held == {1: {"id": 1}, 2: {"id": 2, "double": 4}}
    assert [each.double async for each in documents.all()] == [None, 4]


async def test_without_a_primary_key_nothing_is_written() -> None:
    documents = bind(GatedManager("x"), Article)
    with pytest.raises(ValueError, match="UUIDField"):
        await documents.asave(Article(slug=None))
    with pytest.raises(TypeError, match=r"holds stores\.Article"):
        await documents.asave("x")
    with pytest.raises(ValueError, match="force_insert"):
        await documents.asave(Article(slug="a"), force_insert=True, if_unchanged=True)
    await documents.asave(Article(slug="a"), update_fields=[])
    assert documents.store().held == {}


async def test_a_version_belongs_to_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GatedStore, "versioned", True)
    one, other = bind(GatedManager("x"), Article), bind(GatedManager("y"), Article)
    article = Article(slug="a")
    remember(article, one.store(), 5)
    assert version_of(article, one.store()) == 5
    assert version_of(article, other.store()) is None
    with pytest.raises(ValueError, match="was not read from Gated"):
        await other.asave(article, if_unchanged=True)
    forget(article, one.store())
    assert version_of(article, one.store()) is None


async def test_get_or_create_takes_the_equalities_and_the_defaults() -> None:
    documents = bind(GatedManager("x"), Article)
    made, created = await documents.aget_or_create(
        slug__exact="a", likes__gt=5, defaults={"title": lambda: "called", "likes": 9}
    )
    assert created
    assert (made.slug, made.likes, made.title) == ("a", 9, "called")
