"""Many instances at once, by COPY where nothing has to come back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

from django.db import NotSupportedError, connections, transaction
from django.db.models import AutoField, Field, Model
from django.db.models.expressions import DatabaseDefault

from poolapp.managers.postgres.records import NotCopyable, records

T = TypeVar("T")

BATCH = 10_000
"""Of one COPY, unless a size is given: some megabytes at most that are held at once, and some tens
of milliseconds of the loop's time."""


def copy(
    model: type[Model],
    instances: Sequence[Model],
    database: str,
    *,
    size: int = BATCH,
    returning: bool = True,
) -> bool:
    """Insert the instances by COPY, all or none. False: that can't be done, and nothing was.

    Called natively. With ``returning`` it can't be done for what the database would have to tell:
    a primary key, or a default of its own.
    """
    if not _is_one_table(model, instances):
        return False
    without_key = _without_key(model, instances)
    for each in without_key:
        each.pk = each._meta.pk.get_pk_value_on_save(each)
    if without_key:
        without_key = _without_key(model, instances)
    if returning and (without_key or _has_defaults_to_tell(model, instances)):
        return False
    _relate(model, instances)
    connection = connections[database]
    connection.validate_no_broken_transaction()
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    with_key = _all_but(without_key, instances)
    made = [field for field in fields if not isinstance(field, AutoField)]
    joined = connection.in_atomic_block or len(instances) > size or bool(with_key and without_key)
    try:
        with transaction.atomic(using=database) if joined else nullcontext():
            _copy_all(model, with_key, fields, connection, size)
            _copy_all(model, without_key, made, connection, size)
    except (NotCopyable, NotSupportedError):
        return False
    for each in with_key:
        state = each._state
        state.adding = False
        state.db = database
    return True


def _is_one_table(model: type[Model], instances: Sequence[Model]) -> bool:
    """Not so a model with a parent that has a table of its own, which Django refuses."""
    concrete = model._meta.concrete_model
    return all(parent._meta.concrete_model is concrete for parent in model._meta.all_parents) and (
        all(_concrete(kind) is concrete for kind in set(map(type, instances)))
    )


def _concrete(kind: Any) -> type[Model]:
    found: type[Model] = kind._meta.concrete_model
    return found


def _without_key(model: type[Model], instances: Sequence[Model]) -> Sequence[Model]:
    names = [field.attname for field in model._meta.pk_fields]
    try:
        kinds = set().union(*(map(type, _values(name, instances)) for name in names))
    except KeyError:  # of a model that has the attribute elsewhere
        kinds = {type(None)}
    if type(None) not in kinds:
        return ()
    return [each for each in instances if not each._is_pk_set()]


def _values(name: str, instances: Sequence[Model]) -> list[Any]:
    return [each.__dict__[name] for each in instances]


def _all_but(some: Sequence[Model], instances: Sequence[Model]) -> Sequence[Model]:
    left = set(map(id, some))
    return [each for each in instances if id(each) not in left] if left else instances


def _has_defaults_to_tell(model: type[Model], instances: Sequence[Model]) -> bool:
    """Whether Django would have the database return what it made of its own."""
    for field in model._meta.db_returning_fields:
        if field in model._meta.pk_fields:
            continue
        if not field.has_db_default():
            return True
        if any(isinstance(vars(each).get(field.attname), DatabaseDefault) for each in instances):
            return True
    return False


def _relate(model: type[Model], instances: Sequence[Model]) -> None:
    """Take the keys of related instances that were saved after they were assigned.

    Raises ValueError for those that were not saved.
    """
    fields = (*model._meta.concrete_fields, *model._meta.private_fields)
    if any(field.is_relation for field in fields):
        for each in instances:
            if "fields_cache" in each._state.__dict__:
                each._prepare_related_fields_for_save("bulk_create")  # type: ignore[attr-defined]


def _copy_all(
    model: type[Model],
    instances: Sequence[Model],
    fields: list[Field[Any, Any]],
    connection: Any,
    size: int,
) -> None:
    quote = connection.ops.quote_name
    for start in range(0, len(instances), size):
        part = instances if len(instances) <= size else instances[start : start + size]
        taken, values = records(part, fields, connection)
        if not taken:
            raise NotCopyable("there is nothing to write but defaults")
        connection.ensure_connection()
        with connection.wrap_database_errors:
            connection.connection.copy_records(
                quote(model._meta.db_table), [quote(field.column) for field in taken], values
            )


async def batches(
    items: Iterable[T] | AsyncIterable[T], size: int
) -> AsyncGenerator[list[T], None]:
    """Lists of up to ``size`` items of an iterable of either kind."""
    if isinstance(items, AsyncIterable):
        batch: list[T] = []
        async for each in items:
            batch.append(each)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
        return
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
