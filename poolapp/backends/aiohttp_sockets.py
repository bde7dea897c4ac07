"""The sockets beneath an aiohttp connector: how many there are, and how to drop them.

For every backend whose driver stands on aiohttp, which has no public way to either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from poolapp.backends.abandoned import drop
from poolapp.core.backend import Sockets


def transports(connector: Any) -> list[Any]:
    """Of all connections of the connector, those that lie idle and those in use."""
    # Copied first, since another thread that only counts them may ask.
    idle = [protocol for kept in list(connector._conns.values()) for protocol, _ in list(kept)]
    return _transports(idle) + _transports(list(connector._acquired))


def _transports(protocols: Iterable[Any]) -> list[Any]:
    # One that is just being opened has none yet.
    return [each.transport for each in protocols if each.transport is not None]


def count(connectors: Iterable[Any]) -> Sockets:
    """How many are open over all connectors; may be called from any thread."""
    opened = in_use = 0
    for connector in connectors:
        opened += len(transports(connector))
        in_use += len(_transports(list(connector._acquired)))
    return Sockets(open=opened, in_use=min(opened, in_use))


def abort(connector: Any) -> None:
    """Drop all at once, on the running loop."""
    open_ones = transports(connector)
    connector._close()
    for transport in open_ones:
        transport.abort()


def abandon(connector: Any) -> None:
    """Drop all of a connector whose loop is closed already."""
    from aiohttp import BaseConnector

    open_ones = transports(connector)
    try:
        connector._close()
    except RuntimeError:
        # It tried to cancel the look-up of a name; what comes after that is done here.
        BaseConnector._close(connector)
    for transport in open_ones:
        drop(transport)
