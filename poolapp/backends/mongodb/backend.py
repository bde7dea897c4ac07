"""MongoDB: a shared ``AsyncMongoClient``, versions 4.13 and later."""

from __future__ import annotations

import asyncio
import importlib
import ssl
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from poolapp.backends.mongodb import options
from poolapp.backends.mongodb.exposures import exposures
from poolapp.backends.mongodb.pool import MongoPool
from poolapp.backends.mongodb.problems import problems
from poolapp.core.backend import BaseBackend, Exposure, Problem, Sockets
from poolapp.core.config import PoolConfig

if TYPE_CHECKING:
    from poolapp.backends.mongodb.client import PooledMongoClient

_CLIENT = "poolapp.backends.mongodb.client"

_HOPELESS = frozenset(
    {
        11,  # UserNotFound
        18,  # AuthenticationFailed
        334,  # MechanismUnavailable
        8000,  # Atlas: bad auth
    }
)


class MongoBackend(BaseBackend["PooledMongoClient"]):
    """One ``AsyncMongoClient`` for each event loop, lent to up to ``MAX_SIZE`` holders at once.

    ``OPTIONS`` are the client's keyword arguments. ``maxPoolSize`` is ``MAX_SIZE`` unless set, so
    that nobody who holds a lease queues inside the client.
    """

    shared = True
    driver = "pymongo"
    extra = "mongodb"
    schemes = ("mongodb", "mongodb+srv")
    pool_class: ClassVar[type[MongoPool]] = MongoPool

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> PooledMongoClient:
        """Make the client and have it answered once: a client by itself connects to nothing."""
        client = await self._made()
        try:
            await self._answered(client, self.config.connect_timeout)
        except BaseException:
            self.terminate(client)
            raise
        return client

    async def _made(self) -> PooledMongoClient:
        # Loading certificates, and the first import, take long enough to be felt on the loop.
        if _CLIENT not in sys.modules:
            await asyncio.to_thread(importlib.import_module, _CLIENT)
        from poolapp.backends.mongodb.client import starts_task

        listeners = self.config.options.get("event_listeners") or ()
        if options.loads_authorities(self.config) and not starts_task(listeners):
            return await asyncio.to_thread(self._make)
        return self._make()

    def _make(self) -> PooledMongoClient:
        from poolapp.backends.mongodb.client import PooledMongoClient

        (location,) = self.config.where()
        url, arguments = options.arguments(self.config)
        return PooledMongoClient(
            url, shown=f"pool {self.config.alias!r} at {location.address}", **arguments
        )

    def is_hopeless(self, error: BaseException) -> bool:
        if isinstance(error, ImportError | TypeError | ValueError | ssl.SSLError):
            return True
        # Of files that the options name; the driver wraps those of the network.
        if isinstance(error, FileNotFoundError | PermissionError):
            return True
        from pymongo.errors import ConfigurationError, ConnectionFailure, OperationFailure

        if isinstance(error, ConfigurationError):
            return True
        if isinstance(error, OperationFailure):
            return error.code in _HOPELESS
        return isinstance(error, ConnectionFailure) and "certificate" in str(error).lower()

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: PooledMongoClient) -> None:
        """Have any server answer a ping. Whether one is the primary is no matter here: an
        operation that needs it waits for the election, as the driver does it."""
        await self._answered(connection, self.config.check_timeout)

    async def _answered(self, client: PooledMongoClient, seconds: float) -> None:
        from poolapp.backends.mongodb.client import answered

        await answered(client, seconds)

    def is_closed(self, connection: PooledMongoClient) -> bool:
        from poolapp.backends.mongodb.client import is_closed

        return is_closed(connection)

    def breaks(self, connection: PooledMongoClient, error: BaseException) -> bool:
        """Whether a server could not be reached, or is no primary any more: then the client is
        checked before it is lent again."""
        from pymongo.errors import ConnectionFailure, WaitQueueTimeoutError

        if isinstance(error, WaitQueueTimeoutError):
            return False  # its holder had more under way at once than the client has sockets
        return isinstance(error, ConnectionFailure) or self.is_closed(connection)

    def watch(self, connection: PooledMongoClient, lost: Callable[[], None]) -> None:
        """``lost`` is called when a holder closes the client, which is everybody's."""
        connection._poolapp.lost = lost

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: PooledMongoClient) -> None:
        import pymongo

        # The goodbye ends the sessions on the server, for which the driver would look for one as
        # long as for any operation.
        with pymongo.timeout(self.config.check_timeout):
            await connection.close()

    def terminate(self, connection: PooledMongoClient) -> None:
        from poolapp.backends.mongodb.client import cut

        cut(connection)

    def abandon(self, connection: PooledMongoClient) -> None:
        from poolapp.backends.mongodb.client import abandon

        abandon(connection)

    # -- asking --------------------------------------------------------------------------------

    def sockets(self, connection: PooledMongoClient) -> Sockets:
        return connection._poolapp.wires.counted()

    async def health(
        self, connection: PooledMongoClient
    ) -> tuple[Literal["healthy", "degraded", "unhealthy"], str]:
        """A replica set without a primary is degraded: it can be read, not written."""
        told = await self._hello(connection)
        if "setName" in told and not told.get("primary"):
            return "degraded", f"replica set {told['setName']!r} has no primary: reads only"
        return "healthy", ""

    async def server_info(self, connection: PooledMongoClient) -> Mapping[str, Any]:
        """``version``; ``set_name`` and ``primary`` of a replica set; ``connections`` and
        ``connections_available`` of the server where the user may ask (role ``clusterMonitor``)."""
        from pymongo.errors import OperationFailure

        info: dict[str, Any] = {"version": (await connection.server_info())["version"]}
        told = await self._hello(connection)
        if "setName" in told:
            info |= {"set_name": told["setName"], "primary": told.get("primary")}
        try:
            connections = (await connection.admin.command("serverStatus"))["connections"]
        except (OperationFailure, KeyError):
            return info
        return info | {
            "connections": connections["current"],
            "connections_available": connections["available"],
        }

    async def _hello(self, client: PooledMongoClient) -> Mapping[str, Any]:
        from pymongo import ReadPreference

        told: Mapping[str, Any] = await client.admin.command(
            "hello", read_preference=ReadPreference.NEAREST
        )
        return told
