"""What the pools did lately: samples of each, for sparklines, and the latest events of an alias.

Reads two counters of a pool every two seconds, so that an acquire costs nothing more; memory is
bounded by the numbers below.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from poolapp.core.pool import Pool
from poolapp.monitoring.log import LogObserver
from poolapp.monitoring.ticking import look_every

PERIOD = 2.0
"""Seconds between two samples of a pool."""

SAMPLES = 60
"""So a sparkline shows two minutes."""

EVENTS = 20
"""Of an alias, the latest."""

TEXT = 400
"""Characters of an event's text."""

TOGETHER = 10.0
"""Seconds within which events of one kind are told as one, with their number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """A pool's last samples, the oldest first, ``PERIOD`` seconds apart."""

    in_use: tuple[int, ...] = ()
    waiting: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Without what is all 0: most of it is, and a fleet has many pools."""
        lists = {"in_use": list(self.in_use), "waiting": list(self.waiting)}
        return {"n": len(self.in_use)} | {name: each for name, each in lists.items() if any(each)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Samples:
        nothing = [0] * min(int(data.get("n", 0)), SAMPLES)
        in_use, waiting = data.get("in_use", nothing), data.get("waiting", nothing)
        return cls(tuple(map(int, in_use)), tuple(map(int, waiting)))


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """What happened in the pools of an alias, once or several times."""

    name: str
    """The observer's method: ``timed_out``."""
    text: str
    """A sentence, of the last time; may have several lines. Without secrets."""
    serious: bool
    """Whether it is trouble, and not what an operator did or is glad to hear."""
    count: int
    ago: float
    """Seconds since the last time."""

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "ago": round(self.ago, 1)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], age: float) -> Event:
        """``age`` is how old the data is."""
        return cls(
            str(data["name"]),
            str(data["text"]),
            bool(data["serious"]),
            int(data["count"]),
            float(data["ago"]) + age,
        )


@dataclasses.dataclass(slots=True)
class _Kept:
    kind: tuple[str, str]
    text: str
    serious: bool
    count: int
    first: float
    last: float


class History(LogObserver):
    """Keeps what the log tells at INFO and above, in the same words."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._clock = clock
        self._samples: dict[Pool[Any], deque[tuple[int, int]]] = {}
        self._events: dict[str, deque[_Kept]] = {}
        self._lock = threading.Lock()

    # -- samples -------------------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        self._samples[pool] = deque(maxlen=SAMPLES)
        self._sample(pool)
        look_every(PERIOD, pool, self._sample)

    def _sample(self, pool: Pool[Any]) -> None:
        samples = self._samples.get(pool)
        if samples is not None:
            samples.append((pool.in_use, pool.waiting))

    def pool_closed(self, pool: Pool[Any]) -> None:
        self._samples.pop(pool, None)

    def samples(self, pool: Pool[Any]) -> Samples:
        """May be called from any thread."""
        found = self._samples.get(pool)
        # A copy in one step: the pool's loop may append meanwhile.
        pairs = list(found.copy()) if found else []
        return Samples(tuple(each[0] for each in pairs), tuple(each[1] for each in pairs))

    # -- events --------------------------------------------------------------------------------

    def connected(self, pool: Pool[Any], seconds: float) -> None: ...

    def closed(self, pool: Pool[Any], reason: str) -> None: ...

    def _log(self, level: int, event: str, pool: Pool[Any], message: str, *details: object) -> None:
        self._keep(level, event, pool, message % details)

    def _log_some(
        self,
        level: int,
        event: str,
        pool: Pool[Any],
        message: str,
        *details: object,
        kind: str = "",
    ) -> None:
        self._keep(level, event, pool, message % details, kind or "all")

    def _keep(self, level: int, event: str, pool: Pool[Any], text: str, kind: str = "") -> None:
        text = f"{text[:1].upper()}{text[1:TEXT]}{'…' if len(text) > TEXT else '.'}"
        now = self._clock()
        kept = _Kept((event, kind), text, level >= logging.WARNING, 1, now, now)
        with self._lock:
            events = self._events.setdefault(pool.alias, deque(maxlen=EVENTS))
            before = next((each for each in events if kind and each.kind == kept.kind), None)
            if before is not None and now - before.first < TOGETHER:
                events.remove(before)
                kept.count, kept.first = before.count + 1, before.first
            events.append(kept)

    def events(self, alias: str) -> list[Event]:
        """The latest first; may be called from any thread."""
        now = self._clock()
        with self._lock:
            kept = list(self._events.get(alias, ()))
        return [
            Event(each.kind[0], each.text, each.serious, each.count, now - each.last)
            for each in reversed(kept)
        ]

    def forget(self) -> None:
        """In a forked child: the pools were the parent's."""
        self._lock = threading.Lock()
        self._samples = {}
        self._events = {}
