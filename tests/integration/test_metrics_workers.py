"""Four gunicorn workers, scraped through one of them; and what reads the scrapes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.servers.processes import Process, started
from tests.debian import program
from tests.real import eventually, sessions

HERE = Path(__file__).parent
CONTRIB = HERE.parents[1] / "contrib"
WORKERS = 4
MAX_SIZE = 3
"""Of the site's pool."""


Samples = dict[tuple[str, str], float]
"""By name and alias, summed over further labels."""


class Site:
    """The site under gunicorn, with a folder for the workers' metrics."""

    def __init__(self, process: Process, folder: Path, name: str) -> None:
        self.process = process
        self.folder = folder
        self.name = name
        self.borrowed = 0
        self.workers: set[int] = set()

    async def get(self, path: str, *, allow: int = 200) -> str:
        """On a connection of its own, so that any of the workers may take it; nothing when it
        answers with the status that is allowed besides."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.process.url}/{path}") as response,
        ):
            assert response.status in (200, allow), self.process.log
            return await response.text() if response.status == 200 else ""

    async def borrow(self) -> None:
        self.workers.add(json.loads(await self.get("borrow"))["process"])
        self.borrowed += 1

    async def use_all_workers(self) -> None:
        """Until each has served somebody."""

        async def all_of_them() -> bool:
            await asyncio.gather(*(self.borrow() for _ in range(20)))
            return len(self.workers) >= WORKERS

        await eventually(all_of_them)

    async def scrape(self) -> Samples:
        # prometheus_client can't read a file that another worker has made in this very moment and
        # not written to (struct.error). A scraper comes again.
        return samples_of(await eventually(partial(self.get, "metrics", allow=500)))

    async def until(self, told: Callable[[Samples], object]) -> Samples:
        last: Samples = {}

        async def is_told() -> bool:
            nonlocal last
            last = await self.scrape()
            return bool(told(last))

        try:
            await eventually(is_told)
        except TimeoutError:
            raise AssertionError(f"{last}\n{self.process.log}") from None
        return last


def samples_of(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.keys() <= {"alias", "backend", "reason", "le"}, sample
            key = (sample.name, sample.labels.get("alias", ""))
            found[key] = found.get(key, 0) + sample.value
    return found


numbers = itertools.count(1)


@asynccontextmanager
async def gunicorn(urls: dict[str, str], folder: Path, *options: str) -> AsyncIterator[Site]:
    metrics = folder / "metrics"
    metrics.mkdir()
    name = f"metrics-{os.getpid()}-{next(numbers)}"
    environment = {
        "DJANGO_SETTINGS_MODULE": "metrics_site.settings",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "METRICS_NAME": name,
        "METRICS_POSTGRES_URL": urls["postgres"],
        "METRICS_REDIS_URL": urls["redis"],
    }
    command = [
        "-m", "gunicorn", "metrics_site.asgi:application", "--bind", "127.0.0.1:{port}",
        "--workers", str(WORKERS), "--worker-class", "uvicorn_worker.UvicornWorker",
        "--config", "metrics_site/gunicorn_conf.py", *options,
    ]  # fmt: skip
    # prometheus_client leaves the files of a worker to the end of the process.
    async with started(command, environment, folder, project=HERE, strict=False) as process:
        await process.until_ready()
        yield Site(process, metrics, name)


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["each its own", "preloaded"])
async def test_sums_over_four_workers_are_sums(
    options: tuple[str, ...], server_urls: dict[str, str], tmp_path: Path, pg_admin: Any
) -> None:
    async with gunicorn(server_urls, tmp_path, *options) as site:
        await site.use_all_workers()
        told = await site.until(
            # A worker carries its counters over first, and then what is of the moment.
            lambda seen: (
                seen.get(("connection_pool_max_connections", "default")) == WORKERS * MAX_SIZE
                and not seen["connection_pool_active_connections", "default"]
                and seen["connection_pool_request_duration_seconds_count", "default"]
                >= site.borrowed
            )
        )
        for name in ("wait_seconds_count", "request_duration_seconds_count"):
            assert told[f"connection_pool_{name}", "default"] == site.borrowed

        async def as_the_server_sees_it() -> bool:
            # A look at the server's limits has a connection of its own for a moment.
            told = await site.scrape()
            open_now = len(await sessions(pg_admin, site.name))
            return told["connection_pool_total_connections", "default"] == open_now > 0

        await eventually(as_the_server_sees_it)
        assert told["connection_pool_health", "default"] == 0

        victim = min(site.workers)
        os.kill(victim, signal.SIGKILL)
        told = await site.until(
            lambda seen: (
                seen["connection_pool_max_connections", "default"] == (WORKERS - 1) * MAX_SIZE
            )
        )
        assert told["connection_pool_wait_seconds_count", "default"] == site.borrowed, (
            "what was counted stays counted"
        )
        await site.borrow()
        site.process.terminate()
        await site.process.end()
        assert not [each for each in site.workers if psutil.pid_exists(each)]
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(site.folder))
        labels = {"alias": "default", "backend": "postgres"}
        held = registry.get_sample_value("connection_pool_request_duration_seconds_count", labels)
        assert held == site.borrowed, "a clean end carries the last ones over"


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:connection_pool|db_client)_\w+", text))


def rules() -> str:
    text = (CONTRIB / "prometheus/poolapp.rules.yml").read_text()
    return "\n".join(re.findall(r"expr: (?:>-)?((?:.|\n)*?)\n *(?:for|labels):", text))


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONTRIB / "grafana/poolapp.json").read_text())
    return found


def queries() -> str:
    return "\n".join(
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())
    ) + "\n".join(str(each["query"]) for each in dashboard()["templating"]["list"])


async def test_every_metric_that_rules_and_dashboard_name_is_scraped(
    server_urls: dict[str, str], tmp_path: Path
) -> None:
    wanted = names_in(rules()) | names_in(queries())
    assert len(names_in(rules())) == 7
    assert len(wanted) > 15
    async with gunicorn(server_urls, tmp_path) as site:
        await site.borrow()
        await site.get("drain")
        await site.use_all_workers()
        await site.get("drain")
        limit = await site.until(
            lambda seen: (
                seen.get(("connection_pool_server_limit", "default"))
                and wanted <= {name for name, _ in seen}
            )
        )
        shown = server_urls["postgres"]
        assert limit["connection_pool_server_limit", "default"] > 0, shown


def test_rules_fire_when_they_should_and_only_then() -> None:
    promtool = program("promtool", "prometheus")
    for command in (("check", "poolapp.rules.yml"), ("test", "poolapp.rules.test.yml")):
        result = subprocess.run(
            [promtool, command[0], "rules", command[1]],
            cwd=CONTRIB / "prometheus",
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_has_a_test() -> None:
    alerts = re.findall(r"- alert: (\w+)", (CONTRIB / "prometheus/poolapp.rules.yml").read_text())
    tests = (CONTRIB / "prometheus/poolapp.rules.test.yml").read_text()
    assert len(alerts) == 6
    for alert in alerts:
        assert f"alertname: {alert}\n        exp_alerts:\n          - exp_labels" in tests


def test_queries_of_the_dashboard_can_be_read(tmp_path: Path) -> None:
    """By Prometheus' own parser, once Grafana has put its variables in."""
    promtool = program("promtool", "prometheus")
    panels = dashboard()["panels"]
    expressions = [
        re.sub(r"\$\w+", "5m", target["expr"])
        for panel in panels
        for target in panel.get("targets", ())
    ]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    file = tmp_path / "queries.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    result = subprocess.run(
        [promtool, "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(expressions)} rules found" in result.stdout


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard()["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
