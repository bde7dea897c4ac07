"""What each pool did, as a line of the log every so many seconds, for who asks for it:
``POOLAPP = {"LOG_EVERY": 60}``."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings

from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.monitoring.health import Monitor
from poolapp.monitoring.usage import Use
from poolapp.monitoring.words import duration

logger = logging.getLogger("poolapp.stats")


def log_every() -> float | None:
    """Seconds; None when nobody asks for it, or wrongly: `manage.py check` tells that."""
    own = getattr(settings, "POOLAPP", None)
    every = own.get("LOG_EVERY") if isinstance(own, dict) else None
    if isinstance(every, bool) or not isinstance(every, int | float):
        return None
    return float(every) if 1 <= every < math.inf else None


class StatisticsLog(Observer):
    """Begins when the process opens its first pool, on the process's own pool loop: no request
    waits for it, and loops that come and go change nothing. It ends with the process."""

    def __init__(self, monitor: Monitor, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitor = monitor
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """In a forked child, which writes its own."""
        self._lock = threading.Lock()
        self._runs = False
        self._before: dict[str, Use] = {}
        self._told_at = self._clock()

    def pool_opened(self, pool: Pool[Any]) -> None:
        if self._runs or log_every() is None:
            return
        with self._lock:
            runs, self._runs = self._runs, True
        if not runs:
            self._told_at = self._clock()
            self._monitor.registry.spawn(self._run)

    async def _run(self) -> None:
        try:
            while (seconds := log_every()) is not None:
                await asyncio.sleep(seconds)
                await self.tell()
        finally:
            self._runs = False

    async def tell(self) -> None:
        """A line for each alias that has a pool, or had one since the last time."""
        now = self._clock()
        seconds, self._told_at = now - self._told_at, now
        for alias in self._monitor.usage.aliases():
            self._tell(alias, seconds)
            await asyncio.sleep(0)

    def _tell(self, alias: str, seconds: float) -> None:
        registry = self._monitor.registry
        pools = [pool for pool in registry.all(initialized_only=True) if pool.alias == alias]
        total = self._monitor.usage.total(alias)
        use = total - self._before.get(alias, Use())
        self._before[alias] = total
        if not pools and use == Use(closed=use.closed):
            return
        now: dict[str, int] = {
            "size": sum(pool.size for pool in pools),
            "in_use": sum(pool.in_use for pool in pools),
            "idle": sum(pool.idle for pool in pools),
            "waiting": sum(pool.waiting for pool in pools),
        }
        limit = registry.config(alias).max_size if alias in registry else 0
        since = {name: getattr(use, name) for name in _COUNTS}
        p95 = use.wait(0.95)
        logger.info(
            "pool %r: %d of %d in use, %d idle, %d waiting; in the last %s %d acquires, %d queued "
            "(p95 %s), %d timed out, %d refused, %d connects, %d failed, %d lost",
            alias,
            now["in_use"],
            limit,
            now["idle"],
            now["waiting"],
            duration(seconds),
            use.acquired,
            use.queued,
            duration(p95),
            use.timed_out,
            use.refused,
            use.connected,
            use.connect_failed,
            use.lost,
            extra={
                "alias": alias,
                "event": "statistics",
                "statistics": {
                    **now,
                    "max_size": limit,
                    "seconds": round(seconds, 3),
                    **since,
                    "wait_p95": round(p95, 6),
                    "use_mean": round(use.mean_use, 6),
                },
            },
        )


_COUNTS = (
    "acquired", "queued", "timed_out", "refused", "connected", "connect_failed", "lost",
)  # fmt: skip
"""Since the line before."""
