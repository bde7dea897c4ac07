"""The pools in Prometheus' words."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from poolapp import PoolTimeout, TooManyRequests, pools
from poolapp.core.events import Observer
from poolapp.monitoring.health import Monitor
from poolapp.monitoring.prometheus import PoolMetrics, label_of
from tests.fake import FakeServer, config_of

ROOT = Path(__file__).parents[2]

NAMES = [
    "connection_pool_active_connections",
    "connection_pool_total_connections",
    "connection_pool_failed_connections",
    "connection_pool_wait_seconds_bucket",
    "connection_pool_wait_seconds_count",
    "connection_pool_wait_seconds_sum",
    "connection_pool_request_duration_seconds_bucket",
    "connection_pool_request_duration_seconds_count",
    "connection_pool_request_duration_seconds_sum",
    "connection_pool_error_rate",
    "connection_pool_efficiency",
    "connection_pool_idle_connections",
    "connection_pool_max_connections",
    "connection_pool_waiting",
    "connection_pool_timeouts_total",
    "connection_pool_refused_total",
    "connection_pool_lost_total",
    "connection_pool_closed_total",
    "connection_pool_create_seconds_bucket",
    "connection_pool_leaks_total",
    "connection_pool_breaker_state",
    "connection_pool_health",
]


class Scrapes:
    """What a scraper sees of the alias ``held``, by sample name and further labels."""

    def __init__(self) -> None:
        self.limits: dict[str, int] = {}
        self.monitor = Monitor(pools)
        self.metrics = PoolMetrics(self.monitor, lambda: self.limits)
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)

    @property
    def text(self) -> str:
        return generate_latest(self.registry).decode()

    def __call__(self, name: str, **labels: str) -> float | None:
        wanted = {"alias": "held", "backend": "plainfake", **labels}
        return self.registry.get_sample_value(f"connection_pool_{name}", wanted)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def scrape(server: FakeServer) -> Iterator[Scrapes]:
    found = Scrapes()
    listeners = (found.monitor.usage, found.metrics)
    for each in listeners:
        pools.observe(each)
    pools.register("held", config_of("held", server=server, max_size=2, max_waiting=1))
    yield found
    pools.run(pools.remove, "held")
    for each in listeners:
        pools.unobserve(each)


async def borrow(times: int = 1) -> None:
    for _ in range(times):
        async with pools["held"].acquire():
            pass


async def test_every_name_is_there_with_two_labels_and_no_url(scrape: Scrapes) -> None:
    await borrow()
    pools["held"].drain()
    await pools.remove("held")
    pools.register("held", config_of("held", server=FakeServer()))
    await borrow()
    samples = [
        sample
        for family in text_string_to_metric_families(scrape.text)
        for sample in family.samples
        if sample.labels.get("alias") == "held"
    ]
    assert {sample.name for sample in samples} >= set(NAMES)
    labels = {label for sample in samples for label in sample.labels}
    assert labels == {"alias", "backend", "reason", "le"}


async def test_a_declared_alias_is_there_before_it_is_used(scrape: Scrapes) -> None:
    assert scrape("max_connections") == 2
    assert scrape("total_connections") == scrape("timeouts_total") == 0
    assert scrape("efficiency") == 1
    assert scrape("health") == 0


async def test_gauges_are_of_the_moment(scrape: Scrapes) -> None:
    pool = pools["held"]
    first = await pool.acquire()
    second = await pool.acquire()
    waiting = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    assert (scrape("active_connections"), scrape("idle_connections")) == (2, 0)
    assert (scrape("total_connections"), scrape("waiting")) == (2, 1)
    first.release()
    await waiting
    assert (scrape("active_connections"), scrape("idle_connections")) == (1, 1)
    second.release()
    assert scrape("efficiency") == pytest.approx(1 / 3), "three acquires, two connects"


async def test_a_servers_limit_is_told_where_it_is_known(scrape: Scrapes) -> None:
    await borrow()
    assert scrape("server_limit") is None
    scrape.limits["held"] = 97
    assert scrape("server_limit") == 97


async def test_histograms_are_the_pools_own(scrape: Scrapes) -> None:
    pool = pools["held"]
    await borrow(5)
    assert scrape("wait_seconds_count") == scrape("request_duration_seconds_count") == 5
    lease, other = await pool.acquire(), await pool.acquire()
    waiting = asyncio.create_task(borrow())
    await asyncio.sleep(0.03)
    lease.release()
    other.release()
    await waiting
    assert scrape("wait_seconds_count") == 8
    assert scrape("wait_seconds_sum") == pytest.approx(pool.counters.waited.total)
    assert scrape("wait_seconds_sum") > 0.02
    assert scrape("request_duration_seconds_sum") == pytest.approx(pool.counters.used.total)
    below = scrape("wait_seconds_bucket", le="0.01")
    assert below is not None
    assert below < 8, "one waited for longer"
    assert scrape("wait_seconds_bucket", le="+Inf") == 8


async def test_failures_are_counted_by_their_kind(scrape: Scrapes, server: FakeServer) -> None:
    pool = pools["held"]
    leases = [await pool.acquire(), await pool.acquire()]
    with pytest.raises(PoolTimeout):
        await pool.acquire(timeout=0.001)
    waiting = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await pool.acquire()
    for lease in leases:
        lease.release()
    await waiting
    server.kill_all()
    server.create.fail(times=1)
    await borrow()
    assert scrape("timeouts_total") == 1
    assert scrape("refused_total") == 1
    assert scrape("lost_total") == 2
    assert scrape("closed_total", reason="lost") == 2
    assert scrape("failed_connections") == 1
    assert scrape("create_seconds_count") == 3
    assert scrape("leaks_total") == 0


async def test_an_open_circuit_and_bad_health_are_told(scrape: Scrapes, server: FakeServer) -> None:
    server.create.fail(PermissionError("no"))
    for _ in range(5):
        with pytest.raises(Exception, match="held"):
            await pools["held"].acquire(timeout=0.2)
    pool = pools["held"]
    while not pool.stats().breaker_open:
        with pytest.raises(Exception, match="held"):
            await pool.acquire(timeout=0.2)
    assert scrape("breaker_state") == 1
    assert scrape("health") == 2


def test_counters_never_go_back_when_a_loop_ends(scrape: Scrapes) -> None:
    for rounds in (1, 2, 3):
        asyncio.run(borrow(2))
        assert scrape("wait_seconds_count") == 2 * rounds
        assert scrape("create_seconds_count") == rounds
        assert scrape("closed_total", reason="shutdown") == rounds
        assert (scrape("active_connections"), scrape("total_connections")) == (0, 0)
    assert scrape("efficiency") == 0.5


def test_loops_in_threads_add_up(scrape: Scrapes) -> None:
    ready = threading.Barrier(3)

    async def hold() -> None:
        async with pools["held"].acquire():
            await asyncio.to_thread(ready.wait)
            await asyncio.to_thread(ready.wait)

    threads = [threading.Thread(target=lambda: asyncio.run(hold())) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait()
    assert (scrape("active_connections"), scrape("max_connections")) == (2, 2)
    ready.wait()
    for thread in threads:
        thread.join()
    assert scrape("active_connections") == 0


def test_no_acquire_is_observed() -> None:
    """What an observer of acquires costs, this one must not."""
    for event in ("acquired", "released"):
        assert getattr(PoolMetrics, event) is getattr(Observer, event)


def test_label_of_a_backend_is_its_short_name() -> None:
    assert label_of("poolapp.backends.s3.S3Backend") == "s3"
    assert label_of("shop.SmtpBackend") == "smtp"
    assert label_of("Custom") == "custom"


def test_a_forked_child_leaves_the_parents_pools_to_the_parent(scrape: Scrapes) -> None:
    with asyncio.Runner() as runner:
        runner.run(borrow(3))
        assert scrape("wait_seconds_count") == 3
        runner.run(borrow(2))
        child = os.fork()
        if not child:
            scrape.metrics.forget()  # as the process's own metrics do by themselves
            os._exit(0 if scrape("wait_seconds_count") == 3 else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert scrape("wait_seconds_count") == 5


WORKER = """
import asyncio, sys
from django.conf import settings
settings.configure(INSTALLED_APPS=["poolapp"])
import django; django.setup()
from poolapp import pools
from tests.fake import FakeServer, config_of
pools.register("held", config_of("held", server=FakeServer(), max_size=3))

async def main():
    for _ in range(int(sys.argv[1])):
        async with pools["held"].acquire():
            pass
    async with pools["held"].acquire():
        from poolapp.monitoring.prometheus import metrics
        metrics.carry_over()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def test_processes_add_up_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(count)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for count in (10, 20, 30, 40)
    ]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))
    labels = {"alias": "held", "backend": "plainfake"}

    def told(name: str, **more: str) -> float | None:
        return registry.get_sample_value(f"connection_pool_{name}", {**labels, **more})

    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
        assert told("wait_seconds_count") == 104
        assert told("request_duration_seconds_count") == 100
        assert told("create_seconds_count") == 4
        assert told("active_connections") == 4
        assert told("max_connections") == 12
        assert told("health") == 0, "the worst of them, not the sum"
        for worker in workers[:2]:
            worker.kill()
            worker.communicate()
            mark_process_dead(worker.pid, str(tmp_path))
        assert told("active_connections") == 2
        assert told("wait_seconds_count") == 104
    finally:
        for worker in workers:
            worker.communicate(timeout=30)
    assert [worker.returncode for worker in workers[2:]] == [0, 0]
    assert told("request_duration_seconds_count") == 102, "a clean end carries the last ones over"
    assert told("closed_total", reason="shutdown") == 2
