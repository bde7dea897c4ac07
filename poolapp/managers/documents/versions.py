"""Which version of a document an instance was read from, store by store."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from poolapp.managers.documents.store import Store


def remember(instance: Model, store: Store, version: Any) -> None:
    """Kept with the instance's state, where pickle and copy take it along."""
    versions = instance._state.__dict__.setdefault("document_versions", {})
    versions[store.id] = version


def version_of(instance: Model, store: Store) -> Any:
    """None when it was not read from, or written to, this store."""
    return instance._state.__dict__.get("document_versions", {}).get(store.id)


def forget(instance: Model, store: Store) -> None:
    instance._state.__dict__.get("document_versions", {}).pop(store.id, None)
