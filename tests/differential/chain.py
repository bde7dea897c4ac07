"""The asynchronous form of a chain of calls that is written for ``objects``."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from django.db import models

from poolapp.managers import PostgresManager


@cache
def rows_of(model: type[models.Model]) -> PostgresManager[Any]:
    """A PostgresManager that has all of the model's default manager."""
    default = model._default_manager
    kind: Any = PostgresManager.from_queryset(default._queryset_class)
    if type(default) is not models.Manager:
        kind = type(f"Native{type(default).__name__}", (type(default), kind), {})
    manager = kind()
    manager.model, manager.name = model, "rows"
    return manager


class Chain:
    """Stands for a manager or a QuerySet: what fetches is replaced by its asynchronous form."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.rows, f"a{name}", None)
        if found is None:
            found = getattr(self.rows, name)
        is_method = callable(found) and not isinstance(found, type)
        return self._chained(found) if is_method else found

    def _chained(self, method: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            found = method(*map(_unchained, args), **named)
            return found if inspect.isawaitable(found) else Chain(found)

        return call

    def __getitem__(self, key: Any) -> Any:
        return Chain(self.rows[key])

    def __and__(self, other: Any) -> Chain:
        return Chain(self.rows & _unchained(other))

    def __or__(self, other: Any) -> Chain:
        return Chain(self.rows | _unchained(other))

    def __xor__(self, other: Any) -> Chain:
        return Chain(self.rows ^ _unchained(other))


def _unchained(value: Any) -> Any:
    return value.rows if isinstance(value, Chain) else value
