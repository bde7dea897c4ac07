"""What a pool counts, and the picture of it that others read."""

from __future__ import annotations

import dataclasses
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolapp.core.backend import Sockets
    from poolapp.core.pool import Pool
    from poolapp.core.supply import Supply

BOUNDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0,
)  # fmt: skip
"""Upper bounds of the histograms' buckets, in seconds, a 1-2.5-5 series."""


class Histogram:
    """Durations in buckets: ``observe`` costs a bisection, memory does not grow."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def quantile(self, share: float, zeros: int = 0) -> float:
        """Seconds below which this share of the durations lies, by linear interpolation within
        the bucket; ``zeros`` more durations are counted as 0."""
        rank = share * (self.count + zeros) - zeros
        if rank <= 0:
            return 0.0
        lower = 0.0
        for bound, count in zip(BOUNDS, self.buckets, strict=False):
            if rank <= count:
                return lower + (bound - lower) * rank / count
            rank -= count
            lower = bound
        return BOUNDS[-1]


class Counters:
    """What happened since the pool was made. Written by the pool only, on its loop."""

    __slots__ = (
        "acquired", "cancelled", "closed", "connect_failed", "connect_seconds", "connected",
        "leaked", "lost", "nested", "queued", "refused", "timed_out", "used", "waited",
    )  # fmt: skip

    def __init__(self) -> None:
        self.acquired = 0
        self.queued = 0
        self.cancelled = 0
        self.timed_out = 0
        self.refused = 0
        self.nested = 0
        self.leaked = 0
        self.connected = 0
        self.connect_failed = 0
        self.connect_seconds = 0.0
        self.lost = 0
        self.closed: Counter[str] = Counter()
        self.waited = Histogram()
        """Of the queued acquires; the others waited 0 s."""
        self.used = Histogram()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PoolStats:
    """One pool at one moment. Durations are seconds; counters run since the pool was made."""

    alias: str
    backend: str
    shared: bool
    state: str
    """``open``, ``paused``, ``closing`` or ``closed``."""
    generation: int
    min_size: int
    max_size: int
    """Of the process: over all its loops."""
    size: int
    in_use: int
    idle: int
    sockets: Sockets | None
    """Of the driver, where a shared client has a socket pool of its own and tells of it."""
    latency: float | None
    """The last heartbeat's round trip, of the slowest connection, where the driver measures it."""
    connecting: int
    waiting: int
    acquired: int
    queued: int
    cancelled: int
    timed_out: int
    refused: int
    nested: int
    leaked: int
    leaking: int
    """Leases now held for longer than ``LEAK_AFTER``."""
    connected: int
    connect_failed: int
    connect_seconds: float
    lost: int
    closed: dict[str, int]
    wait_seconds: float
    wait_p50: float
    wait_p95: float
    wait_p99: float
    use_seconds: float
    use_p95: float
    breaker_open: bool
    last_error: str
    """Of the last connect that failed, ``""`` once one worked."""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def as_psycopg(self) -> dict[str, int]:
        """The same under the names of psycopg_pool's ``get_stats()``; times are milliseconds."""
        return {
            "pool_min": self.min_size,
            "pool_max": self.max_size,
            "pool_size": self.size,
            "pool_available": self.idle,
            "requests_waiting": self.waiting,
            "requests_num": self.acquired,
            "requests_queued": self.queued,
            "requests_wait_ms": round(self.wait_seconds * 1000),
            "requests_errors": self.timed_out + self.refused,
            "usage_ms": round(self.use_seconds * 1000),
            "connections_num": self.connected + self.connect_failed,
            "connections_ms": round(self.connect_seconds * 1000),
            "connections_errors": self.connect_failed,
            "connections_lost": self.lost,
        }


def picture(pool: Pool[Any], supply: Supply[Any]) -> PoolStats:
    """One pool as it is now; may be called from any thread."""
    counters = pool.counters
    immediate = counters.acquired - counters.queued
    return PoolStats(
        alias=pool.alias,
        backend=pool.config.backend,
        shared=pool.backend.shared,
        state=pool.state,
        generation=supply.generation,
        min_size=pool.config.min_size,
        max_size=pool.budget.limit,
        size=supply.size,
        in_use=pool.in_use,
        idle=pool.idle,
        sockets=supply.sockets(),
        latency=supply.latency(),
        connecting=supply.connecting,
        waiting=pool.waiting,
        acquired=counters.acquired,
        queued=counters.queued,
        cancelled=counters.cancelled,
        timed_out=counters.timed_out,
        refused=counters.refused,
        nested=counters.nested,
        leaked=counters.leaked,
        leaking=sum(lease.reported for lease in pool.leases()),
        connected=counters.connected,
        connect_failed=counters.connect_failed,
        connect_seconds=counters.connect_seconds,
        lost=counters.lost,
        closed=dict(counters.closed),
        wait_seconds=counters.waited.total,
        wait_p50=counters.waited.quantile(0.5, immediate),
        wait_p95=counters.waited.quantile(0.95, immediate),
        wait_p99=counters.waited.quantile(0.99, immediate),
        use_seconds=counters.used.total,
        use_p95=counters.used.quantile(0.95),
        breaker_open=supply.recovery.is_open,
        last_error=supply.recovery.last_error if supply.recovery.failures else "",
    )
