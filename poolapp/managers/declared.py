"""Which managers of documents the models of a project declare."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from poolapp.managers.documents.manager import DocumentManager


def declared() -> list[DocumentManager[Any]]:
    """Of every installed model, in their order; those that a model inherits are its own, but a
    proxy's are those of the model it stands for."""
    found: list[DocumentManager[Any]] = []
    for model in apps.get_models(include_swapped=False):
        if model._meta.proxy:
            continue
        names: dict[str, DocumentManager[Any]] = {}
        for parent in model.__mro__:
            for name, value in vars(parent).items():
                if isinstance(value, DocumentManager):
                    names.setdefault(name, value)
        found += [getattr(model, name) for name in sorted(names) if hasattr(model, name)]
    return found


def name_of(manager: DocumentManager[Any]) -> str:
    """``shop.Article.search``."""
    return f"{manager.model._meta.label}.{manager.name}"
