"""Real servers from wheels for the demo and the tests: no container engine, no system packages.

Settings may import this package: it needs no configured Django and no driver.
"""

from pathlib import Path

from poolapp.devservices.exceptions import DevServiceError, MissingWheel, NotReady, ServerDied
from poolapp.devservices.supervisor import ServiceStatus, Supervisor

__all__ = [
    "DevServiceError",
    "MissingWheel",
    "NotReady",
    "ServerDied",
    "ServiceStatus",
    "Supervisor",
    "down",
    "kill",
    "restart",
    "status",
    "up",
    "urls",
]


def up(*names: str, folder: Path | None = None) -> dict[str, str]:
    """Start the named services (all when none is named) and return their URLs.

    A running one is left alone and an external one is not started. The servers outlive this
    process. One that does not get ready is started again, on other ports, up to three times.
    Raises `MissingWheel`, `ServerDied`, `NotReady`, or `DevServiceError` for an unknown name.
    """
    return Supervisor(folder).up(*names)


def down(*names: str, folder: Path | None = None, discard: bool = False) -> None:
    """Stop the named services (all when none is named); `discard` deletes their data too."""
    Supervisor(folder).down(*names, discard=discard)


def status(*names: str, folder: Path | None = None) -> list[ServiceStatus]:
    """Tell what each service does now. No password is in it."""
    return Supervisor(folder).status(*names)


def urls(*, folder: Path | None = None) -> dict[str, str]:
    """Return service name -> URL, from the environment or a running server; others are absent."""
    return Supervisor(folder).urls()


def kill(name: str, *, folder: Path | None = None) -> None:
    """End one server as a power cut would (SIGKILL). Its data stay."""
    Supervisor(folder).kill(name)


def restart(name: str, *, folder: Path | None = None) -> str:
    """Start one server again, on the same port and the same data, and return its URL."""
    return Supervisor(folder).restart(name)
