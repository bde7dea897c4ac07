"""The pools as OpenTelemetry's instruments, under the names of its semantic conventions for
database clients' pools.

What is of the moment is read when somebody collects. The two histograms take single values only,
and each costs more than an acquire does: so an acquire lays its value by, and who collects records
it, in that one's thread. With the API alone, which keeps nothing, no acquire is listened to at all.
"""

from __future__ import annotations

import inspect
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.metrics import (
    CallbackOptions,
    Histogram,
    Meter,
    MeterProvider,
    Observation,
    get_meter,
    get_meter_provider,
)

from poolapp.core.config import PoolConfig
from poolapp.core.events import Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry, pools
from poolapp.core.stats import BOUNDS

ROOM = 10_000
"""Values of one alias that are laid by; what comes beyond, before somebody collects, is recorded
at once."""

SLICE = 100
"""Values recorded in one go, about 0.5 ms. A thread that computes is made to let others run only
every 5 ms, which an event loop would feel."""

PAUSE = 0.0001

_ADVICE: dict[str, Any] = {"explicit_bucket_boundaries_advisory": list(BOUNDS)}
if not _ADVICE.keys() <= inspect.signature(Meter.create_histogram).parameters.keys():
    _ADVICE = {}  # before 1.30 a provider takes them from its own views only

Callback = Callable[[CallbackOptions], Iterator[Observation]]


def named(alias: str) -> dict[str, str]:
    """The attribute that tells pools apart."""
    return {"db.client.connection.pool.name": alias}


class Durations:
    """One histogram, and by alias the values that were not recorded yet. Any thread may append."""

    def __init__(self, histogram: Histogram) -> None:
        self.histogram = histogram
        self.kept: defaultdict[str, deque[float]] = defaultdict(deque)

    def record(self) -> None:
        """Those of now; a meter provider has one thread at a time in its callbacks."""
        for alias, kept in list(self.kept.items()):
            attributes = named(alias)
            for number in range(1, len(kept) + 1):
                self.histogram.record(kept.popleft(), attributes)
                if number % SLICE == 0:
                    time.sleep(PAUSE)


class Stopwatch(Observer):
    """Times every acquire: attached only where a provider wants to know."""

    def __init__(self, waits: Durations, uses: Durations) -> None:
        self._waits = waits
        self._uses = uses

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        kept = self._waits.kept[pool.config.alias]
        if len(kept) < ROOM:
            kept.append(waited)
        else:
            self._waits.histogram.record(waited, named(pool.alias))

    def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        kept = self._uses.kept[pool.config.alias]
        if len(kept) < ROOM:
            kept.append(held)
        else:
            self._uses.histogram.record(held, named(pool.alias))


class PoolInstruments(Observer):
    """The instruments of a registry's pools: those of a provider, or of the global one, which may
    be set later."""

    def __init__(self, registry: Registry, provider: MeterProvider | None = None) -> None:
        meter = get_meter("poolapp", meter_provider=provider)
        self._provider = provider
        self._registry = registry
        self._gauge(
            meter, "count", "Connections, or seats of a shared client, by state", self._count
        )
        self._gauge(meter, "idle.max", "Connections that may lie idle", self._config_of("max_size"))
        self._gauge(
            meter, "idle.min", "Connections that are kept open", self._config_of("min_size")
        )
        self._gauge(meter, "max", "Connections that may be open", self._config_of("max_size"))
        self._gauge(
            meter, "pending_requests", "Acquires that queue now", self._waiting, "{request}"
        )
        self._timeouts = meter.create_counter(
            "db.client.connection.timeouts", "{timeout}", "Acquires that timed out"
        )
        self._connects = self._histogram(meter, "create_time", "Time that a connect took")
        wait = self._histogram(meter, "wait_time", "Time in the queue of an acquire")
        use = self._histogram(meter, "use_time", "Time that a connection was held")
        self._durations = (Durations(wait), Durations(use))
        self._stopwatch = Stopwatch(*self._durations)

    def _gauge(
        self,
        meter: Meter,
        name: str,
        text: str,
        read: Callback,
        unit: str = "{connection}",
    ) -> None:
        meter.create_observable_up_down_counter(
            f"db.client.connection.{name}", [read], unit=unit, description=text
        )

    def _histogram(self, meter: Meter, name: str, text: str) -> Histogram:
        return meter.create_histogram(
            f"db.client.connection.{name}",
            unit="s",
            description=text,
            **_ADVICE,
        )

    # -- being collected -----------------------------------------------------------------------

    def _aliases(self) -> Iterator[tuple[PoolConfig, list[Pool[Any]]]]:
        """Each that is declared, with its pools on all loops."""
        found = self._registry.all(initialized_only=True)
        for alias in self._registry:
            yield self._registry.config(alias), [each for each in found if each.alias == alias]

    def _count(self, options: CallbackOptions) -> Iterator[Observation]:
        # Somebody collects, so somebody wants to know. The callbacks come before the histograms.
        self._listen()
        for durations in self._durations:
            durations.record()
        for config, found in self._aliases():
            for state, count in (
                ("idle", sum(each.idle for each in found)),
                ("used", sum(each.in_use for each in found)),
            ):
                yield Observation(
                    count, {**named(config.alias), "db.client.connection.state": state}
                )

    def _waiting(self, options: CallbackOptions) -> Iterator[Observation]:
        for config, found in self._aliases():
            yield Observation(sum(each.waiting for each in found), named(config.alias))

    def _config_of(self, field: str) -> Callback:
        def read(options: CallbackOptions) -> Iterator[Observation]:
            for config, _ in self._aliases():
                yield Observation(getattr(config, field), named(config.alias))

        return read

    # -- hearing -------------------------------------------------------------------------------

    def pool_opened(self, pool: Pool[Any]) -> None:
        self._timeouts.add(0, named(pool.alias))
        provider = self._provider or get_meter_provider()
        if not type(provider).__module__.startswith("opentelemetry.metrics"):  # the API's own
            self._listen()

    def _listen(self) -> None:
        self._registry.observe(self._stopwatch)

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self._connects.record(seconds, named(pool.alias))

    def timed_out(self, pool: Pool[Any], waited: float) -> None:
        self._timeouts.add(1, named(pool.alias))

    def forget(self) -> None:
        """In a forked child: what was laid by, the parent records."""
        for durations in self._durations:
            durations.kept.clear()


instruments = PoolInstruments(pools)
"""The process's own."""

os.register_at_fork(after_in_child=instruments.forget)
