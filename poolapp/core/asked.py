"""Where to connect to, when only a function knows: for passwords that are changed or expire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import TYPE_CHECKING

from poolapp.core.exceptions import ConfigurationError, PoolError

if TYPE_CHECKING:
    from poolapp.core.config import Location


class AskedLocations:
    """Asks a function before each connect, and keeps its last answer.

    The function may take its time (a secret manager): it is called in a thread of its own, and all
    who ask meanwhile, on whatever loop, wait for that one answer. So one that hangs costs a thread,
    not one for each connect, and as a daemon it holds up nobody's end.

    Two are equal when their functions are.
    """

    def __init__(self, function: Callable[[], tuple[Location, ...]]) -> None:
        self.function = function
        self._last: tuple[Location, ...] = ()
        self.forget()

    def forget(self) -> None:
        """In a forked child, which has neither the thread nor whoever holds the lock."""
        self._lock = Lock()
        self._asking: Future[tuple[Location, ...]] | None = None

    def __call__(self) -> tuple[Location, ...]:
        """The last answer; ``()`` before the first. Asks nobody."""
        return self._last

    async def ask(self) -> tuple[Location, ...]:
        """Ask anew. Raises ConfigurationError when the answer makes no sense, PoolError when the
        function fails."""
        with self._lock:
            asking = self._asking
            if asking is None:
                asking = self._asking = Future()
                # So that who is cancelled does not cancel it for the others.
                asking.set_running_or_notify_cancel()
                Thread(
                    target=self._answer, args=(asking,), name="poolapp-location", daemon=True
                ).start()
        return await asyncio.wrap_future(asking)

    def _answer(self, asking: Future[tuple[Location, ...]]) -> None:
        answer: tuple[Location, ...] = ()
        error: Exception | None = None
        try:
            answer = self._last = self.function()
        except ConfigurationError as wrong:
            error = wrong
        except BaseException as failure:
            kind, text = type(failure).__name__, str(failure)
            error = PoolError(f"{self!r} failed: {kind}{': ' if text else ''}{text}")
        with self._lock:
            self._asking = None
        if error is None:
            asking.set_result(answer)
        else:
            asking.set_exception(error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AskedLocations) and self.function == other.function

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", None) or str(self.function)
        return f"{name}()"
