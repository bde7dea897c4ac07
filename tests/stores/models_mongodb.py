"""Models of what only MongoDB's tests need."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Deferrable, Q
from django.db.models.functions import Lower


class Numbers(models.Model):
    """What BSON has no number for, and what it has."""

    id = models.IntegerField(primary_key=True)
    integer = models.BigIntegerField(null=True)
    narrow = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    wide = models.DecimalField(max_digits=80, decimal_places=30, null=True)
    duration = models.DurationField(null=True)
    floating = models.FloatField(null=True)

    class Meta:
        managed = False


class Moment(models.Model):
    """A key of microseconds."""

    at = models.DateTimeField(primary_key=True)
    seen = models.DateTimeField(null=True, unique=True)

    class Meta:
        managed = False


class Indexed(models.Model):
    """An index of every kind that a model can declare."""

    slug = models.SlugField(unique=True)
    email = models.EmailField(null=True, unique=True)  # noqa: DJ001 - nulls are what is tested
    city = models.CharField(max_length=100, db_index=True)
    at = models.DateTimeField(null=True)
    rank = models.IntegerField(default=0)

    class Meta:
        managed = False
        unique_together = (("city", "rank"),)
        indexes = (
            models.Index(fields=["-at", "city"], name="recent"),
            models.Index(fields=["rank"], name="high", condition=Q(rank__gte=10)),
            models.Index(fields=["city"], name="known", condition=Q(at__isnull=False)),
        )
        constraints = (
            models.UniqueConstraint(fields=["at"], name="one_at_a_time"),
            models.UniqueConstraint(
                fields=["email"], name="one_null", nulls_distinct=False, condition=Q(rank=1)
            ),
        )


class Undoable(models.Model):
    """Indexes that MongoDB can't have."""

    id = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    data = models.JSONField(default=dict)

    class Meta:
        managed = False
        indexes = (
            GinIndex(fields=["data"], name="gin"),
            models.Index(Lower("name"), name="lower"),
            models.Index(fields=["name"], name="not_a", condition=~Q(name="a")),
            models.Index(fields=["name"], name="fine"),
        )
        constraints = (
            models.UniqueConstraint(Lower("name"), name="unique_lower"),
            models.UniqueConstraint(fields=["name"], name="later", deferrable=Deferrable.DEFERRED),
        )
