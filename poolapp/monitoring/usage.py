"""What the pools of an alias did: since the process began, and over the last hour."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.core.stats import BOUNDS, Counters, Histogram
from poolapp.monitoring.ticking import look_every

PERIOD = 60.0
"""Seconds between two looks at a pool."""

STEP = 300.0
"""Seconds by which the window moves on."""

STEPS = 12
"""So the window is an hour."""


_NONE = (0,) * (len(BOUNDS) + 1)


def _sum(one: Any, other: Any, sign: int) -> Any:
    if isinstance(one, tuple):
        return tuple(map(partial(_sum, sign=sign), one, other))
    if isinstance(one, Mapping):
        summed = {each: one.get(each, 0) + sign * other.get(each, 0) for each in {*one, *other}}
        return {each: count for each, count in summed.items() if count}
    return one + sign * other


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What was counted, over all loops; see ``PoolStats``."""

    acquired: int = 0
    queued: int = 0
    timed_out: int = 0
    refused: int = 0
    connected: int = 0
    connect_failed: int = 0
    connect_seconds: float = 0.0
    lost: int = 0
    leaked: int = 0
    closed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By reason; no reason stands at 0."""
    waits: tuple[int, ...] = _NONE
    """Those that queued, by the buckets of ``BOUNDS``."""
    wait_seconds: float = 0.0
    uses: tuple[int, ...] = _NONE
    """Those that were released, by the time until then."""
    use_seconds: float = 0.0

    @classmethod
    def of(cls, counters: Counters) -> Use:
        """May be called from any thread."""
        return cls(
            acquired=counters.acquired,
            queued=counters.queued,
            timed_out=counters.timed_out,
            refused=counters.refused,
            connected=counters.connected,
            connect_failed=counters.connect_failed,
            connect_seconds=counters.connect_seconds,
            lost=counters.lost,
            leaked=counters.leaked,
            closed=dict(counters.closed),
            waits=tuple(counters.waited.buckets),
            wait_seconds=counters.waited.total,
            uses=tuple(counters.used.buckets),
            use_seconds=counters.used.total,
        )

    def __add__(self, other: Use) -> Use:
        return self._with(other, 1)

    def __sub__(self, other: Use) -> Use:
        return self._with(other, -1)

    def _with(self, other: Use, sign: int) -> Use:
        return Use(
            **{
                each.name: _sum(getattr(self, each.name), getattr(other, each.name), sign)
                for each in dataclasses.fields(Use)
            }
        )

    def wait(self, share: float) -> float:
        """Seconds below which this share of the acquires waited."""
        waited = Histogram()
        waited.buckets = list(self.waits)
        return waited.quantile(share, self.acquired - waited.count)

    @property
    def released(self) -> int:
        return sum(self.uses)

    @property
    def mean_use(self) -> float:
        """Seconds from an acquire to its release."""
        return self.use_seconds / self.released if self.released else 0.0

    @property
    def mean_connect(self) -> float:
        """Seconds."""
        return self.connect_seconds / self.connected if self.connected else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A while of an alias's life in this process."""

    seconds: float = 0.0
    use: Use = Use()
    peak: int = 0
    """The most connections, or seats, that it had at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Mark:
    """Where a step of the window begins."""

    at: float
    before: Use
    peak: int = 0
    """Within the step that ends here."""


class Usage(Observer):
    """Reads the pools' own counters, so that an acquire costs nothing more.

    A pool that was closed goes on to count for its alias: under WSGI one lives no longer than its
    request.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """In a forked child: the pools were the parent's."""
        self._lock = threading.Lock()
        self._open: dict[str, dict[Pool[Any], None]] = {}
        self._ended: dict[str, Use] = {}
        self._marks: dict[str, deque[_Mark]] = {}
        self._peaks: dict[str, int] = {}

    # -- what happens --------------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        with self._lock:
            self._open.setdefault(pool.alias, {})[pool] = None
            self._look(pool.alias)
        look_every(PERIOD, pool, self._look_at)

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self._look_at(pool)

    def pool_closed(self, pool: Pool[Any]) -> None:
        with self._lock:
            if pool in self._open.get(pool.alias, {}):
                del self._open[pool.alias][pool]
                ended = self._ended.get(pool.alias, Use())
                self._ended[pool.alias] = ended + Use.of(pool.counters)

    def _look_at(self, pool: Pool[Any]) -> None:
        with self._lock:
            self._look(pool.alias)

    def _look(self, alias: str) -> None:
        """Note the size, and begin another step when it is time. Under the lock."""
        size = sum(pool.size for pool in self._open.get(alias, ()))
        peak = self._peaks[alias] = max(self._peaks.get(alias, 0), size)
        marks = self._marks.setdefault(alias, deque(maxlen=STEPS + 1))
        now = self._clock()
        if not marks:
            marks.append(_Mark(now, self._ended.get(alias, Use())))
        elif now - marks[-1].at >= STEP:
            marks.append(_Mark(now, self._total(alias), peak))
            self._peaks[alias] = size

    # -- what is known; may be called from any thread --------------------------------------------

    def total(self, alias: str) -> Use:
        """Since the process began."""
        with self._lock:
            return self._total(alias)

    def _total(self, alias: str) -> Use:
        total = self._ended.get(alias, Use())
        for pool in self._open.get(alias, ()):
            total += Use.of(pool.counters)
        return total

    def aliases(self) -> list[str]:
        """Those that were used."""
        with self._lock:
            return sorted(self._open)

    def window(self, alias: str) -> Window:
        """The last hour, or as much of it as there was; by up to a step less."""
        with self._lock:
            if alias not in self._marks:
                return Window()
            self._look(alias)
            now = self._clock()
            oldest = now - STEP * STEPS
            marks = [each for each in self._marks[alias] if each.at >= oldest]
            first = marks[0] if marks else self._marks[alias][-1]
            return Window(
                seconds=now - first.at,
                use=self._total(alias) - first.before,
                peak=max([self._peaks[alias], *(each.peak for each in marks[1:])]),
            )
