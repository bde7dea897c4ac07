"""What a command has found, in Prometheus' words: for a textfile collector, say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from poolapp.core.stats import PoolStats
from poolapp.monitoring.health import SEVERITY
from poolapp.monitoring.probe import Status
from poolapp.monitoring.prometheus import LABELS, label_of

_GAUGES = (
    ("active_connections", "in_use", "Connections, or seats, in use"),
    ("idle_connections", "idle", "Connections, or seats, that lie idle"),
    ("total_connections", "size", "Connections, or seats, that are open"),
    ("waiting", "waiting", "Acquires that queue now"),
)
_COUNTERS = (
    ("timeouts", "timed_out", "Acquires that timed out"),
    ("refused", "refused", "Acquires that were turned away at once"),
    ("lost", "lost", "Connections that went away by themselves"),
    ("leaks", "leaked", "Leases held for longer than LEAK_AFTER"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One alias: in one process, or in one of many."""

    alias: str
    backend: str
    """The name of its class, with or without its module."""
    max_size: int
    status: Status | None
    """None when nobody has asked the server."""
    stats: Sequence[PoolStats]


def exposition(told: Iterable[Told]) -> str:
    """The text format. Processes are summed up; of their health the worst counts."""
    registry = CollectorRegistry()
    registry.register(_Families(list(told)))
    return generate_latest(registry).decode()


class _Families(Collector):
    def __init__(self, told: list[Told]) -> None:
        self._by_alias: dict[tuple[str, str], list[Told]] = {}
        for each in told:
            self._by_alias.setdefault((each.alias, label_of(each.backend)), []).append(each)

    def collect(self) -> Iterator[Metric]:
        for name, field, text in _GAUGES:
            gauge = GaugeMetricFamily(f"connection_pool_{name}", text, labels=LABELS)
            for labels, found in self._by_alias.items():
                gauge.add_metric(labels, _sum(found, field))
            yield gauge
        limit = GaugeMetricFamily("connection_pool_max_connections", "MAX_SIZE", labels=LABELS)
        for labels, found in self._by_alias.items():
            limit.add_metric(labels, sum(each.max_size for each in found))
        yield limit
        for name, field, text in _COUNTERS:
            counter = CounterMetricFamily(f"connection_pool_{name}", text, labels=LABELS)
            for labels, found in self._by_alias.items():
                counter.add_metric(labels, _sum(found, field))
            yield counter
        health = GaugeMetricFamily(
            "connection_pool_health", "0 healthy, 1 degraded, 2 unhealthy", labels=LABELS
        )
        for labels, found in self._by_alias.items():
            known = [SEVERITY[each.status] for each in found if each.status is not None]
            if known:
                health.add_metric(labels, max(known))
        yield health


def _sum(found: Sequence[Told], field: str) -> int:
    return sum(getattr(stats, field) for each in found for stats in each.stats)
