"""Automatic pipelining: commands that tasks send at the same time share a round trip."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any

from poolapp.core.exceptions import PoolTimeout
from poolapp.core.lease import Lease

if TYPE_CHECKING:
    from poolapp.backends.redis.pool import RedisPool

LONGEST = 256
"""Commands in one batch, at the most: what one slow reply holds up stays bounded."""

TOLERANCE = 0.02
"""Seconds by which a command may have waited less than ACQUIRE_TIMEOUT when it times out."""


class Command:
    """One that waits for its answer."""

    __slots__ = ("answer", "args", "lease", "options", "since")

    def __init__(
        self,
        args: tuple[Any, ...],
        options: dict[str, Any],
        lease: Lease[Any],
        answer: asyncio.Future[Any],
        since: float,
    ) -> None:
        self.args = args
        self.options = options
        self.lease = lease
        self.answer = answer
        self.since = since


class Coalescer:
    """Collects the commands of one turn of the loop and sends them as one pipeline.

    A batch is one lease of the pool, acquired by a task of its own in the name of the first
    command; those that come while it waits for the lease go along, up to ``LONGEST``. So a lone
    command waits for nobody, and the busier the pool, the longer the batches.

    Each caller has an answer or an error of its own. One that is cancelled just stops listening:
    its command may have been sent.
    """

    def __init__(self, pool: RedisPool) -> None:
        self._pool = pool
        self._waiting: deque[Command] = deque()
        self._senders: set[asyncio.Task[None]] = set()
        self._coming: set[asyncio.Task[Any] | None] = set()
        """Senders that have no lease yet, and so have not taken their commands."""
        self._due = False

    async def submit(
        self, args: tuple[Any, ...], options: dict[str, Any], lease: Lease[Any]
    ) -> Any:
        pool = self._pool
        if get_ident() != pool._thread:
            pool._insist_on_loop()
        answer: asyncio.Future[Any] = pool.loop.create_future()
        self._waiting.append(Command(args, options, lease, answer, pool.clock()))
        if not self._due:
            self._due = True
            pool.loop.call_soon(self._send_waiting)  # after the others of this turn
        return await answer

    def _send_waiting(self) -> None:
        self._due = False
        while len(self._coming) * LONGEST < len(self._waiting):
            first = self._waiting[len(self._coming) * LONGEST]
            # A copy, since that command may go with another batch, and be first again. In an empty
            # context, since what a batch opens outlives its callers.
            sending = self._send(copy.copy(first.lease))
            sender = self._pool.loop.create_task(sending, context=Context())
            self._senders.add(sender)
            self._coming.add(sender)
            sender.add_done_callback(self._ended)

    def _ended(self, sender: asyncio.Task[None]) -> None:
        self._senders.discard(sender)
        self._coming.discard(sender)
        if sender.cancelled():
            # Nobody does that but the end of the loop. It is the callers' end too, except for those
            # who came meanwhile to say goodbye.
            self._waiting.extend(self._take(len(self._waiting)))
        self._send_waiting()

    def _take(self, count: int) -> list[Command]:
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        return [command for command in taken if not command.answer.done()]

    async def _send(self, lease: Lease[Any]) -> None:
        batch: list[Command] | None = None

        async def operation(client: Any) -> None:
            nonlocal batch
            self._coming.discard(asyncio.current_task())
            batch = self._take(LONGEST)
            if batch:
                # It imports redis-py, which is there by now.
                from poolapp.backends.redis.exchange import exchange

                await exchange(client, batch)

        try:
            await self._pool._perform(lease, operation)
        except asyncio.CancelledError:
            for command in batch or ():
                command.answer.cancel()
            raise
        except Exception as error:
            _fail(self._refused(error) if batch is None else batch, error)

    def _refused(self, error: Exception) -> list[Command]:
        """Those for whom the lease was that was not given."""
        if not isinstance(error, PoolTimeout):
            return self._take(LONGEST)
        # Those who came later have some of their time left.
        since = self._pool.clock() - self._pool.config.acquire_timeout + TOLERANCE
        late = sum(command.since <= since for command in self._waiting)
        return self._take(min(late, LONGEST))


def _fail(commands: list[Command], error: Exception) -> None:
    """Tell each of an error of its own: one that several tasks raise would collect the tracebacks
    of all of them."""
    for command in commands:
        if not command.answer.done():
            own = copy.copy(error)
            own.__cause__ = error.__cause__
            command.answer.set_exception(own)
