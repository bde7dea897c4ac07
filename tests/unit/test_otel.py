"""The pools as OpenTelemetry's instruments, through its SDK."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from prometheus_client import CollectorRegistry

from poolapp import PoolTimeout, Registry
from poolapp.core.stats import BOUNDS
from poolapp.monitoring import otel
from poolapp.monitoring.otel import PoolInstruments
from tests.fake import FakeServer, config_of

ROOT = Path(__file__).parents[2]

CONVENTIONS = {
    "db.client.connection.count": "{connection}",
    "db.client.connection.idle.max": "{connection}",
    "db.client.connection.idle.min": "{connection}",
    "db.client.connection.max": "{connection}",
    "db.client.connection.pending_requests": "{request}",
    "db.client.connection.timeouts": "{timeout}",
    "db.client.connection.create_time": "s",
    "db.client.connection.wait_time": "s",
    "db.client.connection.use_time": "s",
}
"""Name to unit."""


class Collected:
    """A registry with the pool ``held``, its instruments, and what a reader collects of them."""

    def __init__(self, *, given: bool = True) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        self.pools = Registry()
        self.instruments = PoolInstruments(self.pools, self.provider if given else None)
        self.pools.observe(self.instruments)
        config = config_of("held", server=FakeServer(), min_size=1, max_size=2)
        self.pools.register("held", config)

    @property
    def metrics(self) -> dict[str, Metric]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> dict[str, Any]:
        """By state, ``""`` for those that have none."""
        metric = self.metrics.get(f"db.client.connection.{name}")
        found = {}
        for point in metric.data.data_points if metric else ():
            attributes = dict(point.attributes or {})
            assert attributes.pop("db.client.connection.pool.name") == "held"
            found[str(attributes.pop("db.client.connection.state", ""))] = point
            assert not attributes
        return found

    def __call__(self, name: str, state: str = "") -> Any:
        return self.points(name)[state].value

    async def borrow(self, times: int = 1) -> None:
        for _ in range(times):
            async with self.pools["held"].acquire():
                pass


@pytest.fixture
def told() -> Iterator[Collected]:
    found = Collected()
    yield found
    found.pools.run(found.pools.close_all)
    found.provider.shutdown()


async def test_names_units_and_attributes_are_those_of_the_conventions(told: Collected) -> None:
    await told.borrow()
    metrics = told.metrics
    assert {name: metric.unit for name, metric in metrics.items()} == CONVENTIONS
    attributes = {
        name
        for metric in metrics.values()
        for point in metric.data.data_points
        for name in point.attributes or {}
    }
    assert attributes == {"db.client.connection.pool.name", "db.client.connection.state"}
    await told.pools.close_all()


async def test_what_is_of_the_moment_is_read_when_it_is_collected(told: Collected) -> None:
    assert told("max") == told("idle.max") == 2, "it is declared, and was never used"
    assert told("idle.min") == 1
    assert (told("count", "used"), told("count", "idle")) == (0, 0)
    pool = told.pools["held"]
    first, second = await pool.acquire(), await pool.acquire()
    waiting = asyncio.create_task(told.borrow())
    await asyncio.sleep(0)
    assert (told("count", "used"), told("count", "idle"), told("pending_requests")) == (2, 0, 1)
    first.release()
    await waiting
    assert (told("count", "used"), told("count", "idle"), told("pending_requests")) == (1, 1, 0)
    second.release()
    told.pools.resize("held", max_size=5)
    assert told("max") == 5
    await told.pools.close_all()


async def test_every_duration_is_recorded_once_as_it_was(told: Collected) -> None:
    pool = told.pools["held"]
    await told.borrow(3)
    lease, other = await pool.acquire(), await pool.acquire()
    waiting = asyncio.create_task(told.borrow())
    await asyncio.sleep(0.02)
    lease.release()
    other.release()
    await waiting
    for _ in range(2):  # collecting again adds nothing
        (wait,), (use,) = told.points("wait_time").values(), told.points("use_time").values()
        assert wait.count == use.count == 6
        assert wait.sum == pytest.approx(pool.counters.waited.total)
        assert wait.max > 0.01
        assert use.sum == pytest.approx(pool.counters.used.total)
        assert list(use.explicit_bounds) == list(BOUNDS)
        assert list(use.bucket_counts) == pool.counters.used.buckets
    (connects,) = told.points("create_time").values()
    assert connects.count == pool.counters.connected == 2
    await told.pools.close_all()


async def test_timeouts_are_counted_from_nought(told: Collected) -> None:
    pool = told.pools["held"]
    assert told("timeouts") == 0
    leases = [await pool.acquire(), await pool.acquire()]
    with pytest.raises(PoolTimeout):
        await pool.acquire(timeout=0.001)
    assert told("timeouts") == 1
    for lease in leases:
        lease.release()
    await told.pools.close_all()


def test_nothing_is_forgotten_when_a_loop_ends(told: Collected) -> None:
    for _ in range(3):
        asyncio.run(told.borrow(2))
    (use,) = told.points("use_time").values()
    assert use.count == 6
    assert (told("count", "used"), told("count", "idle")) == (0, 0)


async def test_memory_is_bounded_where_nobody_collects(
    told: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otel, "ROOM", 10)
    monkeypatch.setattr(otel, "SLICE", 3)
    await told.borrow(50)
    for durations in told.instruments._durations:
        assert {alias: len(kept) for alias, kept in durations.kept.items()} == {"held": 10}
    (wait,), (use,) = told.points("wait_time").values(), told.points("use_time").values()
    assert wait.count == use.count == 50
    await told.pools.close_all()


async def test_an_acquire_is_not_listened_to_where_nobody_wants_to_know() -> None:
    """As where the API alone is installed, or its own provider set."""
    for provider in (None, NoOpMeterProvider()):
        pools = Registry()
        pools.observe(PoolInstruments(pools, provider))
        pools.register("held", config_of("held", server=FakeServer()))
        async with pools["held"].acquire():
            assert pools.events.acquired == pools.events.released == ()
        await pools.close_all()


async def test_an_acquire_is_listened_to_once(told: Collected) -> None:
    await told.borrow()
    assert told.metrics
    assert told.metrics
    assert len(told.pools.events.acquired) == len(told.pools.events.released) == 1
    await told.pools.close_all()


def test_a_forked_child_leaves_what_was_laid_by_to_the_parent(told: Collected) -> None:
    asyncio.run(told.borrow(3))
    child = os.fork()
    if not child:
        told.instruments.forget()  # as the process's own do by themselves
        os._exit(0 if not told.points("use_time") else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    (use,) = told.points("use_time").values()
    assert use.count == 3


async def test_prometheus_reads_them_too(told: Collected) -> None:
    """The demo's way: one page for both kinds of names."""
    registry = CollectorRegistry()
    told.provider.add_metric_reader(
        PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    )
    await told.borrow(2)
    held = {"db_client_connection_pool_name": "held"}
    for name, labels, value in (
        ("count", {"db_client_connection_state": "idle"}, 1),
        ("use_time_seconds_count", {}, 2),
        ("timeouts_total", {}, 0),
    ):
        found = registry.get_sample_value(f"db_client_connection_{name}", {**held, **labels})
        assert found == value, name
    await told.pools.close_all()


PROGRAM = """
import asyncio
from django.conf import settings
settings.configure(INSTALLED_APPS=["poolapp"], POOLAPP={own})
import django; django.setup()
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from poolapp import pools
from tests.fake import FakeServer, config_of

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
pools.register("held", config_of("held", server=FakeServer()))

async def main():
    async with pools["held"].acquire():
        pass

asyncio.run(main())
data = reader.get_metrics_data()
found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
print(sorted(metric.name for metric in found))
"""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_provider_that_is_set_after_django_gets_everything(wanted: bool) -> None:
    own = "{}" if wanted else "{'OTEL': False}"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(own=own)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(sorted(CONVENTIONS) if wanted else [])
