"""Redis and Valkey, on redis-py's asynchronous client, versions 5.2 to 8."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from poolapp.backends.redis import options
from poolapp.backends.redis.exposures import exposures
from poolapp.backends.redis.pool import RedisPool
from poolapp.backends.redis.target import SCHEMES
from poolapp.core.backend import BaseBackend, Exposure, Problem, Sockets
from poolapp.core.config import PoolConfig

if TYPE_CHECKING:
    from poolapp.backends.redis.clients import Client, PooledRedis


class RedisBackend(BaseBackend["Client"]):
    """One ``redis.asyncio.Redis`` (or ``RedisCluster``) for each event loop, lent to up to
    ``MAX_SIZE`` holders at once.

    ``OPTIONS`` are redis-py's keyword arguments. ``max_connections`` is ``MAX_SIZE``, so that
    nobody who holds a lease queues inside the client, or is refused by it.
    """

    shared = True
    driver = "redis"
    extra = "redis"
    schemes = tuple(SCHEMES)
    environment: ClassVar[Mapping[str, str]] = {
        "CONNECTION_POOL_REDIS_MAX": "MAX_SIZE",
        "CONNECTION_POOL_REDIS_TIMEOUT": "OPTIONS.socket_timeout",
    }
    pool_class: ClassVar[type[RedisPool]] = RedisPool

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> Client:
        """Make the client and have it answered once: a client by itself connects to nothing."""
        client: Client = await self._made("make")
        try:
            await client.initialize()
            await client.ping()
        except BaseException:
            self.terminate(client)
            raise
        return client

    async def connect_for_messages(self) -> PooledRedis:
        """A client of its own for pub/sub, with one connection; not connected yet."""
        await self.config.locate()
        client: PooledRedis = await self._made("make_for_messages")
        return client

    async def _made(self, function: str) -> Any:
        # Loading certificates, and the first import, take long enough to be felt on the loop.
        quick = "poolapp.backends.redis.making" in sys.modules and not self._uses_tls
        return self._make(function) if quick else await asyncio.to_thread(self._make, function)

    def _make(self, function: str) -> Any:
        from poolapp.backends.redis import making

        return getattr(making, function)(self.config)

    @property
    def _uses_tls(self) -> bool:
        return any(location.scheme.startswith("rediss") for location in self.config.where())

    def is_hopeless(self, error: BaseException) -> bool:
        # The files of certificates are read before anything connects.
        wrong = ImportError | TypeError | ValueError | ssl.SSLError | FileNotFoundError
        if isinstance(error, wrong | PermissionError):
            return True
        from redis import exceptions

        refused = (
            exceptions.AuthenticationError
            | exceptions.AuthenticationWrongNumberOfArgsError
            | exceptions.AuthorizationError
            | exceptions.DataError
            | exceptions.NoPermissionError
        )
        text = str(error).lower()
        return isinstance(error, refused) or any(each in text for each in _HOPELESS)

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: Client) -> None:
        """One round trip on any of its sockets."""
        await connection.ping()

    def breaks(self, connection: Client, error: BaseException) -> bool:
        """Whether the server could not be reached, or is no primary any more: then the client is
        checked before it is lent again."""
        from redis import exceptions

        from poolapp.backends.redis.clients import is_full, retire_sockets

        if isinstance(error, exceptions.ReadOnlyError):
            retire_sockets(connection)
            return True
        if is_full(error):
            return False  # the holder's fault
        lost = (
            exceptions.ConnectionError
            | exceptions.TimeoutError
            | exceptions.ClusterDownError
            | exceptions.SlotNotCoveredError
        )
        return isinstance(error, lost | OSError) or (
            isinstance(error, exceptions.RedisClusterException)
            and "cannot be connected" in str(error)
        )

    def sockets(self, connection: Client) -> Sockets:
        return connection.sockets()

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: Client) -> None:
        from poolapp.backends.redis.clients import registers

        for register in registers(connection):
            await register.say_goodbye()

    def terminate(self, connection: Client) -> None:
        from poolapp.backends.redis.clients import registers

        for register in registers(connection):
            register.terminate()

    def abandon(self, connection: Client) -> None:
        from poolapp.backends.redis.clients import registers

        for register in registers(connection):
            register.abandon()

    # -- asking --------------------------------------------------------------------------------

    async def server_info(self, connection: Client) -> Mapping[str, Any]:
        """``version``, ``server`` (``redis`` or ``valkey``), ``mode``, ``connected_clients`` and
        ``max_clients``, of one node in a cluster; less where the user may not ask."""
        from redis.exceptions import ResponseError

        pick = {}
        if hasattr(connection, "get_random_node"):
            pick = {"target_nodes": connection.get_random_node()}
        try:
            told = {
                **await connection.info("server", **pick),
                **await connection.info("clients", **pick),
            }
        except ResponseError:
            return {}
        server = "valkey" if "valkey_version" in told else "redis"
        found = {
            "version": str(told[f"{server}_version"]),
            "server": server,
            "mode": told.get("server_mode") or told.get("redis_mode"),
            "connected_clients": told["connected_clients"],
        }
        if "maxclients" in told:
            found["max_clients"] = told["maxclients"]
        return found


_HOPELESS = (
    "certificate",  # TLS: not trusted, of another host, or none of our own where one is asked for
    "unknown ca",
    "db index is out of range",
    "cluster mode is not enabled",
)
"""Of messages for which redis-py has no class of its own."""
