"""HTTP, on aiohttp: one session for each event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from poolapp.backends import aiohttp_sockets
from poolapp.backends.http import options
from poolapp.backends.http.exposures import exposures
from poolapp.backends.http.pool import HttpPool
from poolapp.backends.http.repeating import is_lost, is_refused_tls, is_unsent
from poolapp.backends.http.session import Unhealthy, ask, drop_idle, open_session, reach
from poolapp.core.backend import BaseBackend, Exposure, Problem, Sockets
from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import ConfigurationError

if TYPE_CHECKING:
    from aiohttp import ClientSession

_LATER = (408, 425, 429)
"""Statuses below 500 that may be another one soon."""


class HttpBackend(BaseBackend["ClientSession"]):
    """One ``aiohttp.ClientSession`` with ``LOCATION`` as its base URL for each event loop, lent to
    up to ``MAX_SIZE`` holders at once.

    ``OPTIONS`` are the keyword arguments of ``TCPConnector`` and ``ClientSession``, told apart by
    their names, and some of ours. The connector opens no more than ``MAX_SIZE`` sockets unless
    ``limit`` says otherwise.
    """

    shared = True
    driver = "aiohttp"
    extra = "http"
    schemes = ("http", "https")
    environment: ClassVar[Mapping[str, str]] = {
        "CONNECTION_POOL_HTTP_TOTAL": "MAX_SIZE",
        "CONNECTION_POOL_HTTP_PER_HOST": "OPTIONS.limit_per_host",
        "CONNECTION_POOL_HTTP_KEEPALIVE": "OPTIONS.keepalive_timeout",
        "CONNECTION_POOL_HTTP_TIMEOUT": "OPTIONS.timeout",
    }
    pool_class: ClassVar[type[HttpPool]] = HttpPool

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._answered_at = float("-inf")
        self._doubted: WeakSet[ClientSession] = WeakSet()

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> ClientSession:
        """Make the session and have the server reached once: a session by itself connects to
        nothing."""
        session = await open_session(self.config)
        try:
            await self._reached(session, self.config.connect_timeout)
        except BaseException:
            self.terminate(session)
            raise
        return session

    def is_hopeless(self, error: BaseException) -> bool:
        if isinstance(error, ConfigurationError | ImportError | TypeError | ValueError):
            return True
        if isinstance(error, Unhealthy):
            return error.status < 500 and error.status not in _LATER
        return is_refused_tls(error)

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: ClientSession) -> None:
        """Have ``check_path`` answered; without one, have a connection that is open, or open one.

        After an error that casts doubt on them, no connection that lies idle is trusted.
        """
        doubted = connection in self._doubted
        if doubted:
            drop_idle(connection)
        await self._reached(connection, self.config.check_timeout)
        if doubted:
            self._doubted.discard(connection)
            self.note_answer()

    async def _reached(self, session: ClientSession, seconds: float) -> None:
        path = self.config.options.get("check_path")
        if await reach(session, seconds) and path is not None:
            await ask(session, path, seconds)

    def is_closed(self, connection: ClientSession) -> bool:
        return connection.closed

    def note_answer(self) -> None:
        """The server has just answered somebody: as good as a check."""
        self._answered_at = time.monotonic()

    def breaks(self, connection: ClientSession, error: BaseException) -> bool:
        """Whether the session is to be checked before it is lent again.

        A lost connection or a slow answer is the trouble of one request as long as the server
        answers others: within ``CHECK_AFTER`` that is believed. Else one slow page would have
        everybody wait for check after check. A cancel may be a timeout of the holder's own.
        """
        (location,) = self.config.where()
        here = location.hosts(options.DEFAULT_PORTS[location.scheme])[0]
        if (getattr(error, "host", here[0]), getattr(error, "port", here[1])) != here:
            return False  # it was another server, of a whole URL
        recently = time.monotonic() - self._answered_at < self.config.check_after
        cut = is_lost(error) or isinstance(error, asyncio.CancelledError)
        doubtful = is_unsent(error) or (cut and not recently)
        if doubtful:
            self._doubted.add(connection)
        return doubtful

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: ClientSession) -> None:
        await connection.close()

    def terminate(self, connection: ClientSession) -> None:
        if connection.connector is not None:
            aiohttp_sockets.abort(connection.connector)

    def abandon(self, connection: ClientSession) -> None:
        if connection.connector is not None:
            aiohttp_sockets.abandon(connection.connector)

    # -- asking --------------------------------------------------------------------------------

    def sockets(self, connection: ClientSession) -> Sockets:
        connector: Any = connection.connector
        return aiohttp_sockets.count([] if connector is None else [connector])
