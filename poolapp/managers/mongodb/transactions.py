"""``atomic`` where no loop runs yet: as a decorator of a module's functions."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from poolapp.core.registry import pools

P = ParamSpec("P")
T = TypeVar("T")


class atomic:  # noqa: N801 - it is used like Django's function of this name
    """``@atomic("events")``, and ``async with atomic("events")``: ``pools["events"].atomic()``,
    looked up when it is used. The keywords are the same."""

    def __init__(self, alias: str, **options: Any) -> None:
        self._alias = alias
        self._options = options
        self._entered: list[Any] = []

    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        @functools.wraps(function)
        async def in_transaction(*args: P.args, **named: P.kwargs) -> T:
            block: Any = pools[self._alias].atomic(**self._options)  # type: ignore[attr-defined]
            result: T = await block(function)(*args, **named)
            return result

        return in_transaction

    async def __aenter__(self) -> Any:
        block: Any = pools[self._alias].atomic(**self._options)  # type: ignore[attr-defined]
        session = await block.__aenter__()
        self._entered.append(block)
        return session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._entered.pop().__aexit__(kind, error, traceback)
