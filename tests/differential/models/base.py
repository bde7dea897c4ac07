from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class Base(models.Model):
    """Of an app that is installed for these tests only: so each names it."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True
        app_label = "differential"
