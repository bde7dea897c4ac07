"""Two servers of one project, and so two workers of one fleet, for the tests of the pools' page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from poolapp.devservices.ports import free_port

PROJECT = Path(__file__).parent / "acceptance"
PASSWORD = "one for all of them"

SERVERS = {
    "daphne": ("-m", "daphne", "dashboard_site.asgi:application", "-v", "0", "--port", "{port}"),
    "uvicorn": (
        "-m", "uvicorn", "dashboard_site.asgi:application", "--log-level", "warning",
        "--ws", "websockets-sansio", "--port", "{port}",
    ),
}  # fmt: skip

USERS = """
from django.contrib.auth.models import Permission, User
User.objects.create_superuser("admin", password={password!r})
viewer = User.objects.create_user("viewer", password={password!r}, is_staff=True)
viewer.user_permissions.add(Permission.objects.get(codename="view_pool"))
"""


class Worker:
    """One server of the site."""

    def __init__(self, name: str, environment: Mapping[str, str], log: Path) -> None:
        port = free_port()
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *(each.format(port=port) for each in SERVERS[name])],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as response:
            return response.read().decode()

    def wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log
            try:
                self.get("ready")
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < give_up_at, self.log
                time.sleep(0.05)  # a server rings no bell
            else:
                return

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Site:
    """Its workers by the names of their servers."""

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        self.workers = workers
        self.daphne = workers["daphne"]
        self.uvicorn = workers["uvicorn"]

    @property
    def names(self) -> list[str]:
        return [f"{each.name} " for each in self.workers.values()]

    def calm(self) -> None:
        for each in self.workers.values():
            each.get("release")


@contextmanager
def served(postgres_url: str, redis_url: str, folder: Path, **extra: str) -> Iterator[Site]:
    """The site with a database of its own, and the users ``admin`` and ``viewer``."""
    database = f"dashboard_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "DJANGO_SETTINGS_MODULE": "dashboard_site.settings",
            "PYTHONPATH": str(PROJECT),
            "DASHBOARD_POSTGRES_URL": urlsplit(postgres_url)._replace(path=f"/{database}").geturl(),
            "DASHBOARD_REDIS_URL": redis_url,
            "DASHBOARD_FLEET": database,
            **extra,
        }
        try:
            code = USERS.format(password=PASSWORD)
            for arguments in (["migrate", "-v", "0"], ["shell", "-v", "0", "-c", code]):
                subprocess.run(
                    [sys.executable, "-m", "django", *arguments],
                    cwd=PROJECT, env=environment, check=True, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            with ExitStack() as stack:
                workers = {}
                for name in SERVERS:
                    workers[name] = Worker(name, environment, folder / f"{name}.log")
                    stack.callback(workers[name].stop)
                for each in workers.values():
                    each.wait_until_ready()
                yield Site(workers)
        finally:
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")
