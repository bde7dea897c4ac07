"""Whether a value of ``OPTIONS`` is what it has to be."""

from __future__ import annotations

import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any


def is_number(value: object) -> bool:
    """A number, and a finite one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_positive(value: object) -> bool:
    return is_number(value) and value > 0  # type: ignore[operator]


def is_count(value: object) -> bool:
    """A whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def load(given: Any) -> Callable[..., Any]:
    """The function that an option is, or whose dotted path it is.

    Raises ImportError, AttributeError or ValueError when there is none.
    """
    found = pkgutil.resolve_name(given) if isinstance(given, str) else given
    if not callable(found):
        raise ValueError(f"{given!r} is not callable")
    return found  # type: ignore[no-any-return]


def is_function(value: object) -> bool:
    """A function, or the dotted path of one."""
    try:
        return callable(load(value))
    except (ImportError, AttributeError, ValueError):
        return False


def is_async_function(value: object) -> bool:
    """The same of an async one."""
    return is_function(value) and inspect.iscoroutinefunction(load(value))
