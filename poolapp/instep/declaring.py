"""Which models keep which documents in step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from django.apps import apps
from django.db.models import Model

M = TypeVar("M", bound=type[Model])

_declared: dict[type[Model], tuple[str, ...]] = {}


def in_step(*managers: str) -> Callable[[M], M]:
    """Decorate a model: each row that is saved or deleted is written to, or removed from, the
    documents of these managers, named as the model's attributes, after the commit.

    ``update()``, ``bulk_create()`` and the like send no signals: call ``mark`` with their QuerySet.
    """
    if not managers or not all(isinstance(each, str) for each in managers):
        raise TypeError('name the document managers: @in_step("search")')

    def declare(model: M) -> M:
        _declared[model] = managers
        targets_of.cache_clear()
        return model

    return declare


def declared() -> dict[type[Model], tuple[str, ...]]:
    """Each decorated model of an installed app and the names of its managers."""
    return {
        model: names
        for model, names in _declared.items()
        if model._meta.app_label in apps.app_configs
    }


@lru_cache(maxsize=4096)
def targets_of(model: type[Model]) -> tuple[tuple[type[Model], str], ...]:
    """The models and managers whose documents change with a row of a model: its own, those of its
    parents, and of what it is a proxy of."""
    return tuple(
        (each, name)
        for each, names in _declared.items()
        if issubclass(model, each)
        for name in names
    )
