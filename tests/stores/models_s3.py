"""Models of what only a bucket holds."""

from __future__ import annotations

from django.db import models


class Photo(models.Model):
    """Bytes, and what stands beside them."""

    name = models.CharField(max_length=2000, primary_key=True)
    data = models.BinaryField(null=True)
    caption = models.TextField(default="")
    taken_at = models.DateTimeField(null=True)
    thumbnail = models.BinaryField(null=True)
    width = models.IntegerField(null=True)
    mime = models.CharField(max_length=100, default="image/png")

    class Meta:
        managed = False


class Memo(models.Model):
    """Text, found by a number."""

    id = models.BigAutoField(primary_key=True)
    text = models.TextField(null=True)  # noqa: DJ001 - None and "" are told apart
    title = models.CharField(max_length=100, default="")

    class Meta:
        managed = False
        ordering = ("-title",)


class Reading(models.Model):
    """Whose keys are not in the order of their values."""

    value = models.DecimalField(primary_key=True, max_digits=10, decimal_places=2)

    class Meta:
        managed = False


class Upload(models.Model):
    """A row with a file."""

    file = models.FileField(upload_to="docs", max_length=60)

    class Meta:
        managed = False
