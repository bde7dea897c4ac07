"""What only PostgreSQL has."""

# ruff: noqa: DJ001 - of every type there are NULLs

from __future__ import annotations

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateRangeField,
    DateTimeRangeField,
    DecimalRangeField,
    HStoreField,
    IntegerRangeField,
    RangeOperators,
)
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models import F

from tests.differential.models.base import Base


class CaseInsensitiveField(models.TextField):
    def db_type(self, connection: Any) -> str:
        return "citext"


class MacField(models.TextField):
    def db_type(self, connection: Any) -> str:
        return "macaddr"


class Particular(Base):
    words = ArrayField(models.CharField(max_length=20), null=True)
    numbers = ArrayField(models.IntegerField(null=True), null=True)
    matrix = ArrayField(ArrayField(models.IntegerField()), null=True)
    days = ArrayField(models.DateField(), null=True)
    moments = ArrayField(models.DateTimeField(), null=True)
    amounts = ArrayField(models.DecimalField(max_digits=10, decimal_places=2), null=True)
    ids = ArrayField(models.UUIDField(), null=True)
    addresses = ArrayField(models.GenericIPAddressField(), null=True)
    flags = ArrayField(models.BooleanField(), size=3, null=True)
    blobs = ArrayField(models.BinaryField(), null=True)
    spans = ArrayField(models.DurationField(), null=True)
    facts = ArrayField(models.JSONField(), null=True)
    choice_list = ArrayField(models.FloatField(), default=list)
    store = HStoreField(null=True)
    int_range = IntegerRangeField(null=True)
    big_range = BigIntegerRangeField(null=True)
    decimal_range = DecimalRangeField(null=True)
    date_range = DateRangeField(null=True)
    moment_range = DateTimeRangeField(null=True)
    ranges = ArrayField(IntegerRangeField(), null=True)
    insensitive = CaseInsensitiveField(null=True)
    collated = models.CharField(max_length=40, db_collation="C", null=True)
    mac = MacField(null=True)


class Document(Base):
    """For full-text search."""

    title = models.CharField(max_length=100)
    body = models.TextField()
    language = models.CharField(max_length=20, default="english")
    found = SearchVectorField(null=True)
    indexed = models.GeneratedField(
        expression=SearchVector("title", weight="A", config="english")
        + SearchVector("body", weight="B", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta(Base.Meta):
        indexes = (GinIndex(fields=["found"], name="document_found"),)


class Booking(Base):
    """Constraints that no other database has."""

    room = models.IntegerField()
    during = DateTimeRangeField()
    code = models.CharField(max_length=5)
    queue = models.IntegerField()

    class Meta(Base.Meta):
        constraints = (
            ExclusionConstraint(
                name="booking_no_overlap",
                expressions=[
                    (F("room"), RangeOperators.EQUAL),
                    (F("during"), RangeOperators.OVERLAPS),
                ],
            ),
            models.UniqueConstraint(
                fields=["queue"], name="booking_queue", deferrable=models.Deferrable.DEFERRED
            ),
        )
