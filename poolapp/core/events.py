"""What a pool tells those who listen. The core knows none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolapp.core.lease import Lease
    from poolapp.core.pool import Pool

logger = logging.getLogger("poolapp.events")


class Observer:
    """Override what you want to hear; what you leave alone costs nothing.

    Methods are called in order, at the moment of the event, in the thread of the pool's loop.
    They must be quick. One that raises is logged, and changes nothing for the pool.
    """

    def pool_opened(self, pool: Pool[Any]) -> None: ...

    def pool_closed(self, pool: Pool[Any]) -> None: ...

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        """A connection was opened; ``seconds`` is how long that took."""

    def connect_failed(self, pool: Pool[Any], error: str) -> None:
        """``error`` is the driver's class and message without secrets."""

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        """``waited`` is the seconds in the queue, exactly 0.0 when there was none."""

    def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None: ...

    def cancelled(self, pool: Pool[Any], waited: float) -> None:
        """A queued acquire was cancelled."""

    def gave_up(self, pool: Pool[Any], waited: float, error: Exception) -> None:
        """A queued acquire ends in an error, in the context of its caller; ``timed_out`` and
        ``refused`` told of the same when it was decided, in no context."""

    def timed_out(self, pool: Pool[Any], waited: float) -> None: ...

    def refused(self, pool: Pool[Any], reason: str) -> None:
        """An acquire was turned away at once: ``max_waiting``, ``circuit_open``, ``unavailable``,
        ``reset`` or ``closed``."""

    def nested(self, pool: Pool[Any], lease: Lease[Any], outer: Lease[Any]) -> None:
        """A task acquired while it held a lease of the same pool: when every task does, none can
        go on."""

    def lost(self, pool: Pool[Any], in_use: bool) -> None:
        """A connection went away by itself, was found dead, or broke in its holder's hands."""

    def closed(self, pool: Pool[Any], reason: str) -> None:
        """A connection was closed: ``lifetime``, ``idle``, ``drained``, ``reset``, ``lost``,
        ``dirty``, ``budget``, ``shutdown`` or ``aborted``."""

    def leaked(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        """A lease is older than ``LEAK_AFTER``; told once."""

    def returned(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        """A lease that was told as leaked came back."""

    def aborted(self, pool: Pool[Any], leases: list[Lease[Any]]) -> None:
        """Closing did not wait any longer for these."""

    def breaker_opened(self, pool: Pool[Any], failures: int) -> None: ...

    def breaker_closed(self, pool: Pool[Any]) -> None: ...

    def drained(self, pool: Pool[Any]) -> None: ...

    def was_reset(self, pool: Pool[Any], evicted: int) -> None: ...

    def paused(self, pool: Pool[Any]) -> None: ...

    def resumed(self, pool: Pool[Any]) -> None: ...

    def resized(self, pool: Pool[Any], min_size: int, max_size: int) -> None: ...


EVENTS = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Events:
    """For each event the methods that listen to it, as a tuple that is replaced, never changed:
    a pool in any thread may walk one while another is put in its place."""

    def __init__(self) -> None:
        self.observers: tuple[Observer, ...] = ()
        self.acquired: tuple[Callable[..., None], ...] = ()
        self.released: tuple[Callable[..., None], ...] = ()
        self._heard: dict[str, tuple[Callable[..., None], ...]] = {}

    def add(self, observer: Observer) -> None:
        if observer not in self.observers:
            self._set((*self.observers, observer))

    def discard(self, observer: Observer) -> None:
        self._set(tuple(each for each in self.observers if each is not observer))

    def _set(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers
        self._heard = {
            name: tuple(
                getattr(each, name)
                for each in observers
                if getattr(type(each), name) is not getattr(Observer, name)
            )
            for name in EVENTS
        }
        self.acquired = self._heard["acquired"]
        self.released = self._heard["released"]

    def emit(self, name: str, pool: Any, *details: Any) -> None:
        for heard in self._heard.get(name, ()):
            try:
                heard(pool, *details)
            except Exception:
                self.failed(name, pool)

    def failed(self, name: str, pool: Any) -> None:
        """Called in an ``except`` block: an observer's fault is its own."""
        said = {"alias": pool.alias, "event": "observer_failed"}
        logger.error("An observer failed on %s", name, exc_info=True, extra=said)  # noqa: LOG014
