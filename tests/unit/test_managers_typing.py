"""What a type checker tells the users of the managers: mypy, strict, with django-stubs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"}}
"""

CONFIGURATION = """
[mypy]
strict = True
warn_unreachable = True
plugins = mypy_django_plugin.main
[mypy.plugins.django-stubs]
django_settings_module = shop_settings
"""

MODELS = """
from __future__ import annotations

from typing import Self

from django.db import models

from poolapp.managers import (
    ElasticsearchManager, MongoManager, PostgresManager, PostgresQuerySet, RedisManager, S3Manager
)
from poolapp.managers.mongodb import MongoQuerySet


class NativeQuerySet(PostgresQuerySet["Entry"]):
    def recent(self) -> Self:
        return self.order_by("-id")


class PlainQuerySet(models.QuerySet["Entry"]):
    def old(self) -> Self:
        return self.order_by("id")


NativeManager = PostgresManager.from_queryset(NativeQuerySet)
PlainManager = PostgresManager.from_queryset(PlainQuerySet)


class OwnManager(PostgresManager["Entry"]):
    def named(self, name: str) -> PostgresQuerySet[Entry]:
        return self.filter(name=name)


class Titled(models.Model):
    titled = PostgresManager["Titled"]()

    class Meta:
        abstract = True


class Entry(Titled):
    name = models.TextField()

    objects = models.Manager()
    rows = PostgresManager["Entry"]()
    bare = PostgresManager()
    native = NativeManager()
    plain = PlainManager()
    made = NativeQuerySet.as_manager()
    own = OwnManager()


class OwnDocuments(MongoManager["Note"]):
    def by(self, author: str) -> MongoQuerySet[Note]:
        return self.filter(author=author).ordered()


class Note(models.Model):
    author = models.TextField()

    documents = MongoManager["Note"](pool="notes")
    search = ElasticsearchManager["Note"](pool="search")
    hot = RedisManager["Note"](pool="cache", ttl=60)
    files = S3Manager["Note"](pool="media", body="author")
    own = OwnDocuments(pool="notes")
"""

USE = """
from typing import Any, assert_type

from poolapp.managers import PostgresManager, PostgresQuerySet, RedisManager
from poolapp.managers.documents import DocumentManager
from poolapp.managers.elasticsearch import ElasticsearchQuerySet
from poolapp.managers.mongodb import MongoQuerySet
from poolapp.managers.redis import RedisQuerySet
from poolapp.managers.s3 import S3QuerySet
from shop.models import Entry, NativeQuerySet, Note, PlainQuerySet


async def rows() -> None:
    assert_type(Entry.rows, PostgresManager[Entry])
    assert_type(Entry.bare, PostgresManager[Entry])
    assert_type(Entry.titled, PostgresManager[Entry])
    assert_type(Entry.rows.all(), PostgresQuerySet[Entry])
    assert_type(Entry.rows.filter(name="a").order_by("name"), PostgresQuerySet[Entry])
    assert_type(await Entry.rows.aget(name="a"), Entry)
    assert_type(await Entry.rows.filter(name="a").afirst(), Entry | None)
    assert_type([each async for each in Entry.rows.filter(name="a")], list[Entry])
    assert_type([each async for each in Entry.rows.aiterator()], list[Entry])
    assert_type(await Entry.rows.values_list("name", flat=True).afirst(), str | None)
    assert_type(await Entry.rows.acreate(name="a"), Entry)
    assert_type(await Entry.rows.abulk_create([Entry(name="a")]), list[Entry])
    assert_type(await Entry.rows.acopy([Entry(name="a")]), int)
    assert_type(await Entry.rows.asave(Entry(name="a")), None)


async def classes_of_ones_own() -> None:
    assert_type(Entry.native.recent(), NativeQuerySet)
    assert_type(Entry.native.filter(name="a").recent(), NativeQuerySet)
    assert_type(await Entry.native.recent().aget(), Entry)
    assert_type(await Entry.native.acopy([Entry(name="a")]), int)
    assert_type(Entry.made.recent(), NativeQuerySet)
    assert_type(Entry.plain.old(), PlainQuerySet)
    assert_type(Entry.own.named("a"), PostgresQuerySet[Entry])


async def documents() -> None:
    assert_type(Note.hot, RedisManager[Note])
    assert_type(Note.documents.filter(author="a").ordered(), MongoQuerySet[Note])
    assert_type(Note.search.all().search("text").highlight(), ElasticsearchQuerySet[Note])
    assert_type(Note.hot.order_by("pk").ttl(5), RedisQuerySet[Note])
    assert_type(Note.files.all(), S3QuerySet[Note])
    assert_type(await Note.documents.aget(pk=1), Note)
    assert_type(await Note.search.filter(author="a").afirst(), Note | None)
    assert_type([each async for each in Note.hot.all()], list[Note])
    assert_type(await Note.files.all().ain_bulk([1]), dict[Any, Note])
    assert_type(await Note.documents.aget_or_create(author="a"), tuple[Note, bool])
    assert_type(Note.own.by("a"), MongoQuerySet[Note])
    assert_type(await Note.own.acount(), int)
    anyone: list[DocumentManager[Any]] = [Note.documents, Note.search, Note.hot, Note.files]
    assert len(anyone) == 4
"""

MISTAKES = """
from shop.models import Entry, Note


async def mistakes() -> None:
    Entry.rows.all().fliter()
    Entry(name="a").rows
    await Entry.rows.acopy([Note()])
    Note.documents.all().fliter()
    Note.documents.all().search("text")
    Note().documents
    (await Note.documents.aget(pk=1)).auhtor
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of mypy, about a project."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "shop").mkdir()
    for name, text in {
        "shop_settings.py": SETTINGS,
        "mypy.ini": CONFIGURATION,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "use.py": USE,
        "mistakes.py": MISTAKES,
    }.items():
        (folder / name).write_text(text)
    paths = os.pathsep.join([str(folder), str(ROOT)])
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "shop", "use.py", "mistakes.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "MYPYPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not checked.stderr, checked.stderr
    return checked.stdout.splitlines()


def test_right_code_passes(complaints: list[str]) -> None:
    assert [each for each in complaints if not each.startswith("mistakes.py")] == []


def test_each_mistake_is_told(complaints: list[str]) -> None:
    found = {int(each.split(":")[1]) for each in complaints if each.startswith("mistakes.py")}
    wrong = [number for number, line in enumerate(MISTAKES.splitlines(), 1) if line[:4] == " " * 4]
    assert found == set(wrong), complaints
