"""From an instance to a write."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import Field, FileField, Model
from django.db.models.expressions import DatabaseDefault

from poolapp.managers.documents.schema import Schema, default_of
from poolapp.managers.documents.store import Action, Operation, Store
from poolapp.managers.documents.versions import version_of
from poolapp.managers.presave import only_reads


async def fill_in(instance: Model, only: Sequence[Field[Any, Any]] | None) -> None:
    """What Django's ``save()``, or the database, fills in (``auto_now``, ``db_default``, files that
    wait to be stored), unless the instance is a row of a database: its document is a copy."""
    if instance._state.db is not None:
        return
    _link_parents(instance)
    adding = instance._state.adding
    for field in _filled_in(type(instance)) if only is None else only:
        if getattr(field, "generated", False) or field.attname not in instance.__dict__:
            continue
        if isinstance(instance.__dict__[field.attname], DatabaseDefault):
            setattr(instance, field.attname, default_of(field))
        if isinstance(field, FileField):
            file = getattr(instance, field.attname)
            if file and not file._committed:  # a storage may be slow, and is called from a thread
                await sync_to_async(field.pre_save)(instance, adding)
            continue
        field.pre_save(instance, adding)


def _link_parents(instance: Model) -> None:
    """Of a model with several tables: the link to a parent is the parent's primary key."""
    for parent, link in instance._meta.parents.items():
        if link is None:
            continue
        key = parent._meta.pk.attname
        if getattr(instance, link.attname) is None:
            setattr(instance, link.attname, getattr(instance, key))
        elif getattr(instance, key) is None:
            setattr(instance, key, getattr(instance, link.attname))


@functools.cache
def _filled_in(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    """The fields that have something to do before they are saved."""
    return tuple(
        each
        for each in model._meta.concrete_fields
        if not only_reads(each) or each.has_db_default()
    )


def must_be_of(store: Store, instance: object) -> None:
    """TypeError for what is no instance of the store's model."""
    if not isinstance(instance, store.model):
        raise TypeError(
            f"{store.name} {store.place!r} holds {store.model._meta.label}, not "
            f"{type(instance).__name__!r}"
        )


def operation_of(
    store: Store,
    action: Action,
    instance: Model,
    *,
    only: Sequence[Field[Any, Any]] | None = None,
    checked: bool = False,
) -> Operation:
    """The write of an instance; ``only`` these fields, for an ``update``. Raises ValueError when it
    has no primary key, or, ``checked``, was never read from this store; and what
    ``Schema.to_document`` raises."""
    must_be_of(store, instance)
    schema = store.schema
    key = schema.key(schema.pk)
    if action in ("create", "index"):
        document = schema.to_document(instance)
        if len(document) < len(schema.fields) and (deferred := _deferred(schema, document)):
            raise ValueError(
                f"this {type(instance).__name__} has deferred fields ({', '.join(sorted(deferred))}"
                "), which a whole document would lose; save with update_fields"
            )
        pk = document[key]
    else:
        pk = schema.dump(schema.pk, instance.pk)
        document = {} if only is None else {key: pk, **schema.to_document(instance, only)}
    if pk is None:
        raise ValueError(
            f"this {type(instance).__name__} has no primary key, and {store.name} does not count; "
            "give one, or let the model have a default: UUIDField(primary_key=True, default=uuid4)"
        )
    version = None
    if checked:
        if not store.versioned:
            store.cannot("tell whether a document was changed", "if_unchanged=False")
        version = version_of(instance, store)
        if version is None:
            raise ValueError(
                f"if_unchanged: this {type(instance).__name__} was not read from {store.name} "
                f"{store.place!r}, so nobody knows what it was then"
            )
    return Operation(action, pk, document, checked, version, instance)


def _deferred(schema: Schema, document: Collection[str]) -> list[str]:
    """What a document lacks; but a column that the database computes is known of rows alone."""
    return [
        field.attname
        for field in schema.fields
        if schema.key(field) not in document and not getattr(field, "generated", False)
    ]


def adopt(instance: Model) -> None:
    """Count it as saved, as ``save()`` does."""
    instance._state.adding = False
