"""What listens to the pools: logging, Django signals, health, metrics, the fleet. The core knows
none of it."""

from __future__ import annotations

import os
from importlib.util import find_spec

from django.conf import settings

from poolapp.core.events import Observer
from poolapp.core.registry import pools
from poolapp.monitoring.bridge import SignalBridge
from poolapp.monitoring.fleet import fleet as the_fleet
from poolapp.monitoring.health import monitor
from poolapp.monitoring.log import LogObserver
from poolapp.monitoring.statistics import StatisticsLog

_statistics = StatisticsLog(monitor)

os.register_at_fork(after_in_child=_statistics.forget)

_LISTENERS = (
    LogObserver(),
    _statistics,
    SignalBridge(),
    monitor.rates,
    monitor.prober,
    monitor.history,
    monitor.usage,
    the_fleet.member,
)


def listen() -> None:
    """Have all of them hear what happens from now on. Doing it again changes nothing."""
    for listener in (*_LISTENERS, *_exporters()):
        pools.observe(listener)


def _exporters() -> list[Observer]:
    """For whatever the project has installed."""
    found: list[Observer] = []
    if find_spec("prometheus_client") is not None:
        from poolapp.monitoring import prometheus

        prometheus.register()
        found.append(prometheus.metrics)
    if find_spec("opentelemetry") is not None and find_spec("opentelemetry.metrics") is not None:
        own = getattr(settings, "POOLAPP", None)
        wants = own if isinstance(own, dict) else {}
        if wants.get("OTEL", True) is not False:
            from poolapp.monitoring import otel

            found.append(otel.instruments)
        if wants.get("TRACE", False) is True:
            from poolapp.monitoring import tracing

            found.append(tracing.spans)
    return found
