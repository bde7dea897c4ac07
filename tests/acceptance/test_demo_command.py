"""`manage.py demo` from nothing to nothing: it starts, bears a crowd, and leaves no process."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import stat
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from tests.demo_process import DemoProcess, devservices, discard, processes_of

CLIENTS = 64
REQUESTS = 1_000
PATHS = (
    "/",
    "/entry/json/",
    "/entry/asyncio.queues.Queue/",
    "/entry/subprocess.Popen/",
    "/entry/builtins.str.split/",
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing was ever started."""
    folder = tmp_path / "devservices"
    yield folder
    discard(folder)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """A run from nothing, ended by Ctrl-C. Its folder is the start of the runs after it."""
    demo = start(tmp_path_factory.mktemp("demo"))
    assert demo.stop(signal.SIGINT) == 0
    yield demo
    discard(demo.folder)


@pytest.fixture
def used_folder(first_run: DemoProcess) -> Path:
    return first_run.folder


async def test_a_second_run_keeps_the_data_bears_a_crowd_and_leaves_nothing_at_sigterm(
    first_run: DemoProcess,
) -> None:
    """A thousand requests use ten connections; the password of the first run opens the admin."""
    folder = first_run.folder
    demo = await asyncio.to_thread(start, folder)
    try:
        title = await log_in(demo)
        watcher = await asyncpg.connect(devservices(folder, "urls")["postgres"])
        try:
            statuses, most = await crowd(demo.url, watcher)
        finally:
            await watcher.close()
    finally:
        code = await asyncio.to_thread(demo.stop, signal.SIGTERM)

    assert any("imported already" in line for line in demo.output)
    assert demo.password == first_run.password
    assert "Select entry to change" in title
    assert statuses == {200}
    assert 1 <= most <= 10
    assert code == 0, "\n".join(demo.output)
    assert processes_of(folder) == []


async def crowd(url: str, watcher: asyncpg.Connection) -> tuple[set[int], int]:
    """Ask for pages with many clients; return the statuses and the most connections seen."""
    statuses: set[int] = set()
    most = 0
    watching = asyncio.Lock()
    numbers = iter(range(REQUESTS))

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal most
        for number in numbers:
            async with session.get(url + PATHS[number % len(PATHS)]) as answer:
                statuses.add(answer.status)
                await answer.read()
            if number % 5 == 0:
                async with watching:
                    count = await watcher.fetchval(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'poolapp%'"
                    )
                most = max(most, count)

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as clients,
    ):
        for _ in range(CLIENTS):
            clients.create_task(client(session))
    return statuses, most


def start(folder: Path) -> DemoProcess:
    demo = DemoProcess(folder)
    demo.wait_until_ready()
    return demo


def test_the_first_run_imports_and_leaves_no_process(first_run: DemoProcess) -> None:
    assert "Collecting: done" in first_run.output
    assert "Storing: done" in first_run.output
    assert any("Imported" in line for line in first_run.output)
    assert processes_of(first_run.folder) == []


def test_it_prints_addresses_and_a_login_whose_password_is_kept_private(
    first_run: DemoProcess,
) -> None:
    password_file = first_run.folder / "admin-password"

    assert any(f"{first_run.url}/admin/poolapp/" in line for line in first_run.output)
    assert password_file.read_text() == first_run.password
    for secret in (password_file, first_run.folder / "secret-key"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


async def log_in(demo: DemoProcess) -> str:
    """Log in with what was printed, and return the title of the entries' page."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{demo.url}/admin/login/") as page:
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', await page.text())
        assert token is not None
        form = {
            "csrfmiddlewaretoken": token[1],
            "username": "admin",
            "password": demo.password,
            "next": "/admin/project/entry/",
        }
        async with session.post(f"{demo.url}/admin/login/", data=form) as page:
            title = re.search(r"<title>(.*?)</title>", await page.text(), re.DOTALL)
    assert title is not None
    return title[1]


def test_no_secret_is_in_the_logs(first_run: DemoProcess) -> None:
    secrets = [first_run.password, (first_run.folder / "secret-key").read_text()]
    logs = list(first_run.folder.rglob("*.log"))

    assert logs
    for log in logs:
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("Starting the servers", signal.SIGTERM),
        ("Migrating", signal.SIGINT),
        ("Importing", signal.SIGTERM),
        ("Importing", signal.SIGHUP),
    ],
)
def test_a_signal_at_any_stage_ends_it_cleanly(
    folder: Path, stage: str, number: signal.Signals
) -> None:
    ends_cleanly(folder, stage, number)


@pytest.mark.parametrize(
    ("stage", "number"),
    [
        ("Preparing the administrator", signal.SIGINT),
        ("Starting the site and a Celery worker", signal.SIGTERM),
    ],
)
def test_a_signal_at_the_last_stages_ends_it_cleanly(
    used_folder: Path, stage: str, number: signal.Signals
) -> None:
    ends_cleanly(used_folder, stage, number)


def ends_cleanly(folder: Path, stage: str, number: signal.Signals) -> None:
    demo = DemoProcess(folder)
    demo.wait_for(stage)

    code = demo.stop(number)

    assert code == 0, "\n".join(demo.output)
    assert processes_of(folder) == []


def test_a_port_in_use_is_said_in_a_line_before_anything_starts(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = DemoProcess(folder, port)
        code = demo.wait_for_end()

    assert code == 1
    assert len(demo.output) == 1
    assert f"Port {port} can't be used" in demo.output[0]
    assert "make demo" in demo.output[0]
    assert processes_of(folder) == []


def test_without_its_worker_the_site_goes_on_and_without_daphne_all_ends(
    used_folder: Path,
) -> None:
    demo = start(used_folder)

    demo.worker().kill()
    demo.wait_for("The Celery worker ended with exit code -9")
    assert str(used_folder / "celery.log") in demo.output[-1]
    with urllib.request.urlopen(f"{demo.url}/entry/json/", timeout=30) as page:
        assert page.status == 200

    demo.daphne().kill()
    code = demo.wait_for_end()

    output = "\n".join(demo.output)
    assert code == 1
    assert "Daphne ended with exit code -9" in output
    assert str(used_folder / "demo.log") in output
    assert "Listening on TCP address" in output
    assert processes_of(used_folder) == []


def test_a_failed_step_is_said_and_stops_the_servers(used_folder: Path) -> None:
    password_file = used_folder / "admin-password"
    aside = password_file.rename(used_folder / "aside")
    password_file.mkdir()
    try:
        demo = DemoProcess(used_folder)
        code = demo.wait_for_end()
    finally:
        password_file.rmdir()
        aside.rename(password_file)

    assert code == 1
    assert any("`manage.py ensure_admin" in line for line in demo.output)
    assert processes_of(used_folder) == []
