"""Pub/sub: the messages of some channels, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Iterable, Sequence
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal, cast

from poolapp.core.exceptions import BackendUnavailable, PoolClosed
from poolapp.core.resilience import Recovery
from poolapp.core.subscription import Gap, Policy, Subscription, weight_of
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from poolapp.backends.redis.clients import PooledRedis
    from poolapp.backends.redis.pool import RedisPool

logger = logging.getLogger("poolapp.redis")

HEARTBEAT = 30.0
"""Seconds of silence after which the server is asked for a sign of life, unless
OPTIONS['health_check_interval'] says otherwise."""

Key = tuple[Literal["channel", "pattern"], str]


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """One ``PUBLISH channel data``. ``pattern`` is the one that the channel matched, None where the
    channel itself was subscribed to."""

    channel: str
    data: bytes
    """``str`` with ``OPTIONS["decode_responses"]``."""
    pattern: str | None = None

    def __len__(self) -> int:
        """Of the data: what a queue weighs it by."""
        return len(self.data)

    def __bool__(self) -> bool:
        return True


class Messages(Subscription):
    """What ``pool.subscribe("channel", ..., patterns=["news.*"])`` gives: ``async with``
    subscribes, and goes on when the server has confirmed it; ``async for`` reads.

    It gives a ``Message`` for each message, and a ``Gap`` where some may be missing: the connection
    was lost, and has been made and subscribed again by now. So whoever reads anew on a Gap what the
    messages tell of has missed nothing. Redis keeps no message for those who are not there.

    All subscriptions of a pool share one connection, outside of ``MAX_SIZE``, which is opened with
    the first and closed with the last. What arrives while the reader is busy waits: see
    Subscription for ``limit`` and ``policy``. The iteration ends when the pool begins to close.
    ``async with`` raises BackendUnavailable when it can't subscribe within ``CONNECT_TIMEOUT``.
    """

    def __init__(
        self,
        hub: Hub,
        alias: str,
        *,
        channels: Sequence[str],
        patterns: Sequence[str],
        limit: int,
        policy: Policy,
    ) -> None:
        if not channels and not patterns:
            raise ValueError("subscribe() is told channels, or patterns=[...]")
        if isinstance(patterns, str):
            raise ValueError(f"patterns must be a list, as in patterns=[{patterns!r}]")
        super().__init__(hub, name=f"pool {alias!r}", limit=limit, policy=policy)
        self.channels = tuple(channels)
        self.patterns = tuple(patterns)

    @property
    def keys(self) -> frozenset[Key]:
        found: list[Key] = [("channel", name) for name in self.channels]
        return frozenset([*found, *(("pattern", name) for name in self.patterns)])

    async def __anext__(self) -> Message | Gap:  # type: ignore[override]
        return cast("Message | Gap", await super().__anext__())


class Hub:
    """The one connection of a pool that hears messages, and all who listen to it.

    A task keeps it while anybody listens: it connects, subscribes to whatever is wanted, reads, and
    begins anew when the connection is lost.
    """

    def __init__(self, pool: RedisPool) -> None:
        self._pool = pool
        self._audience: dict[Key, tuple[Messages, ...]] = {}
        # Replaced, never changed, each tuple: one may leave while a message is being delivered.
        self._task: asyncio.Task[None] | None = None
        self._client: PooledRedis | None = None
        self._pubsub: Any = None
        self._speaking = asyncio.Lock()
        self._errands: set[asyncio.Task[None]] = set()
        self._asked: set[Key] = set()
        self._confirmed: set[Key] = set()
        self._joining: dict[Messages, asyncio.Future[None]] = {}
        self._gaps: dict[Messages, Gap] = {}
        """Who has yet to be told, when the subscription stands again."""
        self._heard = _now()
        self._over = False

    # -- listeners' side -----------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._pubsub is not None and self._audience.keys() <= self._confirmed

    async def join(self, subscription: Subscription) -> None:
        messages = cast(Messages, subscription)
        pool = self._pool
        pool._insist_on_loop()
        if self._over:
            raise PoolClosed(f"pool {pool.alias!r} is closed")
        for key in messages.keys:
            self._audience[key] = (*self._audience.get(key, ()), messages)
        confirmed = self._joining[messages] = pool.loop.create_future()
        self._confirm(messages)
        if self._task is None:
            self._task = pool.loop.create_task(self._keep(), context=Context())
        self._run_errand()
        try:
            async with asyncio.timeout(pool.config.connect_timeout):
                await confirmed
        except TimeoutError as error:
            self.leave(messages)
            raise BackendUnavailable(
                f"pool {pool.alias!r}: the server did not confirm the subscription within "
                f"{pool.config.connect_timeout:g} s"
            ) from error
        except BaseException:
            self.leave(messages)
            raise

    def leave(self, subscription: Subscription) -> None:
        messages = cast(Messages, subscription)
        self._joining.pop(messages, None)
        self._gaps.pop(messages, None)
        for key in messages.keys:
            rest = tuple(each for each in self._audience.get(key, ()) if each is not messages)
            if rest:
                self._audience[key] = rest
            else:
                self._audience.pop(key, None)
        if self._audience:
            self._run_errand()
        elif self._task is not None:
            # It closes its connection by itself; who joins in the meantime has another one opened.
            self._client = self._pubsub = None
            self._confirmed.clear()
            self._task.cancel()
            self._errands.add(self._task)
            self._task.add_done_callback(self._errands.discard)
            self._task = None

    def _everyone(self) -> set[Messages]:
        return {each for some in self._audience.values() for each in some}

    # -- the pool's side -----------------------------------------------------------------------

    def end(self) -> None:
        """End every iteration once what has arrived is read; nobody may join any more."""
        self._over = True
        for each in self._everyone():
            each.end()

    async def close(self) -> None:
        self.end()
        tasks = [task for task in (self._task, *self._errands) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def drop(self, reason: str) -> None:
        """Connect anew, if connected."""
        if self._client is not None:
            logger.info(
                "Pool %r: pub/sub is connected anew: %s",
                self._pool.alias,
                reason,
                extra={"alias": self._pool.alias, "event": "upstream_renewed"},
            )
            self._pool.backend.terminate(self._client)

    def abandon(self) -> None:
        self._over = True
        if self._client is not None:
            self._pool.backend.abandon(self._client)

    # -- keeping the connection ----------------------------------------------------------------

    async def _keep(self) -> None:
        pool = self._pool
        recovery = Recovery(pool.config.breaker, pool._supply.random)
        while self._audience and not self._over:
            try:
                await self._listen(recovery)
            except Exception as error:
                text = describe(error, pool.config.scrub)
            self._note_loss(text)
            recovery.failed(text, pool.clock(), alone=False)
            await asyncio.sleep(max(0.0, recovery.retry_at - pool.clock()))

    async def _listen(self, recovery: Recovery) -> None:
        pool = self._pool
        backend: Any = pool.backend
        client = None
        try:
            async with asyncio.timeout(pool.config.connect_timeout):
                client = self._client = await backend.connect_for_messages()
                pubsub = client.pubsub()
                await pubsub.connect()
            self._pubsub = pubsub
            self._asked.clear()
            self._confirmed.clear()
            self._heard = _now()
            await self._speak()
            recovery.succeeded(1)
            await self._read(pubsub)
        finally:
            if client is not None:
                backend.terminate(client)
            if self._client is client:
                self._client = self._pubsub = None
                self._confirmed.clear()

    async def _read(self, pubsub: Any) -> None:
        patience = self._pool.config.options.get("health_check_interval", HEARTBEAT) or None
        asked = False
        while True:
            timeout = self._pool.config.check_timeout if asked else patience
            heard = await pubsub.get_message(timeout=timeout)
            if heard is not None:
                asked = False
                self._heard = _now()
                self._take(heard)
            elif asked:
                raise ConnectionError("the server gave no sign of life")
            else:
                asked = True
                async with self._speaking:
                    await pubsub.ping()

    def _run_errand(self) -> None:
        """Tell the server what is wanted and what not, as far as it does not know."""
        errand = self._pool.loop.create_task(self._errand(), context=Context())
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _errand(self) -> None:
        try:
            await self._speak()
        except Exception:
            # The reader finds that the connection is lost.
            if self._client is not None:
                self._pool.backend.terminate(self._client)

    async def _speak(self) -> None:
        # One at a time, and each looks anew at what is wanted: so a name that is left and joined in
        # the same moment is subscribed to in the end.
        async with self._speaking:
            pubsub = self._pubsub
            if pubsub is None:
                return
            wanted = set(self._audience)
            new, old = wanted - self._asked, self._asked - wanted
            self._asked |= new
            self._asked -= old
            self._confirmed -= old
            for say, kind, keys in (
                (pubsub.unsubscribe, "channel", old),
                (pubsub.punsubscribe, "pattern", old),
                (pubsub.subscribe, "channel", new),
                (pubsub.psubscribe, "pattern", new),
            ):
                names = _names(keys, kind)
                if names:
                    await say(*names)

    # -- hearing -------------------------------------------------------------------------------

    def _take(self, heard: dict[str, Any]) -> None:
        kind, channel = heard["type"], heard["channel"]
        if kind in ("message", "pmessage"):
            pattern = heard["pattern"]
            key: Key = (
                ("channel", _text(channel)) if pattern is None else ("pattern", _text(pattern))
            )
            message: Any = Message(
                _text(channel), heard["data"], None if pattern is None else _text(pattern)
            )
            weight = weight_of(message)
            for each in self._audience.get(key, ()):
                each.push(message, weight)
        elif kind in ("subscribe", "psubscribe"):
            key = ("channel" if kind == "subscribe" else "pattern", _text(channel))
            self._confirmed.add(key)
            for each in self._audience.get(key, ()):
                self._confirm(each)

    def _confirm(self, messages: Messages) -> None:
        """Let one who joins go on, or tell of the gap, when all that it wants is subscribed to."""
        if not messages.keys <= self._confirmed:
            return
        gap = self._gaps.pop(messages, None)
        if gap is not None:
            messages.push_gap(gap)
        joining = self._joining.pop(messages, None)
        if joining is not None and not joining.done():
            joining.set_result(None)

    def _note_loss(self, reason: str) -> None:
        pool = self._pool
        for joining in self._joining.values():
            if not joining.done():
                joining.set_exception(
                    BackendUnavailable(f"pool {pool.alias!r}: can't subscribe: {reason}")
                )
        listeners = self._everyone() - self._joining.keys()
        new = listeners - self._gaps.keys()
        if new:
            logger.warning(
                "Pool %r: pub/sub was interrupted, and is connected anew: %s",
                pool.alias,
                reason,
                extra={"alias": pool.alias, "event": "upstream_lost"},
            )
        for each in new:
            self._gaps[each] = Gap(since=self._heard, reason=reason)


def _names(keys: Iterable[Key], kind: str) -> list[str]:
    return [name for each, name in keys if each == kind]


def _text(name: bytes | str) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
