"""One entry per documented thing of the standard library."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from project.kinds import Kind


class Entry(models.Model):
    """Written by `import_stdlib` through the pool; the admin reads it through the ORM."""

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

    class Meta:
        ordering = ("qualified_name",)
        verbose_name_plural = "entries"
        indexes = (
            models.Index(fields=("parent", "kind", "name"), name="entry_parent"),
            models.Index(fields=("kind",), name="entry_kind"),
            GinIndex(fields=("aliases",), name="entry_aliases"),
        )

    def __str__(self) -> str:
        return self.qualified_name


class Import(models.Model):
    """A finished import: of which interpreter, into which search index."""

    interpreter = models.TextField(help_text="The interpreter's sys.version.")
    index_name = models.TextField()
    entries = models.IntegerField()
    finished = models.DateTimeField()

    class Meta:
        ordering = ("-finished",)

    def __str__(self) -> str:
        return f"{self.entries} entries of Python {self.interpreter.partition(' ')[0]}"
