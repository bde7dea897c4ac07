"""Back-pressure from a slow browser to the consumer that writes to it.

Most ASGI servers have ``await send(...)`` wait while the browser takes nothing more. Daphne lets
the messages pile up in Twisted's transport. But Twisted tells a transport's producer when to pause,
so one is registered that a consumer can wait for.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Pace:
    """Twisted's push producer of one browser's transport: whether it takes more now."""

    def __init__(self) -> None:
        self._resumed: asyncio.Future[None] | None = None

    async def room(self) -> None:
        """Wait until less than Twisted's buffer (64 KiB) waits to be taken by the browser."""
        while self._resumed is not None:
            await asyncio.shield(self._resumed)

    # Twisted's names (IPushProducer).

    def pauseProducing(self) -> None:  # noqa: N802
        if self._resumed is None:
            self._resumed = asyncio.get_running_loop().create_future()

    def resumeProducing(self) -> None:  # noqa: N802
        if self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

    def stopProducing(self) -> None:  # noqa: N802
        self.resumeProducing()  # the browser is gone: nothing waits for it any more


def pace_of(send: Callable[..., Any]) -> Pace | None:
    """Of the browser to which an ASGI ``send`` of Daphne's writes; None where another server runs,
    whose ``send`` waits by itself."""
    daphne = sys.modules.get("daphne.ws_protocol")
    if daphne is None:
        return None
    for each in _behind(send):
        if isinstance(each, daphne.WebSocketProtocol):
            pace = Pace()
            # The HTTP channel that began the connection is still registered, and has no say.
            each.transport.unregisterProducer()
            each.transport.registerProducer(pace, True)
            return pace
    return None


def _behind(send: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a callable was made of, through the wrappers of middleware."""
    left: list[Any] = [send]
    seen: set[int] = set()
    while left:
        each = left.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, functools.partial):
            left += [*each.args, each.func]
        elif inspect.ismethod(each):
            left += [value for value in vars(each.__self__).values() if callable(value)]
        elif inspect.isfunction(each):
            left += _enclosed(each)


def _enclosed(function: Any) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            if callable(cell.cell_contents):
                yield cell.cell_contents
        except ValueError:  # it is empty
            continue
