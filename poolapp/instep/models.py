"""What is still to be done."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now


class Step(models.Model):
    """One row whose document has to be written, or removed, in the database of the row.

    Which of the two is seen when it is done: a row that is not there any more has no document. So
    any number of changes of one row is one step, and it never matters which came first.
    """

    model = models.CharField(max_length=200)
    manager = models.CharField(max_length=100)
    key = models.CharField(max_length=255, help_text="The row's primary key, as text.")
    token = models.UUIDField(
        default=uuid.uuid4, editable=False, help_text="Another one for each change."
    )
    marked = models.DateTimeField(db_default=Now())
    due = models.DateTimeField(db_default=Now(), help_text="Not tried before.")
    claimed_until = models.DateTimeField(
        null=True, editable=False, help_text="A process is at it, unless it has died."
    )
    attempts = models.PositiveIntegerField(default=0, help_text="How often it has failed.")
    error = models.TextField(blank=True, help_text="What was said the last time.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("model", "manager", "key"), name="instep_step_once"),
        )
        indexes = (models.Index(fields=("due",), name="instep_step_due"),)
        default_permissions = ("view", "change", "delete")

    def __str__(self) -> str:
        return f"{self.model}.{self.manager} {self.key}"
