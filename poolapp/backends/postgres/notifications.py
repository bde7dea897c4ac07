"""LISTEN: the notifications of some channels, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from poolapp.core.exceptions import BackendUnavailable, PoolError
from poolapp.core.lease import LastingLease

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger("poolapp.postgres")


class Notification(NamedTuple):
    """One ``NOTIFY channel, 'payload'``; ``pid`` is the server process that sent it."""

    channel: str
    payload: str
    pid: int


class Notifications:
    """What ``pool.listen("channel", ...)`` gives: ``async with`` listens, ``async for`` reads.

    It holds one connection of the pool until the block ends. The iteration ends when the pool
    begins to close, and raises BackendUnavailable when the connection is lost: what was sent
    from then on is gone, so listen again and read what you may have missed. At most ``limit``
    notifications wait to be read; beyond that the oldest is dropped, and counted in ``dropped``.
    """

    def __init__(
        self,
        lease: LastingLease[Any],
        channels: tuple[str, ...],
        limit: int,
        listening: set[Notifications],
    ) -> None:
        self.channels = channels
        self.dropped = 0
        """How many were never read because ``limit`` of them waited already."""
        self._lease = lease
        self._limit = limit
        self._waiting: deque[Notification] = deque()
        self._arrived = asyncio.Event()
        self._over = False
        self._lost = False
        self._listening = listening

    async def __aenter__(self) -> Self:
        connection = await self._lease.__aenter__()
        self._listening.add(self)
        try:
            connection.add_termination_listener(self._connection_lost)
            for channel in self.channels:
                await connection.add_listener(channel, self._heard)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        self._listening.discard(self)
        # The reset that the pool owes a connection so returned says UNLISTEN.
        self._lease.connection.remove_termination_listener(self._connection_lost)
        self._lease.release(error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        if self._lease.entry is None:
            raise PoolError("listen() is used with 'async with': nothing is listened to here")
        while not self._waiting:
            if self._lost:
                raise BackendUnavailable(
                    f"pool {self._lease.pool.alias!r}: the connection that listened was lost; "
                    "notifications sent since then are gone"
                )
            if self._over:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def end(self) -> None:
        """End the iteration once what has arrived is read."""
        self._over = True
        self._arrived.set()

    def _heard(
        self, connection: asyncpg.Connection[Any], pid: int, channel: str, payload: object
    ) -> None:
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            if not self.dropped:
                logger.warning(
                    "Pool %r: %d notifications wait to be read; the oldest are dropped",
                    self._lease.pool.alias,
                    self._limit,
                    extra={"alias": self._lease.pool.alias, "event": "notifications_dropped"},
                )
            self.dropped += 1
        self._waiting.append(Notification(channel, str(payload), pid))
        self._arrived.set()

    def _connection_lost(self, connection: asyncpg.Connection[Any]) -> None:
        self._lost = True
        self._arrived.set()
