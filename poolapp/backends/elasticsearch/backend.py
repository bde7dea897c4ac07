"""Elasticsearch, on the official asynchronous client, versions 8 and 9."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import unquote

from poolapp.backends import aiohttp_sockets
from poolapp.backends.elasticsearch import options
from poolapp.backends.elasticsearch.pool import ElasticsearchPool
from poolapp.backends.elasticsearch.sockets import connectors, node_class
from poolapp.core.backend import BaseBackend, Exposure, Problem, Sockets
from poolapp.core.config import Location, PoolConfig

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

logger = logging.getLogger("poolapp.health")

Verdict = Literal["healthy", "degraded", "unhealthy"]

_VERDICTS: dict[str, Verdict] = {"green": "healthy", "yellow": "degraded", "red": "unhealthy"}


class ElasticsearchBackend(BaseBackend["AsyncElasticsearch"]):
    """One ``AsyncElasticsearch`` for each event loop, lent to up to ``MAX_SIZE`` holders at once.

    ``OPTIONS`` are the client's keyword arguments. ``connections_per_node`` is ``MAX_SIZE`` unless
    set, so that nobody who holds a lease queues inside the client.
    """

    shared = True
    driver = "elasticsearch"
    extra = "search"
    schemes = ("http", "https")
    pool_class: ClassVar[type[ElasticsearchPool]] = ElasticsearchPool
    environment: ClassVar[Mapping[str, str]] = {
        "ES_POOL_CONNECTIONS": "OPTIONS.connections_per_node",
        "ES_POOL_MAXSIZE": "MAX_SIZE",
    }

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(options.exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> AsyncElasticsearch:
        """Make the client and have it answered once: a client by itself connects to nothing."""
        # Loading certificates, and the first import, take long enough to be felt on the loop.
        quick = "elasticsearch" in sys.modules and not self._uses_tls
        client = self._make() if quick else await asyncio.to_thread(self._make)
        try:
            await self._answered(client, self.config.connect_timeout)
        except BaseException:
            self.terminate(client)
            raise
        return client

    @property
    def _uses_tls(self) -> bool:
        return "cloud_id" in self.config.options or any(
            location.scheme == "https" for location in self.config.where()
        )

    def _make(self) -> AsyncElasticsearch:
        from elasticsearch import AsyncElasticsearch

        locations = self.config.where()
        arguments: dict[str, Any] = {
            "connections_per_node": self.config.max_size,
            "node_class": node_class(),
            **self.config.options,
        }
        if locations:
            arguments["hosts"] = [host for location in locations for host in _hosts(location)]
            user, password = options.credentials(locations[0])
            if user is not None:
                arguments["basic_auth"] = (user, password or "")
        return AsyncElasticsearch(**arguments)

    def is_hopeless(self, error: BaseException) -> bool:
        if isinstance(error, ImportError | TypeError | ValueError):
            return True
        from elastic_transport import TlsError
        from elasticsearch import AuthenticationException, UnsupportedProductError

        if isinstance(error, AuthenticationException | UnsupportedProductError):
            return True
        text = str(error)
        return (isinstance(error, TlsError) and "certificate" in text.lower()) or (
            "FingerprintMismatch" in text
        )

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: AsyncElasticsearch) -> None:
        await self._answered(connection, self.config.check_timeout)

    async def _answered(self, client: AsyncElasticsearch, seconds: float) -> None:
        """Have any node answer ``HEAD /``. That the user may not ask it is an answer too.

        Each node has its share of the time, so that one that is silent leaves some to the others.
        """
        from elasticsearch import AuthorizationException

        nodes = len(client.transport.node_pool)
        asking = client.options(
            request_timeout=seconds / nodes, retry_on_timeout=True, max_retries=max(1, nodes - 1)
        )
        try:
            await asking.perform_request("HEAD", "/", headers={"accept": "application/json"})
        except AuthorizationException:
            pass

    def breaks(self, connection: AsyncElasticsearch, error: BaseException) -> bool:
        """Whether the nodes could not be reached: then the client is checked before it is lent
        again."""
        import elastic_transport

        lost = elastic_transport.ConnectionError | elastic_transport.ConnectionTimeout
        return isinstance(error, lost)

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: AsyncElasticsearch) -> None:
        # A sniff under way would open its sessions anew behind the close.
        sniffing = connection.transport._sniffing_task
        if sniffing is not None:
            sniffing.cancel()
            await asyncio.wait([sniffing])
        await connection.close()

    def terminate(self, connection: AsyncElasticsearch) -> None:
        sniffing = connection.transport._sniffing_task
        if sniffing is not None:
            sniffing.cancel()
        for connector in connectors(connection):
            aiohttp_sockets.abort(connector)

    def abandon(self, connection: AsyncElasticsearch) -> None:
        for connector in connectors(connection):
            aiohttp_sockets.abandon(connector)

    # -- asking --------------------------------------------------------------------------------

    def sockets(self, connection: AsyncElasticsearch) -> Sockets:
        return aiohttp_sockets.count(connectors(connection))

    async def health(self, connection: AsyncElasticsearch) -> tuple[Verdict, str]:
        """What the cluster says of itself: yellow is degraded, red is unhealthy.

        A change is logged by ``poolapp.health``, once in the process. A user who may not ask is
        told healthy as soon as the cluster answers at all.
        """
        from elasticsearch import AuthorizationException

        asking = connection.options(request_timeout=self.config.check_timeout)
        try:
            answer = (await asking.cluster.health()).body
        except AuthorizationException:
            return "healthy", "the user may not ask for the cluster's status (privilege 'monitor')"
        status = str(answer["status"])
        verdict = _VERDICTS.get(status, "unhealthy")
        message = f"cluster status is {status}"
        unassigned = answer.get("unassigned_shards")
        if verdict != "healthy" and unassigned:
            message += f": {unassigned} unassigned shard{'s' if unassigned > 1 else ''}"
        before = _last_status.get(self.config.alias, "green")
        if before != status:
            _last_status[self.config.alias] = status
            level = logging.INFO if verdict == "healthy" else logging.WARNING
            logger.log(
                level,
                "Pool %r: %s (was %s)",
                self.config.alias,
                message,
                before,
                extra={"alias": self.config.alias, "event": "cluster_status"},
            )
        return verdict, message if verdict != "healthy" else ""

    async def server_info(self, connection: AsyncElasticsearch) -> Mapping[str, Any]:
        """``version``, ``cluster_name``, ``nodes``; less where the user may not ask."""
        from elasticsearch import AuthorizationException

        try:
            told = (await connection.info()).body
            cluster = (await connection.cluster.health()).body
        except AuthorizationException:
            return {}
        return {
            "version": told["version"]["number"],
            "cluster_name": told["cluster_name"],
            "nodes": cluster["number_of_nodes"],
        }


_last_status: dict[str, str] = {}
"""By alias, for the whole process: its loops and health checks are told of a change once."""


def _hosts(location: Location) -> Iterator[dict[str, str | int]]:
    for host, port in location.hosts(options.DEFAULT_PORT):
        node: dict[str, str | int] = {"scheme": location.scheme, "host": host, "port": port}
        if location.path.strip("/"):
            node["path_prefix"] = unquote(location.path.rstrip("/"))
        yield node
