"""The Channels consumer that keeps the admin's page of the pools up to date."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from poolapp import pages
from poolapp.integrations.browsers import Pace, pace_of
from poolapp.monitoring.fleet import fleet

logger = logging.getLogger("poolapp.status")

FORBIDDEN = 4403
"""The close code for who may not, or no longer, see the pools."""

LOOK_UP = 30.0
"""Seconds after which it is asked again whether the user may see the pools."""


class PoolStatusConsumer(AsyncJsonWebsocketConsumer):
    """Sends what ``pages.message`` says of the overview, or of one ``?alias=``: at once, and then
    every ``?every=`` seconds.

    For who may see the page, as long as they may: a session that ended, a permission that was taken
    away closes it within ``LOOK_UP`` seconds. A browser that does not read is waited for.
    """

    _pushing: asyncio.Task[None] | None = None
    _pace: Pace | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._pace = pace_of(send)
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Daphne cancels its consumers when it stops, and calls no ``disconnect``.
            if self._pushing is not None and not self._pushing.done():
                self._pushing.cancel()
                await asyncio.wait([self._pushing])

    async def connect(self) -> None:
        if not await self._may_see():
            await self.close(FORBIDDEN)
            return
        await self.accept()
        query = parse_qs(self.scope["query_string"].decode())
        alias = query.get("alias", [None])[0]
        asked = query.get("every", [""])[0]
        every = next((each for each in pages.PERIODS if str(each) == asked), pages.PERIODS[0])
        self._pushing = asyncio.create_task(self._push(alias, every))

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """There is nothing to say to it."""

    async def _push(self, alias: str | None, every: float) -> None:
        try:
            look_up_at = time.monotonic() + LOOK_UP
            while True:
                found = await fleet.read()
                message = await asyncio.to_thread(pages.message, found, alias)
                if self._pace is not None:
                    await self._pace.room()
                await self.send_json(message)
                await asyncio.sleep(every)
                if time.monotonic() > look_up_at:
                    look_up_at = time.monotonic() + LOOK_UP
                    if not await self._may_see():
                        await self.close(FORBIDDEN)
                        return
        except OSError:
            logger.debug(
                "The browser of a status page has gone",
                extra={"alias": "", "event": "browser_gone"},
            )
        except Exception:
            logger.exception(
                "A status page is not kept up to date any more",
                extra={"alias": "", "event": "consumer_failed"},
            )
            await self.close()

    async def _may_see(self) -> bool:
        """Asked anew: the scope's session is as it was when the socket was opened."""
        key = self.scope["session"].session_key
        store = import_module(settings.SESSION_ENGINE).SessionStore(key)
        scope: Any = {"session": store}
        user: Any = await get_user(scope)
        return bool(await database_sync_to_async(pages.may_see)(user))
