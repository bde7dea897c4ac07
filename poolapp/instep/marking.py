"""Writing down that a row has changed, in the transaction in which it does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Model, QuerySet

from poolapp.instep.background import kick
from poolapp.instep.declaring import targets_of
from poolapp.instep.models import Step

BATCH = 1000
"""Steps of one INSERT."""


def mark(rows: QuerySet[Any] | Iterable[Model], using: str | None = None) -> int:
    """Write down that these rows have changed, for what sends no signals: ``update()``,
    ``bulk_create()``, SQL by hand. Call it in the same transaction; a QuerySet that is deleted is
    marked before.

    How many. Raises TypeError for a model that keeps no documents in step.
    """
    if isinstance(rows, QuerySet):
        using = using or rows.db
        model: type[Model] = rows.model
        keys: Iterator[str] = (
            _key(model, pk) for pk in rows.order_by().values_list("pk", flat=True).iterator()
        )
    else:
        found = list(rows)
        if not found:
            return 0
        model = type(found[0])
        using = using or found[0]._state.db or router.db_for_write(model)
        keys = (_key(model, row.pk) for row in found)
    if not targets_of(model):
        raise TypeError(
            f"{model._meta.label} keeps no documents in step: decorate it with @in_step(...)"
        )
    count = 0
    with transaction.atomic(using=using):
        while batch := list(itertools.islice(keys, BATCH)):
            _write_down(model, batch, using)
            count += len(batch)
    return count


def on_change(sender: type[Model], instance: Model, using: str, **_: Any) -> None:
    """Receiver of ``post_save`` and ``post_delete``."""
    if targets_of(sender):
        _write_down(sender, [_key(sender, instance.pk)], using)


def _write_down(model: type[Model], keys: list[str], using: str) -> None:
    steps = [
        Step(model=each._meta.label, manager=name, key=key)
        for each, name in targets_of(model)
        for key in keys
    ]
    features = connections[using].features
    Step.objects.using(using).bulk_create(
        steps,
        update_conflicts=True,
        update_fields=["token", "due", "attempts", "error"],
        unique_fields=(
            ["model", "manager", "key"] if features.supports_update_conflicts_with_target else None
        ),
    )
    transaction.on_commit(lambda: kick(using), using=using, robust=True)


def _key(model: type[Model], pk: Any) -> str:
    field = model._meta.pk
    holder = model(**{field.attname: pk})
    return str(field.value_to_string(holder))
