"""The sockets beneath the client: how many there may be, and who has them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elastic_transport import AiohttpHttpNode
    from elasticsearch import AsyncElasticsearch


@functools.cache
def node_class() -> type[AiohttpHttpNode]:
    # The driver is imported when a pool first connects, and so its class can't be extended
    # before.
    from elastic_transport import AiohttpHttpNode

    class PooledNode(AiohttpHttpNode):
        """Opens as many connections as ``connections_per_node`` says. The session it inherits
        would not open more than 100, whatever it says."""

        def _create_aiohttp_session(self) -> None:
            super()._create_aiohttp_session()
            assert self.session is not None
            connector: Any = self.session.connector
            connector._limit = 0

    return PooledNode


def connectors(client: AsyncElasticsearch) -> list[Any]:
    """Of the nodes that were asked so far; a ``node_class`` of another make has none."""
    sessions = [getattr(node, "session", None) for node in client.transport.node_pool.all()]
    return [
        session.connector
        for session in sessions
        if session is not None and session.connector is not None
    ]
