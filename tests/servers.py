"""The real servers of a test session: a plugin, loaded by `-p tests.servers`.

It has to come that early because pytest-django reads the settings before any conftest is read, and
the settings need the servers' URLs. A session of unit tests only starts nothing. A service whose
`POOLAPP_<NAME>_URL` is set already is not started. Each worker of `-n` has servers of its own.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import pytest

from poolapp.devservices import DevServiceError, Supervisor
from poolapp.devservices.services import Postgres
from tests.workers import is_controller

_PREFIX = f"poolapp-tests-{os.geteuid()}-"
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 2 * 1024**3
_OWNER = "owner.lock"
_UNIT = Path(__file__).parent / "unit"
# Options that end pytest before a test runs.
_IDLE_OPTIONS = ("help", "version", "collectonly", "showfixtures", "show_fixtures_per_test")


class Session:
    """The servers of one pytest run and the folder for them."""

    def __init__(self) -> None:
        self._lock: int | None = None
        # As it was before our own URLs were exported, so that only a given service is external.
        self.environment = dict(os.environ)

    @cached_property
    def folder(self) -> Path:
        """A folder of this session's own, which PostgreSQL's user may pass through."""
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_place()))
        folder.chmod(0o711)
        # Locked before it gets its name: another session never finds it without its owner.
        fresh = folder / "owner.new"
        self._lock = os.open(fresh, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(folder / _OWNER)
        return folder

    @cached_property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.folder / "servers", environment=self.environment)

    def start(self) -> None:
        for name, url in self.supervisor.up().items():
            os.environ[self.supervisor.services[name].variable] = url

    def postgres(self, name: str, settings: Mapping[str, object]) -> "PostgresServer":
        """Return a running PostgreSQL of one's own, made from a copy of a fresh one."""
        folder = self.folder / name
        template = self._postgres_template
        (folder / "postgres").mkdir(parents=True)
        for made in (folder, folder / "postgres"):
            made.chmod(0o711)
        shutil.copy2(template / "postgres.json", folder)
        # Not shutil: the files belong to the server's user and have to stay his.
        subprocess.run(["cp", "-a", template / "postgres/data", folder / "postgres"], check=True)
        for program in (template / "postgres").glob("program-*"):
            subprocess.run(["cp", "-al", program, folder / "postgres"], check=True)
        server = PostgresServer(folder, settings)
        server.start()
        return server

    @cached_property
    def _postgres_template(self) -> Path:
        template = PostgresServer(self.folder / "template", {})
        template.start()
        template.stop()
        return template.folder

    def end(self) -> None:
        """Leave no process, no file and no variable."""
        if self._lock is None:
            return
        for service in self.supervisor.services.values():
            if service.variable not in self.environment:
                os.environ.pop(service.variable, None)
        _remove(self.folder)
        os.close(self._lock)
        self._lock = None


class PostgresServer:
    """One PostgreSQL server for one test, which may do to it what it likes."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        self.folder = folder
        self._supervisor = Supervisor(folder, [Postgres(settings)], environment={})
        self.url = ""

    def start(self) -> None:
        self.url = self._supervisor.up()["postgres"]

    def stop(self) -> None:
        """Stop it as an administrator would: every session is told."""
        self._supervisor.down()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._supervisor.kill("postgres")

    def restart(self) -> None:
        """Start it (again) on the same port and the same data."""
        self._supervisor.restart("postgres")

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._supervisor.pause("postgres")

    def resume(self) -> None:
        self._supervisor.resume("postgres")

    def discard(self) -> None:
        self._supervisor.down(discard=True)
        shutil.rmtree(self.folder)


SESSION = pytest.StashKey[Session]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    session = early_config.stash[SESSION] = Session()
    # Not `pytest_unconfigure`: that is left out when pytest fails before it is configured.
    early_config.add_cleanup(session.end)
    if _needs_servers(early_config):
        try:
            session.start()
        except DevServiceError as error:
            raise pytest.UsageError(f"The test servers did not start. {error}") from error
    return (yield)


def _needs_servers(config: pytest.Config) -> bool:
    if is_controller(config):
        return False
    options = config.known_args_namespace
    if any(getattr(options, name, False) for name in _IDLE_OPTIONS):
        return False
    start = config.invocation_params.dir
    paths = [start / each.partition("::")[0] for each in options.file_or_dir]
    return not paths or not all(each.resolve().is_relative_to(_UNIT) for each in paths)


def _place() -> Path:
    """Return memory when there is enough, else the temporary folder: a disk is 10 times slower."""
    try:
        facts = os.statvfs(_MEMORY)
    except OSError:
        return Path(tempfile.gettempdir())
    enough = facts.f_bavail * facts.f_frsize > _MEMORY_NEEDED and os.access(_MEMORY, os.W_OK)
    return _MEMORY if enough and not facts.f_flag & os.ST_NOEXEC else Path(tempfile.gettempdir())


def _sweep() -> None:
    """Remove what sessions left that were killed."""
    for folder in _place().glob(f"{_PREFIX}*"):
        try:
            owner = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(owner).st_uid == os.geteuid():
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        except BlockingIOError:
            pass  # its session lives
        finally:
            os.close(owner)


def _remove(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir():
            Supervisor(each).down(discard=True)
    shutil.rmtree(folder, ignore_errors=True)
