"""Models that every store's tests share. They have no managers here: a test declares those of its
own store on a subclass, or with `manager_of`."""

# ruff: noqa: DJ001 - null is a value that has to come back

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tests.stores.fields import PointField, ReversedField


class Author(models.Model):
    name = models.CharField(max_length=200)

    class Meta:
        managed = False


class Article(models.Model):
    """What an application has."""

    slug = models.CharField(max_length=200, primary_key=True)
    title = models.CharField(max_length=200)
    body = models.TextField(default="")
    author = models.ForeignKey(Author, models.CASCADE, null=True, db_constraint=False)
    likes = models.IntegerField(default=0)
    rating = models.FloatField(null=True)
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    published = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    is_public = models.BooleanField(default=True)
    token = models.UUIDField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        managed = False

    def __str__(self) -> str:
        return self.title


class Everything(models.Model):
    """A field of every type of Django's, and some of a project's own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    big_integer = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=1000, null=True)
    date = models.DateField(null=True)
    datetime = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(null=True)
    file = models.FileField(null=True)
    file_path = models.FilePathField(null=True)
    floating = models.FloatField(null=True)
    ip = models.GenericIPAddressField(null=True)
    image = models.FileField(null=True)
    integer = models.IntegerField(null=True)
    json = models.JSONField(null=True)
    json_encoded = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    positive_big_integer = models.PositiveBigIntegerField(null=True)
    positive_integer = models.PositiveIntegerField(null=True)
    positive_small_integer = models.PositiveSmallIntegerField(null=True)
    slug = models.SlugField(null=True)
    small_integer = models.SmallIntegerField(null=True)
    text = models.TextField(null=True)
    time = models.TimeField(null=True)
    url = models.URLField(null=True)
    uuid = models.UUIDField(null=True)
    author = models.ForeignKey(Author, models.CASCADE, null=True, db_constraint=False)
    numbers = ArrayField(models.IntegerField(), null=True)
    moments = ArrayField(models.DateTimeField(), null=True)
    point = PointField(null=True)
    reversed = ReversedField(null=True)

    class Meta:
        managed = False


class Place(models.Model):
    """A parent of multi-table inheritance."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=100)

    class Meta:
        managed = False


class Restaurant(Place):
    serves_pizza = models.BooleanField(default=False)

    class Meta:
        managed = False


def bind(manager: Any, model: type[models.Model], name: str = "documents") -> Any:
    """A manager of a model that does not declare it: `bind(RedisManager(...), Article)`."""
    manager.name = name
    return manager.__get__(None, model)
