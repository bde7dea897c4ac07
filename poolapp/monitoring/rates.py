"""How many acquires of an alias fail, over a sliding window."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.monitoring.ticking import look_every

PERIOD = 5.0
"""Seconds between two samples of a pool's counters."""

SAMPLES = 12
"""So the window is a minute."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """Acquires and, of these, those that failed: timed out or refused."""

    acquires: int = 0
    failed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.acquires + other.acquires, self.failed + other.failed)

    def __sub__(self, other: Tally) -> Tally:
        return Tally(self.acquires - other.acquires, self.failed - other.failed)

    @property
    def rate(self) -> float:
        """From 0 to 1."""
        return self.failed / self.acquires if self.acquires else 0.0


class ErrorRates(Observer):
    """Reads the pools' own counters a few times a minute, so that an acquire costs nothing more.

    A pool that was closed is counted for as long as its acquires may lie in the window, because
    under WSGI a pool lives no longer than its request.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: dict[Pool[Any], deque[Tally]] = {}
        self._ended: dict[str, deque[tuple[float, Tally]]] = {}
        self._lock = threading.Lock()

    def pool_opened(self, pool: Pool[Any]) -> None:
        self._samples[pool] = deque([Tally()], maxlen=SAMPLES)
        look_every(PERIOD, pool, self._sample)

    def _sample(self, pool: Pool[Any]) -> None:
        samples = self._samples.get(pool)
        if samples is not None:
            samples.append(_total(pool))

    def pool_closed(self, pool: Pool[Any]) -> None:
        samples = self._samples.pop(pool, None)
        tally = _total(pool) - samples[0] if samples else Tally()
        if not tally.acquires:
            return
        now = self._clock()
        with self._lock:
            ended = self._ended.setdefault(pool.alias, deque())
            if ended and now - ended[-1][0] < PERIOD:
                ended[-1] = (ended[-1][0], ended[-1][1] + tally)
            else:
                ended.append((now, tally))
            self._prune(ended, now)

    def forget(self) -> None:
        """In a forked child: the pools were the parent's."""
        self._lock = threading.Lock()
        self._samples = {}
        self._ended = {}

    def of(self, alias: str) -> Tally:
        """The acquires of the last minute, on all loops; may be called from any thread."""
        tally = Tally()
        for pool, samples in list(self._samples.items()):
            if pool.alias == alias:
                tally += _total(pool) - samples[0]
        with self._lock:
            ended = self._ended.get(alias, deque())
            self._prune(ended, self._clock())
            for _, each in ended:
                tally += each
        return tally

    @staticmethod
    def _prune(ended: deque[tuple[float, Tally]], now: float) -> None:
        while ended and now - ended[0][0] > PERIOD * SAMPLES:
            ended.popleft()


def _total(pool: Pool[Any]) -> Tally:
    counters = pool.counters
    failed = counters.timed_out + counters.refused
    return Tally(counters.acquired + failed, failed)
