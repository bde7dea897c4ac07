import itertools
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import hypothesis
import pytest

from poolapp.devservices.services import all_services
from tests.acceptance.servers.watching import SETTINGS
from tests.demo_process import DemoProcess, discard, processes_of
from tests.servers import SESSION, PostgresServer, Session

_numbers = itertools.count(1)

# No test is timed: the machine has other work as well.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


def pytest_configure() -> None:
    # `make test &` ignores Ctrl-C, and so would the processes that are started here to be sent one.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Services:
    """What a test may do to the session's servers; afterwards they are all there again."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._paused: set[str] = set()
        self._touched = False

    def kill(self, name: str) -> None:
        """End a server as a power cut would."""
        self._need(name)
        self._session.supervisor.kill(name)

    def restart(self, name: str) -> None:
        """Start it (again) on the same port and the same data."""
        self._need(name)
        self._session.supervisor.restart(name)

    def pause(self, name: str) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._need(name)
        self._paused.add(name)
        self._session.supervisor.pause(name)

    def resume(self, name: str) -> None:
        self._need(name)
        self._session.supervisor.resume(name)
        self._paused.discard(name)

    def mend(self) -> None:
        for name in self._paused:
            self._session.supervisor.resume(name)
        if not self._touched:
            return
        for row in self._session.supervisor.status():
            if row.state == "dead":  # on the ports that the session's URLs name
                self._session.supervisor.restart(row.name)

    def _need(self, name: str) -> None:
        variable = self._session.supervisor.services[name].variable
        if variable in self._session.environment:
            pytest.skip(f"{variable} is set: that server is not ours to end")
        self._touched = True


@pytest.fixture(scope="session")
def server_urls() -> dict[str, str]:
    """Service name -> URL: postgres, redis, elasticsearch, s3, mongodb, feed."""
    services = all_services()
    return {
        each.name: os.environ[each.variable] for each in services if each.variable in os.environ
    }


@pytest.fixture(scope="session")
def django_db_modify_db_settings_parallel_suffix() -> None:
    """No worker's database has a name of its own, since each worker has a server of its own."""


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The tests' database is that of the URL: there before, and there afterwards."""
    return True


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    handle = Services(request.config.stash[SESSION])
    yield handle
    handle.mend()


@pytest.fixture(scope="session")
def postgres_url(server_urls: dict[str, str]) -> str:
    return server_urls["postgres"]


@pytest.fixture(scope="session")
def redis_url(server_urls: dict[str, str]) -> str:
    return server_urls["redis"]


@pytest.fixture(scope="session")
def s3_url(server_urls: dict[str, str]) -> str:
    return server_urls["s3"]


@pytest.fixture(scope="session")
def mongodb_url(server_urls: dict[str, str]) -> str:
    return server_urls["mongodb"]


@pytest.fixture
async def pg_admin(postgres_url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection outside of every pool, to see what the server sees."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own.

    For server settings: `@pytest.mark.parametrize("postgres_server", [{"max_connections": 5}],
    indirect=True)`.
    """
    settings = getattr(request, "param", {})
    session = request.config.stash[SESSION]
    server = session.postgres(f"postgres-{next(_numbers)}", settings)
    yield server
    server.resume()
    server.discard()


@pytest.fixture(scope="session")
def talkative_postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A PostgreSQL server whose log tells how its clients left."""
    server = request.config.stash[SESSION].postgres("talkative", SETTINGS)
    yield server
    server.discard()


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Iterator[DemoProcess]:
    """The demo: it runs, and so has imported everything. Leave it so.

    List a file that uses it in `tests.workers.TOGETHER`.
    """
    folder = request.config.stash[SESSION].folder / "demo"
    folder.mkdir(mode=0o711)
    demo = DemoProcess(folder)
    try:
        demo.wait_until_ready()
        yield demo
    finally:
        demo.stop()
        discard(folder)
        assert processes_of(folder) == []
