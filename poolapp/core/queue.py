"""Those who wait for a connection: first come, first served, and each only so long."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")

FOREVER = float("inf")


class Queue(Generic[T]):
    """Futures in the order of their arrival; ``expired(waiter, waited)`` is called for one whose
    time is over, after it has left the queue.

    A waiter that was cancelled is done at once, but leaves only when its task runs: whoever serves
    the queue must pass it over, and the queue's length may count it for one turn of the loop.
    """

    __slots__ = ("_expired", "_loop", "_timer", "waiters")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        expired: Callable[[asyncio.Future[T], float], None],
    ) -> None:
        self._loop = loop
        self._expired = expired
        self.waiters: OrderedDict[asyncio.Future[T], tuple[float, float]] = OrderedDict()
        """Each with its deadline, in the loop's time, and its patience."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self, patience: float) -> asyncio.Future[T]:
        """Stand in the queue for at most ``patience`` seconds.

        Nearly all have the same patience, and so expire in the order in which they came: one timer
        serves them all, and is neither set nor cancelled for each.
        """
        waiter: asyncio.Future[T] = self._loop.create_future()
        deadline = self._loop.time() + patience
        self.waiters[waiter] = (deadline, patience)
        if self._timer is None:
            # In an empty context: it sets itself again, and would keep this caller's.
            self._timer = Context().run(self._loop.call_at, deadline, self._expire_due)
        return waiter

    def join_for(self, patience: float) -> tuple[asyncio.Future[T], asyncio.TimerHandle]:
        """The same with a patience of one's own, and a timer that the caller cancels."""
        waiter: asyncio.Future[T] = self._loop.create_future()
        self.waiters[waiter] = (FOREVER, patience)
        return waiter, self._loop.call_later(patience, self.expire, waiter, patience)

    def leave(self, waiter: asyncio.Future[T]) -> None:
        self.waiters.pop(waiter, None)

    def serve(self, value: T) -> bool:
        """Hand the value to the first who still waits; False when nobody does."""
        waiters = self.waiters
        while waiters:
            waiter, _ = waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(value)
                return True
        return False

    def clear(self) -> list[asyncio.Future[T]]:
        """Empty the queue; those who still waited, in their order."""
        waiters, self.waiters = self.waiters, OrderedDict()
        return [waiter for waiter in waiters if not waiter.done()]

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def expire(self, waiter: asyncio.Future[T], patience: float) -> None:
        """End the wait of one who still waits."""
        if not waiter.done():
            self.waiters.pop(waiter, None)
            self._expired(waiter, patience)

    def _expire_due(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = []
        for waiter, (deadline, patience) in self.waiters.items():
            if deadline <= now:
                due.append((waiter, patience))
            elif deadline < FOREVER:
                self._timer = self._loop.call_at(deadline, self._expire_due)
                break
        for waiter, patience in due:
            self.expire(waiter, patience)
