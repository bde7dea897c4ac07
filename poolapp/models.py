"""No table: one model that gives the admin's page its place and its permissions."""

from __future__ import annotations

from django.db import models
from django.db.models.query import QuerySet


class NoRows(models.Manager["Pool"]):
    """There is no table to ask, and ``dumpdata`` asks every model's manager."""

    def get_queryset(self) -> QuerySet[Pool]:
        return super().get_queryset().none()


class Pool(models.Model):
    """Stands for the pools in Django's permissions: ``poolapp.view_pool`` shows them,
    ``poolapp.change_pool`` is for what acts on them."""

    alias = models.CharField(max_length=200, primary_key=True)

    objects = NoRows()

    class Meta:
        managed = False
        default_permissions = ("view", "change")
        verbose_name = "connection pool"
        verbose_name_plural = "connection pools"

    def __str__(self) -> str:
        return self.alias
