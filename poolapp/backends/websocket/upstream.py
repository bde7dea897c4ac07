"""The one connection that all subscribers of a pool share, and how it comes back when lost."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Hashable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from poolapp.backends.websocket import options
from poolapp.core.exceptions import BackendUnavailable, PoolClosed, PoolError, PoolTimeout
from poolapp.core.lease import LastingLease
from poolapp.core.subscription import Audience, Gap, Message, Subscription
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from poolapp.backends.websocket.pool import WebSocketPool

logger = logging.getLogger("poolapp.websocket")

BASE_DELAY = 0.1
"""Seconds before the first attempt to connect again, at the most."""

TURN = 8
"""Messages that are delivered before the subscribers have a turn to read them: many may come in
one packet, and whoever keeps up must not lose any of them."""


class Upstream:
    """Holds one connection of the pool from the first subscriber to the last, and ``linger``
    seconds longer; tells all of them what arrives.

    A connection that is lost is opened again, after a random time between 0 and
    ``min(BASE_DELAY * 2**n, reconnect)`` seconds: the "full jitter" of Brooker, "Exponential
    Backoff And Jitter" (2015). ``n`` goes up with each failure in a row; a connection that was
    lost sooner than it took to wait for is one as well, so that a server that accepts and hangs up
    is not hammered. Before anything else that comes on the new connection, each subscriber is
    told of the gap.
    """

    def __init__(self, pool: WebSocketPool, lease: LastingLease[Any]) -> None:
        config = pool.config
        self._pool = pool
        self._lease = lease
        self._on_connect = options.hook(config, "on_connect")
        self._longest_wait = options.reconnect_limit(config)
        self._linger = float(config.options.get("linger", options.LINGER))
        self.audience = Audience(pool.topic_of)
        self.connected = False
        self.received = 0
        """Messages, since the first connect."""
        self._joining = 0
        self._ready = pool.loop.create_future()
        self._asked: set[Hashable] = set()
        """The topics that this connection was asked for."""
        self._last_sign = 0.0
        """``time.time()`` of the last message, or of the connect."""
        self._failures = 0
        self._gap: Gap | None = None
        """What the subscribers have to be told as soon as there is a connection again."""
        self._cut: asyncio.Timeout | None = None
        """Ends the reading when it is to be renewed."""
        self._renewal = ""
        self._faulty_topics = False
        self._leaving: asyncio.TimerHandle | None = None
        self._over = False
        # In an empty context: it outlives the subscriber who happens to be the first.
        self._task = pool.loop.create_task(self._run(), context=Context())
        self._task.add_done_callback(self._ended)

    # -- the subscribers' side -----------------------------------------------------------------

    async def join(self, subscription: Subscription) -> None:
        """Raises what ``acquire`` raises, when there is no connection yet, or not just now."""
        self._stay()
        self._joining += 1
        try:
            await self._until_connected()
            if subscription.topic is not None and subscription.topic not in self._asked:
                await self._ask(self._lease.connection, frozenset({subscription.topic}))
            self.audience.add(subscription)
        finally:
            self._joining -= 1
            self._leave_if_alone()

    async def _until_connected(self) -> None:
        patience = self._pool.config.acquire_timeout
        try:
            async with asyncio.timeout(patience):
                while not self.connected:
                    await asyncio.shield(self._ready)
        except TimeoutError:
            raise PoolTimeout(
                f"pool {self._pool.alias!r}: there was no connection to subscribe on within "
                f"{patience:g} s; {self._pool._situation()}"
            ) from None

    def leave(self, subscription: Subscription) -> None:
        self.audience.discard(subscription)
        self._asked &= self.audience.topics
        self._leave_if_alone()

    def _leave_if_alone(self) -> None:
        if self._over or self._joining or self.audience or self._leaving is not None:
            return
        self._leaving = self._pool.loop.call_later(
            self._linger, self.end, "idle", context=Context()
        )

    def _stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    # -- the pool's side -----------------------------------------------------------------------

    def renew(self, reason: str) -> None:
        """Have the connection replaced by a new one."""
        if self._cut is not None:
            self._renewal = reason
            self._cut.reschedule(self._pool.loop.time())

    def end(self, reason: str, error: PoolError | None = None) -> None:
        """Close the connection and end every subscription; nobody can join any more."""
        if self._over:
            return
        self._over = True
        self._stay()
        self.connected = False
        self._give_back(reason)
        self._task.cancel()
        self.audience.end(error)
        self._answer(error or PoolClosed(f"pool {self._pool.alias!r} is being closed"))
        self._pool.forget(self)

    def abandon(self) -> None:
        """The loop is closed: nobody will ever read again, and nobody needs to hear of it."""
        task: Any = self._task
        task._log_destroy_pending = False

    def _ended(self, task: asyncio.Task[None]) -> None:
        # By itself, when its loop ends and cancels all that runs there; or by a fault of ours.
        if not task.cancelled() and (fault := task.exception()) is not None:
            logger.error(
                "Pool %r: the upstream failed",
                self._pool.alias,
                exc_info=fault,
                extra={"alias": self._pool.alias, "event": "upstream_failed"},
            )
        self.end("shutdown")

    def _give_back(self, reason: str) -> None:
        """Return the connection to be closed: what its server was asked for is not undone."""
        entry = self._lease.entry
        if entry is not None:
            entry.condemn(reason)
            self._lease.release()

    def _answer(self, error: PoolError) -> None:
        """Tell those who wait for the connection that there is none."""
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # nobody may wait for it
        self._ready = self._pool.loop.create_future()
        if self._over:
            self._ready.set_exception(error)
            self._ready.exception()

    # -- the connection ------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                connection = await self._lease.__aenter__()
            except PoolError as refusal:
                if not self.audience or isinstance(refusal, PoolClosed):
                    self.end("idle", refusal)
                    return
                self._answer(refusal)
                await self._pause()
                continue
            opened = self._pool.clock()
            reason = await self._use(connection)
            self.connected = False
            self._give_back("lost")
            gap = Gap(since=_moment(self._last_sign), reason=reason)
            self._gap = gap if self._gap is None else self._gap.joined(gap)
            logger.warning(
                "Pool %r: the upstream was lost: %s",
                self._pool.alias,
                reason,
                extra={"alias": self._pool.alias, "event": "upstream_lost"},
            )
            error = BackendUnavailable(
                f"pool {self._pool.alias!r}: the upstream was lost: {reason}"
            )
            if not self._longest_wait or not self.audience:
                self.end("idle", error)
                return
            self._answer(error)
            if self._pool.clock() - opened >= self._ceiling:
                self._failures = 0
            await self._pause()

    @property
    def _ceiling(self) -> float:
        return min(BASE_DELAY * 2.0 ** min(self._failures, 30), self._longest_wait)

    async def _pause(self) -> None:
        wait = self._pool._supply.random() * self._ceiling
        self._failures += 1
        await asyncio.sleep(wait)

    async def _use(self, connection: ClientConnection) -> str:
        """Read until there is no more to be read; says why."""
        from websockets.exceptions import WebSocketException

        self._last_sign = time.time()
        self._renewal = ""
        try:
            async with asyncio.timeout(None) as self._cut:
                self._asked = set()
                await self._ask(connection, self.audience.topics)
                if self._gap is not None:
                    self.audience.tell_gap(self._gap)
                    self._gap = None
                self.connected = True
                self._ready.set_result(None)
                self._ready = self._pool.loop.create_future()
                await self._read(connection)
        except _Unasked as error:
            return error.said
        except (WebSocketException, OSError) as error:
            return self._renewal or describe(error, self._pool.config.scrub)
        finally:
            self._cut = None
        raise AssertionError("reading ends by an error")

    async def _ask(self, connection: ClientConnection, topics: frozenset[Hashable]) -> None:
        self._asked |= topics
        if self._on_connect is None:
            return
        try:
            async with asyncio.timeout(self._pool.config.connect_timeout):
                await self._on_connect(connection, topics)
        except Exception as error:
            self._asked -= topics
            if not isinstance(error, OSError):
                logger.exception(
                    "Pool %r: on_connect failed",
                    self._pool.alias,
                    extra={"alias": self._pool.alias, "event": "hook_failed"},
                )
            said = f"on_connect failed: {describe(error, self._pool.config.scrub)}"
            raise _Unasked(self._pool.alias, said) from error

    async def _read(self, connection: ClientConnection) -> None:
        deliver = self.audience.deliver
        while True:
            message: Message = await connection.recv()
            self._last_sign = time.time()
            self.received += 1
            try:
                deliver(message)
            except Exception:
                if not self._faulty_topics:
                    self._faulty_topics = True
                    logger.exception(
                        "Pool %r: topic_of failed; such messages reach only those who subscribed "
                        "without a topic (told once)",
                        self._pool.alias,
                        extra={"alias": self._pool.alias, "event": "hook_failed"},
                    )
            if not self.received % TURN:
                await asyncio.sleep(0)


class _Unasked(BackendUnavailable):
    """The server was not asked for the messages that subscribers want."""

    def __init__(self, alias: str, said: str) -> None:
        super().__init__(f"pool {alias!r}: {said}")
        self.said = said


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
