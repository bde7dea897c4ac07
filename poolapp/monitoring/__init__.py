"""What listens to the pools: logging, Django signals, health, metrics. The core knows none of it."""

from __future__ import annotations

from importlib.util import find_spec

from poolapp.core.events import Observer
from poolapp.core.registry import pools
from poolapp.monitoring.bridge import SignalBridge
from poolapp.monitoring.health import monitor
from poolapp.monitoring.log import LogObserver

_LISTENERS = (LogObserver(), SignalBridge(), monitor.rates, monitor.prober)


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
    return found
