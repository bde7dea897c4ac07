"""One entry per documented thing of the standard library."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from poolapp.instep import in_step
from poolapp.managers import (
    ElasticsearchManager,
    MongoManager,
    PostgresManager,
    RedisManager,
    S3Manager,
)
from project.kinds import Kind
from project.stores import INDEX
from project.wording import search_fields


def entries_in(index: str) -> ElasticsearchManager[Entry]:
    """The search documents of entries in an index."""
    return ElasticsearchManager(
        pool="search",
        index=index,
        long_text="keyword",  # nothing here is as long as 32,766 bytes
        settings={"number_of_shards": 1, "number_of_replicas": 0},
    )


@in_step("search")
class Entry(models.Model):
    """Written by `import_stdlib`; the pages read it through `rows` and `search`, the admin through
    `objects`."""

    qualified_name = models.TextField(unique=True)
    name = models.TextField()
    module = models.TextField()
    kind = models.CharField(max_length=16, choices=Kind)
    parent = models.TextField(blank=True, help_text="The qualified name of what defines it.")
    signature = models.TextField(blank=True)
    summary = models.TextField(blank=True)
    docstring = models.TextField(blank=True)
    source_file = models.TextField(blank=True, help_text="Relative to the library's folder.")
    source_line = models.IntegerField(null=True, blank=True)
    aliases = ArrayField(
        models.TextField(), default=list, blank=True, help_text="Its other public names."
    )

    # What a search looks at, made of the rest.
    package = models.TextField(editable=False, default="", help_text="Its module's first part.")
    modules = ArrayField(
        models.TextField(), editable=False, default=list, help_text="Its module, and those around."
    )
    names = models.TextField(
        editable=False, default="", help_text="The words of its qualified name and its aliases."
    )
    words = ArrayField(
        models.TextField(),
        editable=False,
        default=list,
        help_text="Those, and each one of its docstring.",
    )
    weight = models.FloatField(editable=False, default=1.0)

    objects = models.Manager()
    rows = PostgresManager["Entry"]()
    search = entries_in(INDEX)

    class Meta:
        ordering = ("qualified_name",)
        verbose_name_plural = "entries"
        indexes = (
            models.Index(fields=("parent", "kind", "name"), name="entry_parent"),
            models.Index(fields=("kind",), name="entry_kind"),
            models.Index(fields=("package",), name="entry_package"),
            GinIndex(fields=("aliases",), name="entry_aliases"),
        )

    def __str__(self) -> str:
        return self.qualified_name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.prepare()
        super().save(*args, **kwargs)

    def prepare(self) -> None:
        """Make what a search looks at."""
        for name, value in search_fields(self).items():
            setattr(self, name, value)


class Import(models.Model):
    """A finished import: of which interpreter, into which search index."""

    interpreter = models.TextField(help_text="The interpreter's sys.version.")
    index_name = models.TextField()
    entries = models.IntegerField()
    finished = models.DateTimeField(auto_now_add=True)

    objects = models.Manager()
    rows = PostgresManager["Import"]()

    class Meta:
        ordering = ("-finished",)

    def __str__(self) -> str:
        return f"{self.entries} entries of Python {self.interpreter.partition(' ')[0]}"


class Note(models.Model):
    """What a reader left at an entry: a document of MongoDB, no row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    entry = models.TextField(help_text="Its qualified name.")
    author = models.TextField()
    text = models.TextField()
    written = models.DateTimeField(auto_now_add=True)

    documents = MongoManager["Note"](pool="notes", collection="notes")

    class Meta:
        managed = False
        indexes = (models.Index(fields=("entry", "-written"), name="note_of_entry"),)


class Reading(models.Model):
    """How often an entry was read: in Redis, no row."""

    entry = models.TextField(primary_key=True, help_text="Its qualified name.")
    count = models.IntegerField(default=0)

    counts = RedisManager["Reading"](pool="cache", prefix="stdlib:read", indexes=["count"])

    class Meta:
        managed = False


class Source(models.Model):
    """A file of the library: an object of S3, no row."""

    path = models.TextField(primary_key=True, help_text="The version of Python, and its path.")
    text = models.BinaryField()

    files = S3Manager["Source"](
        pool="media", prefix="lib", body="text", content_type="text/plain; charset=utf-8"
    )

    class Meta:
        managed = False
