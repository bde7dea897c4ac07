"""For Channels consumers: passing on to browsers what an upstream of a pool says, and the name of
whoever holds a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer

from poolapp.core.exceptions import PoolError
from poolapp.core.registry import pools
from poolapp.core.subscription import Gap, Message, Policy, SlowSubscriber, Subscription
from poolapp.core.work import working
from poolapp.integrations.browsers import Pace, pace_of
from poolapp.integrations.fleet_relay import subscribe_in_fleet

logger = logging.getLogger("poolapp.consumers")

# Close codes 1001, 1008, 1011 and 1013 in the range that applications may use: Daphne refuses to
# send others.
GOING_AWAY = 4001
TOO_SLOW = 4008
INTERNAL_ERROR = 4011
TRY_AGAIN_LATER = 4013


class HolderMixin(AsyncConsumer):
    """A lease that the consumer holds knows it: ``consumer shop.live.Basket (/basket/7/)``. For any
    consumer of Channels, also a synchronous one; stands first among the bases::

        class Basket(HolderMixin, AsyncJsonWebsocketConsumer): ...

    It names the class and the path, never the query.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        kind = type(self)
        path = scope.get("path")  # a worker's consumer has none
        name = f"{kind.__module__}.{kind.__qualname__}" + (f" ({path})" if path else "")
        with working("consumer", name):
            await super().__call__(scope, receive, send)


class PooledUpstreamMixin(HolderMixin, AsyncWebsocketConsumer):
    """Relays an upstream WebSocket of a pool to the browser; all consumers of a process share one
    connection to it. For Channels' asynchronous WebSocket consumers::

        class Prices(PooledUpstreamMixin, AsyncJsonWebsocketConsumer):
            upstream = "prices"

    The relay begins when the consumer accepts; ``path``, ``topic`` and the others may be set on
    the instance until then, in ``connect``. It ends with the consumer, also when the server
    cancels it.

    A browser that takes nothing more is waited for, without end and at nobody else's cost; what
    arrives meanwhile waits in its queue of ``limit`` messages, and ``policy`` says what goes when
    that is full. The browser is closed with 4008 by the policy ``disconnect``, 4013 when the
    upstream can't be reached, 4001 when the pool is closed, 4011 when one of the hooks raises.

    In a JSON consumer the hooks have the decoded content. Where none is overridden, nothing is
    decoded: text is passed on as it came.
    """

    upstream: ClassVar[str] = ""
    """The alias of the pool."""
    path: str | None = None
    """Where on its server; see ``WebSocketPool.subscribe``."""
    topic: Hashable = None
    limit: int = 1000
    policy: Policy = "drop_oldest"
    fleet: bool | str = False
    """True: one upstream for all processes; needs a channel layer that reaches all of them, and
    the setting ``POOLAPP = {"FLEET": alias of a Redis pool}``, or that alias here."""

    # Of the class, since consumers that define __init__ don't always call this one.
    _relaying: asyncio.Task[None] | None = None
    _messages: Subscription | None = None
    _pace: Pace | None = None
    _closed = False

    # -- hooks ---------------------------------------------------------------------------------

    async def filter(self, message: Any) -> bool:
        """Whether the browser gets the message."""
        return True

    async def transform(self, message: Any) -> Any:
        """What the browser gets in its place: ``str``, ``bytes``, or in a JSON consumer whatever
        ``send_json`` takes."""
        return message

    async def on_gap(self, gap: Gap) -> None:
        """Called where messages may be missing, before those that follow."""

    # -- relaying ------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._pace = pace_of(send)
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Daphne cancels its consumers when it stops, and calls no ``disconnect``.
            self._closed = True
            if self._messages is not None:
                self._messages.leave()
            if self._relaying is not None and not self._relaying.done():
                self._relaying.cancel()
                await asyncio.wait([self._relaying])

    async def accept(self, subprotocol: str | None = None, headers: Any = None) -> None:
        await super().accept(subprotocol, headers)
        self._relaying = asyncio.create_task(self._relay())

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        self._closed = True
        if self._messages is not None:
            self._messages.leave()
        await super().close(code, reason)

    async def _relay(self) -> None:
        try:
            async with self._subscription() as self._messages:
                async for each in self._messages:
                    if self._closed:
                        return
                    if isinstance(each, Gap):
                        await self.on_gap(each)
                    else:
                        await self._pass_on(each)
        except SlowSubscriber as error:
            logger.warning("%s", error, extra=self._said("too_slow"))
            await self._hang_up(TOO_SLOW)
        except PoolError as error:
            logger.warning(
                "A consumer of %r was closed: %s",
                self.upstream,
                error,
                extra=self._said("consumer_closed"),
            )
            await self._hang_up(TRY_AGAIN_LATER)
        except OSError:
            logger.debug(
                "The browser of a consumer of %r has gone",
                self.upstream,
                extra=self._said("browser_gone"),
            )
        except Exception:
            logger.exception(
                "%s failed and was closed",
                type(self).__qualname__,
                extra=self._said("consumer_failed"),
            )
            await self._hang_up(INTERNAL_ERROR)
        else:
            await self._hang_up(GOING_AWAY)

    def _subscription(self) -> Subscription:
        if self.fleet:
            return subscribe_in_fleet(
                self.fleet,
                self.channel_layer,
                self.upstream,
                self.path,
                self.topic,
                limit=self.limit,
                policy=self.policy,
            )
        pool: Any = pools[self.upstream]
        subscription: Subscription = pool.subscribe(
            self.path, self.topic, limit=self.limit, policy=self.policy
        )
        return subscription

    async def _pass_on(self, message: Message) -> None:
        if self._looks_inside:
            content: Any = message
            if isinstance(self, AsyncJsonWebsocketConsumer) and isinstance(message, str):
                try:
                    content = await self.decode_json(message)
                except ValueError:
                    logger.warning(
                        "The upstream of %r sent what is no JSON",
                        self.upstream,
                        extra=self._said("not_json"),
                    )
                    return
            if not await self.filter(content):
                return
            content = await self.transform(content)
            if isinstance(self, AsyncJsonWebsocketConsumer) and not isinstance(content, bytes):
                content = await self.encode_json(content)
        else:
            content = message
        if self._pace is not None:
            await self._pace.room()
        if not self._closed:
            if isinstance(content, bytes):
                await self.send(bytes_data=content)
            else:
                await self.send(text_data=content)

    @property
    def _looks_inside(self) -> bool:
        kind = type(self)
        return (
            kind.filter is not PooledUpstreamMixin.filter
            or kind.transform is not PooledUpstreamMixin.transform
        )

    def _said(self, event: str) -> dict[str, str]:
        return {"alias": self.upstream, "event": event}

    async def _hang_up(self, code: int) -> None:
        if not self._closed:
            await self.close(code)
