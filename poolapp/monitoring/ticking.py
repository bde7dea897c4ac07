"""Looking at a pool now and then, on its own loop, so that an acquire costs nothing more."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

from poolapp.core.pool import Pool


def look_every(seconds: float, pool: Pool[Any], look: Callable[[Pool[Any]], object]) -> None:
    """Call ``look(pool)`` every so many seconds, for the first time after the first of them, until
    the pool is closed. Called on the pool's loop."""

    def again() -> None:
        if pool.state != "closed":
            look(pool)
            wait()

    def wait() -> None:
        # In an empty context: the one that is current may be of a request, and would live on here.
        pool.loop.call_later(seconds, again, context=Context())

    wait()
