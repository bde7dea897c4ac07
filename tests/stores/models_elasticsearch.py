"""Models of what Elasticsearch alone has, and of many small documents."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from poolapp.managers.elasticsearch import VectorField


class Picture(models.Model):
    """What is found by its likeness to another."""

    id = models.IntegerField(primary_key=True)
    title = models.CharField(max_length=100, default="")
    likeness = VectorField(dimensions=3, null=True)

    class Meta:
        managed = False


class Line(models.Model):
    """As small as a document gets."""

    id = models.IntegerField(primary_key=True)
    parity = models.BooleanField(default=False)

    class Meta:
        managed = False


class Note(models.Model):
    """Of each kind that an index needs more than one property for."""

    id = models.IntegerField(primary_key=True)
    text = models.TextField(null=True)  # noqa: DJ001
    name = models.CharField(max_length=100, null=True)  # noqa: DJ001
    number = models.BigIntegerField(null=True)
    weight = models.FloatField(null=True)
    price = models.DecimalField(max_digits=60, decimal_places=20, null=True)
    at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    lasted = models.DurationField(null=True)
    data = models.JSONField(null=True)
    raw = models.BinaryField(null=True)
    ip = models.GenericIPAddressField(null=True)
    numbers = ArrayField(models.IntegerField(), null=True)
    names = ArrayField(models.CharField(max_length=20), null=True)

    class Meta:
        managed = False
