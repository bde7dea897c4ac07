"""When: soon after each commit, and again when it is time for what has failed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import Any

from django.db import connections

from poolapp.core.events import Observer
from poolapp.core.exceptions import PoolClosed
from poolapp.core.pool import Pool
from poolapp.core.registry import pools
from poolapp.databases import database_of
from poolapp.instep.catching_up import next_due, settle
from poolapp.instep.declaring import declared

logger = logging.getLogger("poolapp.instep")

UNREADABLE_DELAY = 5.0
"""Seconds until a database that could not be asked is asked again."""


class Background(Observer):
    """At most one pass over a database at a time in this process, on its own pool loop.

    What a process that has died, or an outage, has left over is looked for when this one begins to
    work with the database. It ends with the pool that it works on.
    """

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        # In a forked child: the loop that did it is the parent's.
        self._lock = threading.Lock()
        self._passing: dict[str, bool] = {}
        """The databases that are passed over, and whether one more pass is due."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._looked: set[str] = set()

    # -- when it begins and ends -------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        using = database_of(pool.alias)
        is_djangos = using in connections.settings
        if is_djangos and using not in self._looked and declared():
            self._looked.add(using)
            self.kick(using)

    def pool_closed(self, pool: Pool[Any]) -> None:
        if pool.loop is self._loop:
            using = database_of(pool.alias)
            self._looked.discard(using)
            self._cancel_timer(using)

    def kick(self, using: str) -> None:
        """There is something to do; from any thread."""
        with self._lock:
            passing = using in self._passing
            self._passing[using] = passing
        if not passing:
            pools.spawn(self._run, using)

    # -- on the loop -------------------------------------------------------------------------------

    async def _run(self, using: str) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            delay = await self._pass(using)
        finally:
            with self._lock:
                again = self._passing.pop(using, False)
        if again:
            self.kick(using)
        elif delay is not None:
            self._kick_later(using, delay)

    async def _pass(self, using: str) -> float | None:
        """Seconds until there is more to do, None when all is done."""
        try:
            await settle(using)
            return await next_due(using)
        except PoolClosed:
            return None  # whoever opens it again does the rest
        except Exception as error:
            logger.warning(
                "What is to be kept in step can't be read from database %r: %s",
                using,
                error,
                extra={"alias": using, "event": "instep_unreadable"},
            )
            return UNREADABLE_DELAY

    def _kick_later(self, using: str, delay: float) -> None:
        self._cancel_timer(using)
        loop = asyncio.get_running_loop()
        self._timers[using] = loop.call_later(max(delay, 0.05), self._come_back, using)

    def _come_back(self, using: str) -> None:
        del self._timers[using]
        self.kick(using)

    def _cancel_timer(self, using: str) -> None:
        timer = self._timers.pop(using, None)
        if timer is not None:
            timer.cancel()


background = Background()
"""The process's own."""

kick = background.kick
