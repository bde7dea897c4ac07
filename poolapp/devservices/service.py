"""What the supervisor needs to know about a kind of server."""

import importlib.util
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

from poolapp.devservices.folders import make_folder
from poolapp.devservices.ports import free_port, is_free
from poolapp.devservices.record import Record


class Account(NamedTuple):
    """The user a server runs as, when that is not ours."""

    uid: int
    gid: int


class Service(ABC):
    """One kind of server: its files, its command line, its readiness, its farewell."""

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # How to stop when nobody needs the data any more.
    discard_signal: ClassVar[signal.Signals] = signal.SIGKILL
    stop_seconds: ClassVar[float] = 10.0
    patience: ClassVar[tuple[float, ...]] = (8.0, 16.0, 30.0)
    """Seconds that each try of a start may take. All are ready after one or two; each try is given
    more than the last one, because it may be the machine that is slow."""
    probe_modules: ClassVar[tuple[str, ...]] = ()
    """What ``probe`` and ``prepare`` import."""

    @property
    def variable(self) -> str:
        """The environment variable whose URL replaces this server."""
        return f"POOLAPP_{self.name.upper()}_URL"

    def home(self, folder: Path) -> Path:
        """Return the folder of the server's own files; it is also its working folder."""
        return folder / self.name

    def account(self, home: Path) -> Account | None:
        """Return the user to run as; None is our own."""
        return None

    def choose_ports(self) -> tuple[int, ...]:
        """Return free ports; the first is the one clients use."""
        return (free_port(),)

    def leftovers(self, ports: tuple[int, ...]) -> list[Path]:
        """Return the files outside of its home that a server which was killed leaves behind."""
        return []

    def can_use(self, ports: tuple[int, ...]) -> bool:
        """Whether the ports are free, and no files of another server are in the way."""
        return all(map(is_free, ports)) and not any(each.exists() for each in self.leftovers(ports))

    def prepare(self, home: Path, record: Record, log: Path) -> None:
        """Make what the first start needs. Called before every start; raises DevServiceError."""
        make_folder(home)

    @abstractmethod
    def command(self, home: Path, record: Record) -> list[str]:
        """Return the command line; raises MissingWheel."""

    @abstractmethod
    def recognises(self, executable: str, arguments: list[str]) -> bool:
        """Whether a process in the server's folder is the server, and not somebody's shell."""

    @abstractmethod
    def url(self, record: Record) -> str:
        """Return the URL for clients, with the password."""

    @abstractmethod
    def probe(self, record: Record) -> None:
        """Have one exchange in the server's own protocol. Raises OSError until it is ready."""


def package_folder(name: str) -> Path | None:
    """Return an installed package's folder without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def is_python_module(module: str, executable: str, arguments: list[str]) -> bool:
    """Whether a process is `python -m module`."""
    return Path(executable).name.startswith("python") and module in arguments
