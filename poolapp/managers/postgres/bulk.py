"""Many instances at once: by COPY where nothing has to come back, else by arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, TypeVar

from django.db import NotSupportedError, connections, transaction
from django.db.models import AutoField, Field, Model
from django.db.models.expressions import DatabaseDefault

from poolapp.managers.postgres.records import (
    Column,
    NotCopyable,
    columns_of,
    prepared,
    records,
    returned_name,
)

T = TypeVar("T")

BATCH = 10_000
"""Of one COPY, unless a size is given: some megabytes at most that are held at once, and some tens
of milliseconds of the loop's time."""


def insert(
    model: type[Model],
    instances: Sequence[Model],
    database: str,
    *,
    size: int = BATCH,
    returning: bool = True,
) -> bool:
    """Insert the instances, all or none. False: only Django itself can, and nothing was done.

    Called natively. By COPY; by arrays where the database has to tell a primary key or a default
    that it made, which it need not without ``returning``.
    """
    if not _is_one_table(model, instances):
        return False
    without_key = _without_key(model, instances)
    if without_key and _makes_keys(model._meta.pk):
        for instance in without_key:
            instance.pk = instance._meta.pk.get_pk_value_on_save(instance)
        without_key = _without_key(model, instances)
    with_key = _all_but(without_key, instances)
    _relate(model, instances)
    connection = connections[database]
    connection.validate_no_broken_transaction()
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    groups = [
        _Group(part, own_fields, _told(model, part, part is with_key) if returning else [])
        for part, own_fields in (
            (with_key, fields),
            (without_key, [field for field in fields if not isinstance(field, AutoField)]),
        )
        if part
    ]
    joined = connection.in_atomic_block or len(instances) > size or len(groups) > 1
    try:
        with transaction.atomic(using=database) if joined else nullcontext():
            for group in groups:
                group.insert(connection, size)
    except (NotCopyable, NotSupportedError):
        return False
    for group in groups:
        group.mark(database)
    return True


@dataclasses.dataclass(slots=True)
class _Group:
    """Instances with the same fields to write, and what the database has to tell of them."""

    instances: Sequence[Model]
    fields: list[Field[Any, Any]]
    told: list[Field[Any, Any]]
    answers: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)

    def insert(self, connection: Any, size: int) -> None:
        connection.ensure_connection()
        for start in range(0, len(self.instances), size):
            whole = len(self.instances) <= size
            self._insert(
                connection, self.instances if whole else self.instances[start : start + size]
            )

    def _insert(self, connection: Any, instances: Sequence[Model]) -> None:
        columns = columns_of(self.fields, connection)
        driver, table = connection.connection, _quoted(instances[0]._meta.db_table, connection)
        if not self.told:
            taken, rows = records(instances, columns, connection)
            with connection.wrap_database_errors:
                driver.copy_records(table, _names(taken, connection), rows)
            return
        found = prepared(instances, columns, connection)
        taken = [column for column, _ in found]
        types = [column.element for column in taken]
        returned = [returned_name(field, connection) for field in self.told]
        values = [each for _, each in found]
        with connection.wrap_database_errors:
            self.answers += driver.insert_records(
                table, _names(taken, connection), types, values, returned
            )

    def mark(self, database: str) -> None:
        """Have the instances know what the database told, and that they are saved."""
        names = [field.attname for field in self.told]
        for each, values in zip(self.instances, self.answers, strict=False):
            for name, value in zip(names, values, strict=True):
                setattr(each, name, value)
        if self.answers or any(field.primary_key for field in self.fields):
            for each in self.instances:
                state = each._state
                state.adding = False
                state.db = database


def _names(columns: Sequence[Column], connection: Any) -> list[str]:
    if not columns:
        raise NotCopyable("there is nothing to write but defaults")
    return [_quoted(str(each.field.column), connection) for each in columns]


def _quoted(name: str, connection: Any) -> str:
    return str(connection.ops.quote_name(name))


def _is_one_table(model: type[Model], instances: Sequence[Model]) -> bool:
    """Not so a model with a parent that has a table of its own, which Django refuses."""
    concrete = model._meta.concrete_model
    return all(parent._meta.concrete_model is concrete for parent in model._meta.all_parents) and (
        all(_concrete(kind) is concrete for kind in set(map(type, instances)))
    )


def _concrete(kind: Any) -> type[Model]:
    found: type[Model] = kind._meta.concrete_model
    return found


def _makes_keys(field: Any) -> bool:
    """Whether a primary key may come from the field itself."""
    plain = type(field).get_pk_value_on_save is Field.get_pk_value_on_save
    return not plain or bool(field.has_default())


def _without_key(model: type[Model], instances: Sequence[Model]) -> Sequence[Model]:
    names = [field.attname for field in model._meta.pk_fields]
    try:
        kinds = set().union(*(map(type, _values(name, instances)) for name in names))
    except KeyError:  # of a model that has the attribute elsewhere
        kinds = {type(None)}
    if type(None) not in kinds:
        return ()
    return [each for each in instances if not each._is_pk_set()]  # type: ignore[attr-defined]


def _values(name: str, instances: Sequence[Model]) -> list[Any]:
    return [each.__dict__[name] for each in instances]


def _all_but(some: Sequence[Model], instances: Sequence[Model]) -> Sequence[Model]:
    left = set(map(id, some))
    return [each for each in instances if id(each) not in left] if left else instances


def _told(model: type[Model], instances: Sequence[Model], have_keys: bool) -> list[Field[Any, Any]]:
    """What Django would have the database return."""
    keys = model._meta.pk_fields
    if not have_keys:
        return list(model._meta.db_returning_fields)
    return [
        field
        for field in model._meta.db_returning_fields
        if field not in keys
        and (
            not field.has_db_default()
            or any(isinstance(vars(each).get(field.attname), DatabaseDefault) for each in instances)
        )
    ]


def _relate(model: type[Model], instances: Sequence[Model]) -> None:
    """Take the keys of related instances that were saved after they were assigned.

    Raises ValueError for those that were not saved.
    """
    fields = (*model._meta.concrete_fields, *model._meta.private_fields)
    if any(field.is_relation for field in fields):
        for each in instances:
            if "fields_cache" in each._state.__dict__:
                each._prepare_related_fields_for_save("bulk_create")  # type: ignore[attr-defined]


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
