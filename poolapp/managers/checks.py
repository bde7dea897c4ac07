"""Django's system check of the managers that models declare; nothing connects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured
from django.db import NotSupportedError
from django.utils.module_loading import import_string

from poolapp.core.exceptions import ConfigurationError
from poolapp.core.registry import pools
from poolapp.managers.declared import declared, name_of
from poolapp.managers.documents.manager import DocumentManager


def check_managers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Whether each manager has a pool of its kind, and a place that is its own."""
    messages: list[CheckMessage] = []
    sound = []
    for manager in declared():
        wrong = _pool(manager) or _store(manager)
        if wrong is None:
            sound.append(manager)
        else:
            messages += [wrong] if isinstance(wrong, CheckMessage) else []
    for one, other in combinations(sound, 2):
        if type(one.store()) is type(other.store()) and one.pool == other.pool:
            messages += _overlap(one, other)
    return messages


def _pool(manager: DocumentManager[Any]) -> CheckMessage | bool | None:
    """True: it is wrong, and told already."""
    alias = manager.pool
    if alias in pools.faults:
        return True
    try:
        config = pools.config(alias)
    except (ConfigurationError, TypeError) as error:
        return _error(
            manager, f"has no pool: {error}.", f"Declare {alias!r} in POOLS, or name another.", 14
        )
    try:
        kind = import_string(config.backend).pool_class
    except (AttributeError, ImportError):
        return None if config.backend == "custom" and not manager.needs else _unlike(manager)
    if all(hasattr(kind, name) for name in manager.needs):
        return None
    return _unlike(manager)


def _unlike(manager: DocumentManager[Any]) -> CheckMessage:
    return _error(
        manager,
        f"needs a pool of {manager.server}, and {manager.pool!r} is none.",
        f"Name an alias of POOLS whose BACKEND is of {manager.server}.",
        15,
    )


def _store(manager: DocumentManager[Any]) -> CheckMessage | None:
    try:
        manager.store()
    except (
        FieldDoesNotExist, FieldError, ImproperlyConfigured, NotSupportedError, ValueError
    ) as error:  # fmt: skip
        return _error(
            manager, f"can't be used: {error}.", "Change its arguments, or the model's fields.", 16
        )
    return None


def _overlap(one: DocumentManager[Any], other: DocumentManager[Any]) -> list[CheckMessage]:
    if not (one.overlaps(other) or other.overlaps(one)):
        return []
    if one.model is other.model:
        return []  # two ways to the same documents
    return [
        _error(
            other,
            f"would take documents of {name_of(one)} for its own: both are in pool "
            f"{other.pool!r}, at {one.store().place!r} and {other.store().place!r}.",
            "Give each an index, a collection or a prefix of its own.",
            17,
        )
    ]


def _error(manager: DocumentManager[Any], sentence: str, hint: str, number: int) -> CheckMessage:
    name = f"{type(manager).__name__} {name_of(manager)}"
    text = f"{name} {sentence}".replace("..", ".")
    return Error(text, hint=hint, obj=manager.model, id=f"poolapp.E{number:03}")
