"""What listens to the pools: logging, Django signals, health. The core knows none of it."""

from __future__ import annotations

from poolapp.core.registry import pools
from poolapp.monitoring.bridge import SignalBridge
from poolapp.monitoring.health import monitor
from poolapp.monitoring.log import LogObserver

_LISTENERS = (LogObserver(), SignalBridge(), monitor.rates, monitor.prober)


def listen() -> None:
    """Have all of them hear what happens from now on. Doing it again changes nothing."""
    for listener in _LISTENERS:
        pools.observe(listener)
