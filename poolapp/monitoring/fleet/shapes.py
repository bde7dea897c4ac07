"""What the fleet shows and answers."""

from __future__ import annotations

import dataclasses
from typing import Any

from poolapp.monitoring.health import SEVERITY
from poolapp.monitoring.picture import ProcessPicture
from poolapp.monitoring.probe import Status
from poolapp.monitoring.words import counted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimit:
    """What the fleet may open at one server, and what that server lets in."""

    aliases: tuple[str, ...]
    """Those that connect to it."""
    workers: int
    possible: int
    """Connections that all workers may open together."""
    limit: int
    """Connections that the server lets in: without those that it keeps for its administrators."""
    open: int | None = None
    """Connections of the workers that are open now; None where nobody has counted."""

    @property
    def exceeded(self) -> bool:
        return self.possible > self.limit

    @property
    def sentence(self) -> str:
        workers = counted(self.workers, "worker", "workers")
        text = f"{workers} may open {self.possible} connections; the server lets in {self.limit}"
        if self.open is None:
            return f"{text}."
        return f"{text}, and {counted(self.open, 'is', 'are')} open."

    def as_dict(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "aliases": list(self.aliases),
            "exceeded": self.exceeded,
            "sentence": self.sentence,
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FleetPicture:
    """All worker processes of all hosts, as far as they can be seen."""

    processes: list[ProcessPicture]
    """This one first, then by host and number."""
    notice: str = ""
    """Why only this process is shown; ``""`` when all are."""
    limits: list[ServerLimit] = dataclasses.field(default_factory=list)
    """Of the servers that tell theirs."""

    @property
    def status(self) -> Status:
        """The worst of all processes'."""
        found: list[Status] = [each.status for each in self.processes]
        return max(found, key=SEVERITY.__getitem__, default="healthy")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; holds no secret."""
        return {
            "status": self.status,
            "notice": self.notice,
            "processes": [each.as_dict() for each in self.processes],
            "limits": [each.as_dict() for each in self.limits],
        }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What one worker did of what it was told."""

    worker: str
    """``""`` when it stands for the workers that nobody could ask."""
    host: str
    pid: int
    ok: bool
    text: str
    """A sentence."""

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
