"""The demo's plain code: its synchronous page under gunicorn's WSGI workers, its Celery task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from poolapp.devservices.ports import free_port
from tests.demo_process import (
    PROJECT,
    DemoProcess,
    devservices,
    environment,
)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def folder(demo: DemoProcess) -> Path:
    return demo.folder


def start(folder: Path, *command: str, until: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env={**environment(folder), "DJANGO_SETTINGS_MODULE": "project.settings"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if until in line:
            return process
    process.communicate()
    raise AssertionError("".join(seen))


def test_the_contents_are_served_by_wsgi_on_connections_that_stay(folder: Path) -> None:
    port = free_port()
    gunicorn = start(
        folder,
        *("gunicorn", "project.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1"),
        until="Booting worker",
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
        ) as client:
            pages = [client.get("/contents/").text for _ in range(20)]
        assert len(set(pages)) == 1
        assert 'href="/entry/json/"' in pages[0]
        (worker,) = psutil.Process(gunicorn.pid).children()
        # One for the page; what is kept in step is looked for on another.
        assert connections_of(folder, worker.pid) <= 2
    finally:
        gunicorn.terminate()
        log, _ = gunicorn.communicate()
    assert gunicorn.returncode == 0
    assert "Traceback" not in log


def connections_of(folder: Path, pid: int) -> int:
    """How many connections of that process's pools PostgreSQL sees."""
    code = (
        "import asyncio, asyncpg, sys; from poolapp.devservices import urls\n"
        "async def main():\n"
        "    connection = await asyncpg.connect(urls()['postgres'])\n"
        "    query = 'SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE $1'\n"
        "    print(await connection.fetchval(query, 'poolapp:%:' + sys.argv[1]))\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pid)],
        cwd=PROJECT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_a_task_counts_the_entries(folder: Path) -> None:
    devservices(folder, "up", "redis")
    worker = start(
        folder,
        *("celery", "--app", "project", "worker", "--concurrency", "1", "--loglevel", "INFO"),
        until="ready.",
    )
    try:
        code = (
            "from project.celery import count_entries;"
            "print([count_entries.delay().get(timeout=60)['json'] for _ in range(3)])"
        )
        asked = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT,
            env=environment(folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        counts = json.loads(asked.stdout)
        assert counts == [counts[0]] * 3
        assert counts[0] > 5
    finally:
        worker.terminate()
        log, _ = worker.communicate()
    assert "Traceback" not in log
