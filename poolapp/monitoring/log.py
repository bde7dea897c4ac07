"""What happens in the pools, as log records of ``poolapp.pool``.

Every record has ``alias`` and ``event`` (the Observer's method) as attributes, for formatters and
filters. Trouble is a WARNING, what an operator did or is glad to hear is INFO, the rest is DEBUG.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from poolapp.core.events import Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool

logger = logging.getLogger("poolapp.pool")

QUIET = 10.0
"""Seconds for which a kind of trouble is not told again once it was told."""


class Throttle:
    """Lets the first of each kind through, then one in ``QUIET`` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}

    def suppressed(self, *kind: str) -> int | None:
        """How many of this kind were held back since the last one told; None to hold it back."""
        # Without a lock: when two threads tell at once, a line more is written, or one is counted
        # less, which nobody misses.
        now = self._clock()
        last, held = self._told.get(kind, (-math.inf, 0))
        if now - last < QUIET:
            self._told[kind] = (last, held + 1)
            return None
        self._told[kind] = (now, 0)
        return held


class LogObserver(Observer):
    """Writes the events to ``poolapp.pool``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._throttle = Throttle(clock)

    def _log(self, level: int, event: str, pool: Pool[Any], message: str, *details: object) -> None:
        logger.log(
            level,
            f"pool %r: {message}",  # noqa: G004  the format string, not its values
            pool.alias,
            *details,
            extra={"alias": pool.alias, "event": event},
        )

    def _log_some(
        self,
        level: int,
        event: str,
        pool: Pool[Any],
        message: str,
        *details: object,
        kind: str = "",
    ) -> None:
        held = self._throttle.suppressed(pool.alias, event, kind)
        if held is not None:
            more = f" ({held} more since the last line of this kind)" if held else ""
            self._log(level, event, pool, f"{message}%s", *details, more)

    # -- trouble -------------------------------------------------------------------------------

    def connect_failed(self, pool: Pool[Any], error: str) -> None:
        self._log_some(logging.WARNING, "connect_failed", pool, "a connect failed: %s", error)

    def lost(self, pool: Pool[Any], in_use: bool) -> None:
        where = "in use" if in_use else "idle"
        self._log_some(
            logging.WARNING, "lost", pool, "a connection that was %s is lost", where, kind=where
        )

    def breaker_opened(self, pool: Pool[Any], failures: int) -> None:
        self._log(
            logging.WARNING,
            "breaker_opened",
            pool,
            "the circuit is open: %d connects failed in a row; acquires are refused "
            "until one works",
            failures,
        )

    def leaked(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self._log(
            logging.WARNING,
            "leaked",
            pool,
            "a connection is held for %.1f s by %s; it was acquired at\n  %s",
            held,
            lease.holder,
            "\n  ".join(lease.stack()),
        )

    def aborted(self, pool: Pool[Any], leases: list[Lease[Any]]) -> None:
        self._log(
            logging.WARNING,
            "aborted",
            pool,
            "closing cut %d connections in use, held by\n  %s",
            len(leases),
            "\n  ".join(
                f"{lease.holder} for {lease.held:.1f} s, acquired at {lease.site}"
                for lease in leases
            ),
        )

    def nested(self, pool: Pool[Any], lease: Lease[Any], outer: Lease[Any]) -> None:
        self._log_some(
            logging.WARNING,
            "nested",
            pool,
            "a task that holds a connection acquires another one, which can end in a deadlock: "
            "at %s, while it holds the one of %s",
            lease.site,
            outer.site,
            kind=lease.site,
        )

    # -- worth knowing -------------------------------------------------------------------------

    def timed_out(self, pool: Pool[Any], waited: float) -> None:
        self._log_some(logging.INFO, "timed_out", pool, "an acquire timed out after %.2f s", waited)

    def refused(self, pool: Pool[Any], reason: str) -> None:
        self._log_some(
            logging.INFO, "refused", pool, "an acquire was refused: %s", reason, kind=reason
        )

    def breaker_closed(self, pool: Pool[Any]) -> None:
        self._log(logging.INFO, "breaker_closed", pool, "the circuit is closed: a connect worked")

    def returned(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self._log(
            logging.INFO,
            "returned",
            pool,
            "the connection that seemed leaked came back after %.1f s; it was acquired at %s",
            held,
            lease.site,
        )

    def drained(self, pool: Pool[Any]) -> None:
        self._log(logging.INFO, "drained", pool, "drained: open connections are being replaced")

    def was_reset(self, pool: Pool[Any], evicted: int) -> None:
        self._log(logging.INFO, "was_reset", pool, "reset: %d waiting acquires evicted", evicted)

    def paused(self, pool: Pool[Any]) -> None:
        self._log(logging.INFO, "paused", pool, "paused")

    def resumed(self, pool: Pool[Any]) -> None:
        self._log(logging.INFO, "resumed", pool, "resumed")

    def resized(self, pool: Pool[Any], min_size: int, max_size: int) -> None:
        self._log(logging.INFO, "resized", pool, "resized to %d-%d", min_size, max_size)

    # -- the rest ------------------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        self._log(logging.DEBUG, "pool_opened", pool, "made on a loop, not connected yet")

    def pool_closed(self, pool: Pool[Any]) -> None:
        self._log(logging.DEBUG, "pool_closed", pool, "closed")

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self._log(
            logging.DEBUG, "connected", pool, "opened a connection in %.1f ms", seconds * 1000
        )

    def closed(self, pool: Pool[Any], reason: str) -> None:
        self._log(logging.DEBUG, "closed", pool, "closed a connection: %s", reason)
