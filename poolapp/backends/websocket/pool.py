"""The short cuts of a WebSocket pool: one message, or a share in all that arrive."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Coroutine, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from poolapp.backends.websocket.options import DEFAULT_PORTS, hook
from poolapp.backends.websocket.upstream import Upstream
from poolapp.core.config import Location, PoolConfig
from poolapp.core.exceptions import PoolClosed
from poolapp.core.lease import LastingLease, Lease
from poolapp.core.pool import Pool
from poolapp.core.registry import pools
from poolapp.core.subscription import Message, Policy, Subscription

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    Connection = ClientConnection


class WebSocketPool(Pool["Connection"]):
    """``send``, ``receive`` and ``subscribe``, for servers to which every connection is alike.

    A conversation of question and answer needs a connection of its own: ``acquire()``.
    """

    crossing = ("send", "receive")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path: str | None = None
        """Where this pool connects to instead of LOCATION's own path and query."""
        self._elsewhere: dict[str, WebSocketPool] = {}
        """The pools of other paths, of the same budget."""
        self._upstream: Upstream | None = None

    # Plain functions that return a coroutine, so that the frame above is the caller's.

    def send(self, message: Message) -> Coroutine[Any, Any, None]:
        """Send one message, ``str`` as text and ``bytes`` as binary, on whatever connection is
        free. Raises what ``acquire`` raises, and BackendUnavailable when the connection is lost:
        nobody knows then whether the server got it."""
        if not isinstance(message, str | bytes):
            raise TypeError(f"a message is str or bytes, not {type(message).__name__!r}")
        lease = Lease(self, None, True, sys._getframe(1))
        return self._perform(lease, lambda connection: connection.send(message))

    def receive(self) -> Coroutine[Any, Any, Message]:
        """Wait for the next message on whatever connection is free; bound the wait by
        ``asyncio.timeout``. Raises like ``send``."""
        lease = Lease(self, None, True, sys._getframe(1))
        return self._perform(lease, lambda connection: connection.recv())

    # -- subscribing ---------------------------------------------------------------------------

    def subscribe(
        self,
        path_or_url: str | None = None,
        topic: Hashable = None,
        *,
        limit: int = 1000,
        policy: Policy = "drop_oldest",
    ) -> Subscription:
        """All messages of the server, on one connection that all subscribers of this loop share:
        ``async with pool.subscribe() as messages: async for each in messages``; see Subscription.

        ``path_or_url`` says where on LOCATION's server, ``topic`` which of the messages (see the
        options ``on_connect`` and ``topic_of``). Raises ValueError for another server's URL, a
        topic without ``topic_of``, and a wrong limit or policy.
        """
        if topic is not None and self.topic_of is None:
            raise ValueError(
                f"pool {self.alias!r}: topic= needs OPTIONS['topic_of'], a function that tells the "
                "topic of a message"
            )
        frame = sys._getframe(1)
        source = _Source(self, path_or_url, LastingLease[Any](self, None, False, frame))
        return Subscription(
            source, name=f"pool {self.alias!r}", topic=topic, limit=limit, policy=policy
        )

    @property
    def subscribers(self) -> int:
        """How many subscribe here, to all paths."""
        own = 0 if self._upstream is None else len(self._upstream.audience)
        return own + sum(each.subscribers for each in self._elsewhere.values())

    @cached_property
    def topic_of(self) -> Callable[[Message], Any] | None:
        """What tells the topic of a message; None where there are no topics."""
        return hook(self.config, "topic_of")

    def at(self, path_or_url: str | None) -> WebSocketPool:
        """The pool of this path: this one, or one of the same alias and budget."""
        if path_or_url is None:
            return self
        (location,) = self.config.where()
        path = _path_on(location, path_or_url, self.alias)
        if path == (location.path or "/"):
            return self
        pool = self._elsewhere.get(path)
        if pool is None or pool.state == "closed":
            self._insist_on_open()
            made = pools.beside(self, path.partition("?")[0], _moved(self.config, path))
            assert isinstance(made, WebSocketPool)
            made.path = path
            pool = self._elsewhere[path] = made
        return pool

    def upstream(self, lease: LastingLease[Any]) -> Upstream:
        """That there is; else a new one, which holds this lease."""
        if self._upstream is None:
            self._insist_on_open()
            lease.pool = self
            self._upstream = Upstream(self, lease)
        return self._upstream

    def _insist_on_open(self) -> None:
        if self.state in ("closing", "closed"):
            raise PoolClosed(f"pool {self.alias!r} is closed")

    def forget(self, upstream: Upstream) -> None:
        if self._upstream is upstream:
            self._upstream = None

    # -- verbs ---------------------------------------------------------------------------------

    def drain(self) -> None:
        super().drain()
        if self._upstream is not None:
            self._upstream.renew("the pool was drained")

    def reset(self) -> None:
        super().reset()
        if self._upstream is not None:
            self._upstream.renew("the pool was reset")

    def reconfigure(self, config: PoolConfig) -> None:
        super().reconfigure(config if self.path is None else _moved(config, self.path))

    def close_soon(self, timeout: float | None = None) -> asyncio.Task[None]:
        if self._upstream is not None:
            self._upstream.end("shutdown")
        return super().close_soon(timeout)

    def abandon(self) -> None:
        if self._upstream is not None:
            self._upstream.abandon()
        super().abandon()

    async def _close(self, patience: float) -> None:
        others = [each.close(timeout=patience) for each in self._elsewhere.values()]
        await asyncio.gather(super()._close(patience), *others)


class _Source:
    """Where a subscription joins, looked up when it does."""

    def __init__(
        self, pool: WebSocketPool, path_or_url: str | None, lease: LastingLease[Any]
    ) -> None:
        self._pool = pool
        self._path = path_or_url
        self._lease = lease
        self._upstream: Upstream | None = None

    @property
    def connected(self) -> bool:
        return self._upstream is not None and self._upstream.connected

    async def join(self, subscription: Subscription) -> None:
        upstream = self._pool.at(self._path).upstream(self._lease)
        await upstream.join(subscription)
        self._upstream = upstream

    def leave(self, subscription: Subscription) -> None:
        if self._upstream is not None:
            self._upstream.leave(subscription)


def _path_on(location: Location, path_or_url: str, alias: str) -> str:
    """Path and query of what is meant, which has to be on the same server: LOCATION's password
    and headers are for no other."""
    base = f"{location.scheme}://{location.address}"
    if "://" in path_or_url:
        given = Location.parse(path_or_url)
        port = DEFAULT_PORTS[location.scheme]
        if given.scheme != location.scheme or given.hosts(port) != location.hosts(port):
            raise ValueError(
                f"pool {alias!r} is for {base}; for another server declare another alias"
            )
        path_or_url = "/" + path_or_url.partition("://")[2].partition("/")[2]
    # The standard library joins paths for the schemes it knows.
    parts = urlsplit(urljoin(f"http://host{location.path or '/'}", path_or_url))
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _moved(config: PoolConfig, path: str) -> PoolConfig:
    """The same with another path. Of LOCATION's query stays what the path's own leaves alone: it
    may hold a key."""

    def move(location: Location) -> Location:
        place, _, query = path.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        return dataclasses.replace(location, path=place, query={**location.query, **given})

    if callable(config.locations):
        ask = config.locations
        return config.replace(locations=lambda: tuple(map(move, ask())))
    return config.replace(locations=tuple(map(move, config.locations)))
