"""Everything that listens to a pool in a project with all of its monitoring on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from prometheus_client import CollectorRegistry, Histogram

from poolapp import Lease, Observer, Pool


class PrometheusObserver(Observer):
    """Two histograms of prometheus_client, observed at each acquire and release."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        labels = ("alias", "backend")
        self._wait = Histogram("wait_seconds", "In the queue", labels, registry=registry)
        self._use = Histogram("use_seconds", "In use", labels, registry=registry)
        self._heard: dict[Pool[Any], tuple[Callable[..., None], Callable[..., None]]] = {}

    def pool_opened(self, pool: Pool[Any]) -> None:
        labels = (pool.alias, pool.config.backend)
        self._heard[pool] = (
            self._wait.labels(*labels).observe,
            self._use.labels(*labels).observe,
        )

    def pool_closed(self, pool: Pool[Any]) -> None:
        self._heard.pop(pool, None)

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        self._heard[pool][0](waited)

    def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self._heard[pool][1](held)


def shipped_observers() -> None:
    """Have the process's registry listened to by what the app puts there at its start: logging,
    Django's signals, health."""
    if not settings.configured:
        settings.configure(INSTALLED_APPS=["poolapp"], POOLS={})
        django.setup()
