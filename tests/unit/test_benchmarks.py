"""`python -m benchmarks`: that it runs, and the shape of what it writes. Not the figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2]

PEERS = (
    "bare", "prometheus",
    "reset", "deque", "semaphore", "semaphore_timeout", "psycopg", "psycopg_getconn",
    "redis", "asyncpg", "asyncpg_noreset", "sqlalchemy",
)  # fmt: skip

BACKENDS = ("postgres", "elasticsearch", "s3", "redis", "mongodb", "http", "websocket")

EXPECTED = {
    "es": {
        *(f"es.bulk_5000_{name}_ops" for name in ("ours", "bytes", "async_bulk")),
        *(f"es.bulk_5000_vs_{name}" for name in ("bytes", "async_bulk")),
    },
    "http": {
        "http.vs_bare_session",
        *(
            f"http.{name}{suffix}"
            for name in ("lease", "new_session", "httpx", "poolapp_httpx")
            for suffix in ("", "_ops")
        ),
        "http.bare_ops",
        "http.poolapp_ops",
    },
    "mongo": {"mongo.bulk_ours_ops", "mongo.bulk_driver_ops", "mongo.bulk_vs_driver"},
    "redis": {
        "redis.get_1000_ops",
        "redis.get_1000_vs_blocking_pool",
        *(
            f"redis.get_1000_{name}_ops"
            for name in ("commands", "lease", "blocking_pool", "pipeline")
        ),
        *(f"redis.get_1000_{name}_vs_blocking_pool" for name in ("commands", "lease", "pipeline")),
        "redis.get_alone_ops",
        "redis.get_alone_vs_blocking_pool",
        "redis.get_alone_blocking_pool_ops",
    },
    "s3": {
        *(f"s3.put_100_{name}_ops" for name in ("ours", "pooled", "client_per_call")),
        *(f"s3.put_100_vs_{name}" for name in ("pooled", "client_per_call")),
        "s3.create_100_ours_ops",
    },
    "sockets": {f"sockets.200_tasks.{name}" for name in BACKENDS},
    "websocket": {
        "ws.fanout_msgs_per_s",
        "ws.fanout_vs_bare_websockets",
        "ws.fanout_bare_msgs_per_s",
        *(f"ws.fanout_{name}_msgs_per_s" for name in ("send", "queues")),
        *(f"ws.fanout_{name}_vs_bare_websockets" for name in ("send", "queues")),
    },
    "core": {
        "core.acquire_us",
        "core.contended_us",
        "core.overtakes",
        "core.switch_us",
        *(f"core.acquire_{name}_us" for name in PEERS),
        *(f"core.acquire_{name}_ratio" for name in PEERS),
        *(f"core.contended_{name}_us" for name in PEERS),
        *(f"core.contended_{name}_ratio" for name in PEERS),
        *(f"core.overtakes_{name}" for name in PEERS),
    },
    "dashboard": {
        "dashboard.page_ms",
        "dashboard.page_kb",
        "dashboard.loop_ms",
        "dashboard.any_thread_ms",
    },
    "loops": {
        "loops.run_us",
        "loops.pool_per_call_us",
        "loops.connect_per_call_us",
        "loops.query_alone_us",
        "loops.run_vs_pool_per_call",
        "loops.run_vs_connect_per_call",
        "loops.run_overhead_us",
    },
    "postgres": {
        "postgres.fetch_32_on_10",
        "postgres.fetch_32_on_10_ops",
        "postgres.fetch_held_ops",
        "postgres.fetch_psycopg_held_ops",
        "postgres.fetch_sqlalchemy_held_ops",
        *(
            f"postgres.fetch_32_on_10_{name}{suffix}"
            for name in ("clean", "raw", "asyncpg", "asyncpg_noreset", "psycopg", "sqlalchemy")
            for suffix in ("", "_ops")
        ),
        "postgres.fetch_32_on_10_psycopg_own",
        "postgres.fetch_32_on_10_sqlalchemy_own",
        *(
            f"postgres.{name}{suffix}"
            for name in ("native_aget", "native_gather_2000", "rows_100")
            for suffix in ("_ops", "_orm_ops", "_asyncpg_ops", "_vs_orm", "_vs_asyncpg")
        ),
        *(
            f"postgres.bulk_10000_{suffix}"
            for suffix in (
                "ops",
                "copy_ops",
                "orm_ops",
                "vs_copy",
                "vs_orm",
                "returning_ops",
                "returning_orm_ops",
                "returning_vs_orm",
            )
        ),
    },
}

WITH_DATAKNOBS = {
    "es": {
        *(f"es.bulk_{name}_ops" for name in ("dataknobs", "dataknobs_unrefreshed")),
        *(f"es.bulk_vs_{name}" for name in ("dataknobs", "dataknobs_unrefreshed")),
    },
    "s3": {"s3.create_100_dataknobs_ops", "s3.create_100_vs_dataknobs"},
}
"""Only where a run that is no smoke run has made the environment of that peer."""


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a smoke run of all suites prints, and writes."""
    output = tmp_path_factory.mktemp("benchmarks") / "figures.json"
    finished = benchmark("--smoke", "--output", str(output))
    printed = finished.stdout + finished.stderr
    assert finished.returncode == 0, printed
    assert "Traceback" not in printed
    return printed, json.loads(output.read_text())


def test_nothing_is_written_but_what_is_told_here(run: tuple[str, dict[str, Any]]) -> None:
    _, figures = run
    assert set(figures) <= set().union(*EXPECTED.values(), *WITH_DATAKNOBS.values())


@pytest.mark.parametrize("suite", EXPECTED)
def test_each_suite_writes_a_median_a_minimum_and_a_maximum_under_each_key(
    suite: str, run: tuple[str, dict[str, Any]]
) -> None:
    printed, written = run
    peers = WITH_DATAKNOBS.get(suite, set())
    assert peers <= set(written) or "Without dataknobs-data" in printed
    figures = {key: written[key] for key in EXPECTED[suite]}
    for key, figure in figures.items():
        assert set(figure) == {"median", "min", "max", "unit"}
        assert figure["min"] <= figure["median"] <= figure["max"]
        # A difference of two measurements may be anything on a busy machine.
        assert figure["min"] >= 0 or "overhead" in key, key
    assert {figure["unit"] for key, figure in figures.items() if key.endswith("_us")} <= {"us"}
    assert {figure["unit"] for key, figure in figures.items() if key.endswith("_ops")} <= {"ops/s"}
    if suite == "sockets":
        assert {figure["max"] for figure in figures.values()} == {10}, "MAX_SIZE, and no more"
    if suite == "core":
        assert figures["core.overtakes"] == {"median": 0, "min": 0, "max": 0, "unit": "share"}


def test_one_suite_runs_alone(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"

    finished = benchmark("loops", "--smoke", "--output", str(output))

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert set(json.loads(output.read_text())) == EXPECTED["loops"]
    assert "goal" in finished.stdout


def test_an_unknown_suite_is_refused_with_the_names_of_those_there_are(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"

    finished = benchmark("pgsql", "--output", str(output))

    assert finished.returncode == 2
    assert "there is no suite 'pgsql'" in finished.stderr
    assert ", ".join(sorted(EXPECTED)) in finished.stderr
    assert not output.exists()
