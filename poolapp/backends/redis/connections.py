"""The connections beneath the client: kept count of, and what they do that redis-py's don't.

Imports redis-py, as ``clients`` and ``making`` do, so it is imported when a pool first connects.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context
from math import inf
from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as SilenceError

from poolapp.backends.abandoned import drop
from poolapp.backends.redis.traits import blocks_for

if TYPE_CHECKING:
    # redis-py's connections are hardly annotated.
    Base = Any
else:
    from redis.asyncio.connection import AbstractConnection as Base


class Register:
    """The connections that one client has made, in whatever it keeps them."""

    def __init__(self) -> None:
        self.closed = False
        self.tls: Any = None
        """The TLS context of all of them: loading authorities takes long enough to be felt."""
        self._made: set[weakref.ref[Any]] = set()

    def add(self, connection: Any) -> None:
        self._made.add(weakref.ref(connection, self._made.discard))

    def open(self) -> list[Any]:
        """Those with a socket; may be called from any thread."""
        made = [reference() for reference in list(self._made)]
        return [each for each in made if each is not None and writer_of(each) is not None]

    async def say_goodbye(self) -> None:
        """Close all and wait until they are."""
        self.closed = True
        writers = [writer_of(each) for each in self.open()]
        for writer in writers:
            writer.close()
        await asyncio.gather(*(each.wait_closed() for each in writers), return_exceptions=True)
        self.terminate()

    def terminate(self) -> None:
        self.closed = True
        for connection in self.open():
            writer_of(connection).transport.abort()
            _forget_socket(connection)

    def abandon(self) -> None:
        self.closed = True
        for connection in self.open():
            drop(writer_of(connection).transport)
            _forget_socket(connection)

    def retire(self, idle: list[Any]) -> None:
        """Have what is idle connect anew when it is next used, on the running loop."""
        for connection in idle:
            writer = writer_of(connection)
            if writer is not None:
                writer.transport.abort()
                _forget_socket(connection)


def writer_of(connection: Any) -> Any:
    return connection._writer


def _forget_socket(connection: Any) -> None:
    connection._parser.on_disconnect()
    # What redis-py takes for "not connected"; it warns of a connection that is freed with them.
    connection._reader = connection._writer = None


class Pooled(Base):  # type: ignore[misc]
    """What our connections do that redis-py's don't."""

    def __init__(self, *, register: Register, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._register = register
        self._blocking = 0.0
        self._checking = False
        if isinstance(self, SSLConnection):
            register.tls = register.tls or self.ssl_context
            self.ssl_context: Any = register.tls
        register.add(self)

    async def _connect(self) -> None:
        # A command that is under way when its pool drops the client may try again behind it.
        if self._register.closed:
            raise LostError("the client was closed by its pool")
        # In an empty context: the socket outlives the borrower for whom it happens to be opened,
        # and must not keep that one's context variables.
        opening = super()._connect()
        loop = asyncio.get_running_loop()
        await loop.create_task(opening, context=Context())
        # What was just opened needs no check; redis-py would make one, even before it signs in.
        self.next_health_check = loop.time() + self.health_check_interval

    async def check_health(self) -> None:
        if self._checking:  # by the connect below
            return
        self._checking = True
        try:
            await super().check_health()
        except (LostError, SilenceError) as error:
            if type(error) not in (LostError, SilenceError):
                raise  # the server has something against it
            # It died while it was idle. Nothing was sent yet, so this costs nobody an error.
            await self.connect()
        finally:
            self._checking = False

    def pack_command(self, *args: Any) -> list[bytes]:
        self._blocking = blocks_for(args)
        packed: list[bytes] = super().pack_command(*args)
        return packed

    async def read_response(self, *args: Any, **named: Any) -> Any:
        blocking, self._blocking = self._blocking, 0.0
        usual = self.socket_timeout  # type: ignore[has-type]
        if not blocking or usual is None:
            return await super().read_response(*args, **named)
        # The time that a command asks the server to block for is no silence.
        self.socket_timeout = None if blocking == inf else usual + blocking
        try:
            return await super().read_response(*args, **named)
        finally:
            self.socket_timeout = usual


class TcpConnection(Pooled, Connection):  # type: ignore[misc]
    pass


class TlsConnection(Pooled, SSLConnection):  # type: ignore[misc]
    pass


class UnixConnection(Pooled, UnixDomainSocketConnection):  # type: ignore[misc]
    pass


class SentinelTcpConnection(Pooled, SentinelManagedConnection):  # type: ignore[misc]
    pass


class SentinelTlsConnection(Pooled, SentinelManagedSSLConnection):  # type: ignore[misc]
    pass
