"""Borrow and give back, alone and in a crowd: the loops that are timed in the core's suite.

Each way to borrow (``async with``; a pair of calls) has loops of its own, so that nobody pays for
a wrapper that makes them look alike.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

TASKS = 100
CONNECTIONS = 10


class Order:
    """Counts the acquires that were served while an earlier one still waited."""

    def __init__(self) -> None:
        self.acquires = 0
        self.overtakes = 0
        self._waiting: OrderedDict[int, None] = OrderedDict()

    def asks(self) -> int:
        self.acquires += 1
        self._waiting[self.acquires] = None
        return self.acquires

    def served(self, number: int) -> None:
        if next(iter(self._waiting)) != number:
            self.overtakes += 1
        del self._waiting[number]

    @property
    def share(self) -> float:
        return self.overtakes / self.acquires


class Borrower(Protocol):
    """One pool and the way its documentation tells to borrow from it."""

    async def alone(self, count: int) -> int:
        """Acquire and release, by one task."""

    async def member(self, count: int) -> None:
        """The same as one of a crowd: whoever holds a connection lets the loop turn once."""

    async def watched(self, count: int, order: Order) -> None:
        """The same as ``member``, telling the order."""


class With:
    """``async with borrow() as connection``."""

    def __init__(self, borrow: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._borrow = borrow

    async def alone(self, count: int) -> int:
        borrow = self._borrow
        for _ in range(count):
            async with borrow():
                pass
        return count

    async def member(self, count: int) -> None:
        borrow = self._borrow
        for _ in range(count):
            async with borrow():
                await asyncio.sleep(0)

    async def watched(self, count: int, order: Order) -> None:
        for _ in range(count):
            number = order.asks()
            async with self._borrow():
                order.served(number)
                await asyncio.sleep(0)


class Pair:
    """``connection = await get()``, then ``await put(connection)``."""

    def __init__(
        self, get: Callable[[], Awaitable[Any]], put: Callable[[Any], Awaitable[None]]
    ) -> None:
        self._get = get
        self._put = put

    async def alone(self, count: int) -> int:
        get, put = self._get, self._put
        for _ in range(count):
            await put(await get())
        return count

    async def member(self, count: int) -> None:
        get, put = self._get, self._put
        for _ in range(count):
            connection = await get()
            await asyncio.sleep(0)
            await put(connection)

    async def watched(self, count: int, order: Order) -> None:
        for _ in range(count):
            number = order.asks()
            connection = await self._get()
            order.served(number)
            await asyncio.sleep(0)
            await self._put(connection)


class Floor:
    """The least a fair pool can do: a deque of connections and one of futures. No timeout, no
    cancellation, no statistics."""

    def __init__(self) -> None:
        self._idle = deque(range(CONNECTIONS))
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._loop = asyncio.get_running_loop()

    def _put(self, connection: int) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(connection)
        else:
            self._idle.append(connection)

    def _queue(self) -> asyncio.Future[int]:
        future = self._loop.create_future()
        self._waiting.append(future)
        return future

    async def alone(self, count: int) -> int:
        for _ in range(count):
            connection = self._idle.pop() if self._idle else await self._queue()
            self._put(connection)
        return count

    async def member(self, count: int) -> None:
        for _ in range(count):
            connection = self._idle.pop() if self._idle else await self._queue()
            await asyncio.sleep(0)
            self._put(connection)

    async def watched(self, count: int, order: Order) -> None:
        for _ in range(count):
            number = order.asks()
            connection = self._idle.pop() if self._idle else await self._queue()
            order.served(number)
            await asyncio.sleep(0)
            self._put(connection)


class TimedSemaphore(AbstractAsyncContextManager[None]):
    """A semaphore whose acquire is bounded, as every pool's has to be."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore

    async def __aenter__(self) -> None:
        async with asyncio.timeout(5):
            await self._semaphore.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._semaphore.release()


class Nothing:
    """Borrows nothing: what the crowd itself and its turns of the loop cost."""

    async def member(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


async def crowd(member: Callable[[int], Awaitable[None]], count: int) -> int:
    """``count`` acquires by all tasks together."""
    each = max(1, count // TASKS)
    await asyncio.gather(*(member(each) for _ in range(TASKS)))
    return each * TASKS
