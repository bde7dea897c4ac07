"""How to connect to a WebSocket server, and what makes a connection fit to be lent again."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, urlencode

from poolapp.backends.abandoned import drop
from poolapp.backends.websocket import options
from poolapp.backends.websocket.discreet import DiscreetLogger
from poolapp.backends.websocket.exposures import exposures
from poolapp.backends.websocket.pool import WebSocketPool
from poolapp.core.backend import BaseBackend, Exposure, Problem
from poolapp.core.config import Location, PoolConfig
from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_TRANSIENT = frozenset({408, 425, 429})
"""Statuses below 500 with which a server says "later", not "never"."""


class WebSocketBackend(BaseBackend["ClientConnection"]):
    """One ``websockets.asyncio.client.ClientConnection`` for each holder.

    ``OPTIONS`` are the keyword arguments of ``websockets.asyncio.client.connect``, and ours:
    ``init``, ``reconnect``, ``linger``, ``on_connect``, ``topic_of``.
    """

    driver = "websockets"
    extra = "websocket"
    schemes = ("ws", "wss")
    pool_class: ClassVar[type[WebSocketPool]] = WebSocketPool
    environment: ClassVar[Mapping[str, str]] = {
        "CONNECTION_POOL_WS_MAX": "MAX_SIZE",
        "CONNECTION_POOL_WS_HEARTBEAT": "OPTIONS.ping_interval",
        "CONNECTION_POOL_WS_RECONNECT": "OPTIONS.reconnect",
    }

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._context: ssl.SSLContext | None = None

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> ClientConnection:
        (location,) = self.config.where()
        ready = "websockets.asyncio.client" in sys.modules
        connect = _driver() if ready else await asyncio.to_thread(_driver)
        arguments = self._arguments()
        if location.scheme == "wss" and "ssl" not in arguments:
            if self._context is None:
                # Loading the authorities takes long enough to be felt on the loop.
                self._context = await asyncio.to_thread(ssl.create_default_context)
            arguments["ssl"] = self._context
        connection: ClientConnection = await connect(url_of(location), **arguments)
        init = options.hook(self.config, "init")
        if init is not None:
            try:
                await init(connection)
            except BaseException:
                connection.transport.abort()
                raise
        return connection

    def _arguments(self) -> dict[str, Any]:
        given = {
            name: value for name, value in self.config.options.items() if name not in options.OWN
        }
        for name in ("ping_interval", "ping_timeout"):
            if name in given:
                given[name] = given[name] or None
        return {
            "open_timeout": None,  # CONNECT_TIMEOUT bounds it
            "close_timeout": self.config.check_timeout,
            "logger": DiscreetLogger(self.config.scrub),
            **given,
        }

    def is_hopeless(self, error: BaseException) -> bool:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, ImportError | TypeError | ValueError | AttributeError):
            return True
        from websockets import exceptions as told

        if isinstance(error, told.InvalidStatus):
            status = error.response.status_code
            return status < 500 and status not in _TRANSIENT
        return isinstance(error, told.InvalidURI | told.NegotiationError | told.SecurityError)

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: ClientConnection) -> None:
        """A ping and its pong."""
        # The driver stops reading, pongs included, once some messages wait to be read. Nobody will
        # read what came while nobody held the connection.
        if _unread(connection):
            raise PoolError("messages have arrived that nobody has read")
        await (await connection.ping())

    async def reset(self, connection: ClientConnection) -> None:
        """See to it that nothing is left that the next holder would take for an answer to his own
        message. The pong comes after all that the server had to say before the ping."""
        if not _unread(connection):
            await (await connection.ping())
        if _unread(connection):
            raise PoolError("messages have arrived that the holder has not read")

    def is_closed(self, connection: ClientConnection) -> bool:
        from websockets.protocol import State

        return connection.state is not State.OPEN

    def breaks(self, connection: ClientConnection, error: BaseException) -> bool:
        """Always: a conversation that was broken off may have left an answer on its way, which
        the next holder would take for an answer to his own message."""
        return True

    def watch(self, connection: ClientConnection, lost: Callable[[], None]) -> None:
        connection.connection_lost_waiter.add_done_callback(lambda _: lost())

    def latency(self, connection: ClientConnection) -> float | None:
        return connection.latency or None

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: ClientConnection) -> None:
        # The server's goodbye comes behind what it said before, for which there may be no room.
        reading = asyncio.create_task(_read_all(connection)) if _unread(connection) else None
        try:
            await connection.close()
        finally:
            if reading is not None:
                reading.cancel()

    def terminate(self, connection: ClientConnection) -> None:
        connection.transport.abort()

    def abandon(self, connection: ClientConnection) -> None:
        heartbeat: Any = connection.keepalive_task
        if heartbeat is not None:
            # It will never run again, and nobody needs to hear of it.
            heartbeat._log_destroy_pending = False
        drop(connection.transport)


def _driver() -> Callable[..., Any]:
    from websockets.asyncio.client import connect

    return connect


def _unread(connection: ClientConnection) -> int:
    """Frames that wait to be read."""
    return len(connection.recv_messages.frames)


async def _read_all(connection: ClientConnection) -> None:
    from websockets.exceptions import ConcurrencyError, WebSocketException

    try:
        while True:
            await connection.recv()
    except (ConcurrencyError, WebSocketException):
        pass


def url_of(location: Location) -> str:
    """The URL with its password, as the driver wants it."""
    user = ""
    if location.username is not None and location.password is not None:
        name, password = location.username, location.password.reveal()
        user = f"{quote(name, safe='')}:{quote(password, safe='')}@"
    query = f"?{urlencode(location.query)}" if location.query else ""
    return f"{location.scheme}://{user}{location.address}{location.path}{query}"
