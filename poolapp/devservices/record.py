"""What is known about one server between commands: pidfile, ports and password in one file."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from poolapp.devservices.exceptions import DevServiceError
from poolapp.devservices.folders import foreign


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """`pid` is None when the server was stopped; `born` is its process's start, epoch seconds."""

    ports: tuple[int, ...]
    password: str = field(repr=False)
    pid: int | None = None
    born: float | None = None

    @property
    def port(self) -> int:
        """The port its clients use."""
        return self.ports[0]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record, or None when there is none.

        Raises `DevServiceError` when the file is damaged or somebody else's.
        """
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise foreign(path.parent, error) from error
        except ValueError as error:
            raise DevServiceError(f"{path} is damaged: {error}. Remove it.") from error
        try:
            return cls(**{**values, "ports": tuple(values["ports"])})
        except (TypeError, KeyError) as error:
            raise DevServiceError(f"{path} is damaged: {error}. Remove it.") from error

    def write(self, path: Path) -> None:
        """Replace the file in one step; only its owner may ever read it."""
        fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(self), file)
        fresh.replace(path)
