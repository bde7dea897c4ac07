"""Dropping the sockets of a loop that was closed with its connections open."""

from __future__ import annotations

import asyncio
from typing import Any


def drop(transport: asyncio.BaseTransport | None) -> None:
    """Close a transport's socket now, although its loop can't run the callback that would.

    ``abort()`` on a closed loop gets as far as scheduling the last step, and fails there. For
    asyncio's own transports that step is a method that can be called by hand; uvloop has closed
    the sockets together with the loop.
    """
    if transport is None:
        return
    try:
        transport.abort()  # type: ignore[attr-defined]
    except (RuntimeError, AttributeError):
        pass
    # A TLS transport is closed by now; the socket belongs to the one beneath.
    beneath: Any = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    finish = getattr(beneath or transport, "_call_connection_lost", None)
    if finish is not None:
        try:
            finish(None)
        except (RuntimeError, AttributeError):
            # The protocol could not tell its owner, on this loop; the socket is closed all the
            # same.
            pass
