"""What synchronous code is told that uses a QuerySet which is not for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from poolapp.managers.postgres.going import is_native


def refusing(
    kind: type, name: str, what: str, instead: str, *, unless: Callable[[Any], bool] | None = None
) -> Callable[..., Any]:
    """The method of a class of QuerySets, which raises TypeError for synchronous code that does
    not run natively: it would ask the database. ``unless`` tells of a QuerySet when it won't."""
    method = getattr(kind, name)

    @wraps(method)
    def refusing_method(self: Any, *args: Any, **named: Any) -> Any:
        if not (is_native() or (unless is not None and unless(self))):
            raise refusal(self, what, instead)
        return method(self, *args, **named)

    return refusing_method


def refusal(queryset: Any, what: str, instead: str) -> TypeError:
    """``what`` was used, where ``instead`` is the asynchronous form."""
    return TypeError(
        f"a {type(queryset).__name__} (of {queryset.model.__name__}) is asynchronous: instead of "
        f"{what} use '{instead}'. Synchronous code can use the model's other manager, or run by "
        f"'await pools[alias].natively(function)'."
    )


def is_cached(queryset: Any) -> bool:
    """Whether its rows were fetched."""
    return queryset._result_cache is not None


def is_complete(queryset: Any) -> bool:
    """Whether its rows were fetched, with what was to be prefetched for them."""
    return is_cached(queryset) and (
        queryset._prefetch_done or not queryset._prefetch_related_lookups
    )
