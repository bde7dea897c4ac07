"""Rows whose documents keep in step with them. Their tables are made by the tests."""

from __future__ import annotations

from django.db import models

from poolapp.instep import in_step
from poolapp.managers import PostgresManager
from poolapp.managers.mongodb.manager import MongoManager


@in_step("documents")
class Note(models.Model):
    title = models.CharField(max_length=200)
    stars = models.IntegerField(default=0)

    objects = models.Manager()
    rows = PostgresManager()
    documents = MongoManager(pool="steps", collection="notes")


class LongNote(Note):
    body = models.TextField(default="")


class Unmarked(models.Model):
    """Kept in step with nothing."""

    name = models.CharField(max_length=20)

    objects = models.Manager()
    documents = MongoManager(pool="steps", collection="unmarked")
