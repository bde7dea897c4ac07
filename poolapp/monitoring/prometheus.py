"""The pools in Prometheus' words, through prometheus_client's default registry.

Nothing of it is in an acquire's way: the pools count for themselves, and what they have counted
since the last time is carried over when somebody asks. In prometheus_client's multi-process mode
nobody asks the process itself, so it carries over by itself, every few seconds.

A gauge is the sum over the processes that live, or the worst of them for what can't be added up.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from poolapp.core.config import PoolConfig
from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.core.stats import BOUNDS, PoolStats
from poolapp.monitoring.fleet import fleet
from poolapp.monitoring.health import SEVERITY, Monitor, monitor
from poolapp.monitoring.ticking import look_every
from poolapp.monitoring.usage import Use

PERIOD = 5.0
"""Seconds between two times that a process of many carries over what it has counted."""

LABELS = ("alias", "backend")

_Worst = Literal["livesum", "livemax", "livemin"]


def label_of(backend: str) -> str:
    """``postgres`` of ``poolapp.backends.postgres.PostgresBackend``."""
    return backend.rpartition(".")[2].removesuffix("Backend").lower()


class PoolMetrics(Observer):
    """A collector for one registry, and the observer that fills it."""

    def __init__(self, monitor: Monitor, limits: Callable[[], Mapping[str, int]] = dict) -> None:
        """``limits`` tells for each alias how many connections its server lets in, where that is
        known."""
        self._monitor = monitor
        self._limits = limits
        self._lock = threading.Lock()
        self._carried: dict[Pool[Any], Use] = {}
        self._carried_at = 0.0
        self._metrics: list[Counter | Gauge | Histogram] = []

        self._active = self._gauge("active_connections", "Connections, or seats, in use")
        self._idle = self._gauge("idle_connections", "Connections, or seats, that lie idle")
        self._total = self._gauge("total_connections", "Connections, or seats, that are open")
        self._max = self._gauge("max_connections", "MAX_SIZE, over all processes")
        self._server_limit = self._gauge(
            "server_limit", "Connections that the alias's server lets in, from all", "livemax"
        )
        self._waiting = self._gauge("waiting", "Acquires that queue now")
        self._failed = self._gauge("failed_connections", "Connects that failed, since the start")
        self._error_rate = self._gauge(
            "error_rate", "Share of the last minute's acquires that failed, 0 to 1", "livemax"
        )
        self._efficiency = self._gauge(
            "efficiency", "Share of the acquires that needed no connect, 0 to 1", "livemin"
        )
        self._breaker = self._gauge("breaker_state", "1 while the circuit is open", "livemax")
        self._health = self._gauge("health", "0 healthy, 1 degraded, 2 unhealthy", "livemax")
        self._timeouts = self._counter("timeouts", "Acquires that timed out")
        self._refused = self._counter("refused", "Acquires that were turned away at once")
        self._lost = self._counter("lost", "Connections that went away by themselves")
        self._leaks = self._counter("leaks", "Leases held for longer than LEAK_AFTER")
        self._closed = self._counter("closed", "Connections that were closed", "reason")
        self._wait = self._histogram("wait_seconds", "Time in the queue of an acquire")
        self._use = self._histogram("request_duration_seconds", "Time that a lease was held")
        self._create = self._histogram("create_seconds", "Time that a connect took")

    def _gauge(self, name: str, text: str, mode: _Worst = "livesum") -> Gauge:
        made = Gauge(f"connection_pool_{name}", text, LABELS, registry=None, multiprocess_mode=mode)
        self._metrics.append(made)
        return made

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        made = Counter(f"connection_pool_{name}", text, (*LABELS, *labels), registry=None)
        self._metrics.append(made)
        return made

    def _histogram(self, name: str, text: str) -> Histogram:
        made = Histogram(f"connection_pool_{name}", text, LABELS, registry=None, buckets=BOUNDS)
        self._metrics.append(made)
        return made

    # -- being asked ---------------------------------------------------------------------------

    def describe(self) -> Iterable[Metric]:
        for metric in self._metrics:
            yield from metric.describe()

    def collect(self) -> Iterator[Metric]:
        self.carry_over()
        for metric in self._metrics:
            yield from metric.collect()

    # -- hearing -------------------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        if _many_processes():
            look_every(PERIOD, pool, self._carry_over_in_time)

    def _carry_over_in_time(self, pool: Pool[Any]) -> None:
        # Each open pool looks, and whichever is first does it for all.
        if time.monotonic() - self._carried_at >= PERIOD / 2:
            self.carry_over()

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self._create.labels(pool.alias, label_of(pool.config.backend)).observe(seconds)

    def pool_closed(self, pool: Pool[Any]) -> None:
        with self._lock:
            self._count(pool)
            self._carried.pop(pool, None)
        if _many_processes():
            self.carry_over()

    def forget(self) -> None:
        """In a forked child: the pools were the parent's, which carries their counts over."""
        self._lock = threading.Lock()
        self._carried = {}

    # -- carrying over -------------------------------------------------------------------------

    def carry_over(self) -> None:
        """Have the metrics say what the pools say now; from any thread."""
        self._carried_at = time.monotonic()
        registry = self._monitor.registry
        with self._lock:
            found = registry.all(initialized_only=True)
            for pool in found:
                self._count(pool)
            by_alias: dict[str, list[PoolStats]] = {alias: [] for alias in registry}
            for pool in found:
                by_alias.setdefault(pool.alias, []).append(pool.stats())
            for alias, stats in by_alias.items():
                if alias in registry:
                    self._show(registry.config(alias), stats)

    def _count(self, pool: Pool[Any]) -> None:
        labels = (pool.alias, label_of(pool.config.backend))
        now = Use.of(pool.counters)
        new = now - self._carried.get(pool, Use())
        self._carried[pool] = now
        self._timeouts.labels(*labels).inc(new.timed_out)
        self._refused.labels(*labels).inc(new.refused)
        self._lost.labels(*labels).inc(new.lost)
        self._leaks.labels(*labels).inc(new.leaked)
        self._failed.labels(*labels).inc(new.connect_failed)
        for reason, count in new.closed.items():
            self._closed.labels(*labels, reason).inc(count)
        # Of the acquires that did not queue each waited no time at all.
        at_once, *queued = new.waits
        waits = (at_once + new.acquired - new.queued, *queued)
        _add(self._wait.labels(*labels), waits, new.wait_seconds)
        _add(self._use.labels(*labels), new.uses, new.use_seconds)

    def _show(self, config: PoolConfig, stats: list[PoolStats]) -> None:
        labels = (config.alias, label_of(config.backend))
        use = self._monitor.usage.total(config.alias)
        self._active.labels(*labels).set(sum(each.in_use for each in stats))
        self._idle.labels(*labels).set(sum(each.idle for each in stats))
        self._total.labels(*labels).set(sum(each.size for each in stats))
        self._max.labels(*labels).set(config.max_size)
        limit = self._limits().get(config.alias)
        if limit is not None:
            self._server_limit.labels(*labels).set(limit)
        self._waiting.labels(*labels).set(sum(each.waiting for each in stats))
        self._breaker.labels(*labels).set(any(each.breaker_open for each in stats))
        self._error_rate.labels(*labels).set(self._monitor.rates.of(config.alias).rate)
        efficiency = max(0.0, 1 - use.connected / use.acquired) if use.acquired else 1.0
        self._efficiency.labels(*labels).set(efficiency)
        self._health.labels(*labels).set(SEVERITY[self._monitor.known(config.alias).status])
        self._failed.labels(*labels).inc(0)
        for counter in (self._timeouts, self._refused, self._lost, self._leaks):
            counter.labels(*labels).inc(0)


def _add(into: Histogram, counts: Sequence[int], seconds: float) -> None:
    """Add many observations at once. prometheus_client has a public way for single ones only; a
    test holds these two attributes."""
    for bucket, count in zip(into._buckets, counts, strict=True):
        if count:
            bucket.inc(count)
    if seconds:
        into._sum.inc(seconds)


def _many_processes() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ or "prometheus_multiproc_dir" in os.environ


metrics = PoolMetrics(monitor, lambda: fleet.member.limits.known)
"""The process's own."""


@functools.cache
def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Have a registry's readers see the pools. Doing it again changes nothing."""
    registry.register(metrics)


os.register_at_fork(after_in_child=metrics.forget)
