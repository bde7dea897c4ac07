"""What goes on now: the machine's load and other readers' searches, pushed to the front page."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from poolapp import PoolError, pools
from poolapp.consumers import PooledUpstreamMixin

logger = logging.getLogger(__name__)

LONGEST_TEXT: Final = 80


class LiveConsumer(PooledUpstreamMixin, AsyncJsonWebsocketConsumer):
    """All browsers of this process share one connection to the feed."""

    upstream = "live"
    limit = 100

    async def on_gap(self, gap: Any) -> None:
        await self.send_json({"topic": "gap"})


async def tell_search(text: str, found: int) -> None:
    """Tell all who look at the front page; that nobody can be told now costs no search."""
    message = {"topic": "search", "text": text[:LONGEST_TEXT], "found": found}
    try:
        await pools["announce"].send(json.dumps(message))
    except PoolError as error:
        logger.info("A search was not told: %s", error)
