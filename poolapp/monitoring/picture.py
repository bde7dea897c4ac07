"""The pools of one process at one moment, for pages and for other processes: the worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolapp.core.backend import Sockets
from poolapp.core.lease import Lease
from poolapp.core.stats import PoolStats
from poolapp.monitoring.advice import advise
from poolapp.monitoring.health import SEVERITY, Health, Monitor
from poolapp.monitoring.history import Event, Samples
from poolapp.monitoring.probe import Status
from poolapp.monitoring.process import this_process
from poolapp.monitoring.words import counted


@dataclasses.dataclass(frozen=True, slots=True)
class HeldLease:
    """A connection that somebody holds."""

    held: float
    """Seconds."""
    holder: str
    stack: list[str]
    """The acquire's line last."""
    leaking: bool

    @property
    def site(self) -> str:
        return self.stack[-1]

    def as_dict(self) -> dict[str, Any]:
        return {
            "held": round(self.held, 3),
            "holder": self.holder,
            "stack": self.stack,
            "leaking": self.leaking,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldLease:
        return cls(data["held"], data["holder"], list(data["stack"]), data["leaking"])


@dataclasses.dataclass(frozen=True, slots=True)
class LoopPicture:
    """The pool of one alias on one event loop."""

    loop: str
    stats: PoolStats
    leases: list[HeldLease]
    """The oldest first; of another process only the oldest."""
    samples: Samples = Samples()  # noqa: RUF009 - it is frozen
    """What was in use and waited of late."""

    @property
    def closed(self) -> int:
        return sum(self.stats.closed.values())

    @property
    def in_use_share(self) -> float:
        """Of the alias's maximum, in percent."""
        return min(100.0, 100 * self.stats.in_use / max(1, self.stats.max_size))

    @property
    def idle_share(self) -> float:
        free = 100.0 - self.in_use_share
        return min(free, 100 * self.stats.idle / max(1, self.stats.max_size))

    def as_dict(self) -> dict[str, Any]:
        leases = [each.as_dict() for each in self.leases]
        return {
            "loop": self.loop,
            "stats": _shortened(self.stats),
            "leases": leases,
            "samples": self.samples.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LoopPicture:
        leases = [HeldLease.from_dict(each) for each in data["leases"]]
        samples = Samples.from_dict(data.get("samples", {}))
        return cls(data["loop"], _complete(data["stats"]), leases, samples)


@dataclasses.dataclass(frozen=True, slots=True)
class AliasPicture:
    """One alias, over all loops of the process."""

    health: Health
    backend: str
    """The name of its class; ``""`` when the alias's settings are wrong."""
    min_size: int
    max_size: int
    """In force in this process, over all its loops."""
    loops: list[LoopPicture]
    events: list[Event] = dataclasses.field(default_factory=list)
    """Of late, the latest first."""
    advice: tuple[str, ...] = ()
    """What an operator may want to change, in sentences; see ``poolapp.monitoring.advice``."""

    @property
    def alias(self) -> str:
        return self.health.alias

    def _sum(self, field: str) -> int:
        return sum(getattr(each.stats, field) for each in self.loops)

    @property
    def in_use(self) -> int:
        return self._sum("in_use")

    @property
    def size(self) -> int:
        """Connections that are open."""
        return self._sum("size")

    @property
    def idle(self) -> int:
        return self._sum("idle")

    @property
    def waiting(self) -> int:
        return self._sum("waiting")

    @property
    def timed_out(self) -> int:
        return self._sum("timed_out")

    @property
    def lost(self) -> int:
        return self._sum("lost")

    @property
    def wait_p95(self) -> float:
        """Of the loop where it is longest, in seconds."""
        return max((each.stats.wait_p95 for each in self.loops), default=0.0)

    @property
    def sentence(self) -> str:
        """What it does now, in numbers."""
        if not self.loops:
            return "Nothing in this process has used it yet."
        text = f"{self.in_use} of {self.max_size} connections are in use, {self.idle} idle"
        if self.waiting:
            text += f", and {counted(self.waiting, 'acquire waits', 'acquires wait')}"
        on_loops = counted(len(self.loops), "event loop", "event loops")
        return f"{text}, on {on_loops}."

    @property
    def urgency(self) -> tuple[float, ...]:
        used = self.in_use / self.max_size if self.max_size else 0.0
        return (SEVERITY[self.health.status], self.waiting, used, self.timed_out, self.lost)

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.health.as_dict(),
            "error": self.health.error,
            "backend": self.backend,
            "min_size": self.min_size,
            "max_size": self.max_size,
            "loops": [each.as_dict() for each in self.loops],
            "events": [each.as_dict() for each in self.events],
            "advice": list(self.advice),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, age: float = 0.0) -> AliasPicture:
        status = data["status"]
        if status not in SEVERITY:
            raise ValueError(f"no status: {status!r}")
        health = Health(
            alias=data["alias"],
            status=status,
            reasons=tuple(data["reasons"]),
            error=data["error"],
        )
        loops = [LoopPicture.from_dict(each) for each in data["loops"]]
        events = [Event.from_dict(each, age) for each in data.get("events", ())]
        return cls(
            health=health,
            backend=data["backend"],
            min_size=data["min_size"],
            max_size=data["max_size"],
            loops=loops,
            events=events,
            advice=tuple(map(str, data.get("advice", ()))),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ProcessPicture:
    """All aliases of one process, the worst first."""

    worker: str
    """``host:pid:start``, which no other process has."""
    host: str
    pid: int
    server: str
    """What runs it: ``uvicorn``, ``celery``, ``runserver``, ``command ...``."""
    uptime: float
    """Seconds that the process had run when the picture was taken."""
    age: float = 0.0
    """Seconds since the picture was taken."""
    aliases: list[AliasPicture]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.server} {self.host}:{self.pid}"

    @property
    def status(self) -> Status:
        return self.aliases[0].health.status if self.aliases else "healthy"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; holds no secret."""
        return {
            "worker": self.worker,
            "host": self.host,
            "pid": self.pid,
            "server": self.server,
            "uptime": round(self.uptime, 1),
            "age": round(self.age, 1),
            "aliases": [each.as_dict() for each in self.aliases],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, age: float = 0.0) -> ProcessPicture:
        """Of another process, which may be of another version: what it does not tell is 0, what
        is not known here is left out. Raises KeyError, TypeError, ValueError for what is no
        picture. ``age`` is the reader's knowledge: clocks differ."""
        return cls(
            worker=data["worker"],
            host=data["host"],
            pid=int(data["pid"]),
            server=data["server"],
            uptime=float(data["uptime"]),
            age=age,
            aliases=[AliasPicture.from_dict(each, age=age) for each in data["aliases"]],
        )


def take(monitor: Monitor) -> ProcessPicture:
    """May be called from any thread; what each pool shows is of the moment it was asked."""
    return assembled(pictures(monitor))


def pictures(monitor: Monitor) -> Iterator[AliasPicture]:
    """One alias after the other, for who has to do something else in between."""
    registry = monitor.registry
    pools = registry.all(initialized_only=True)
    loops = {loop: number for number, loop in enumerate(dict.fromkeys(p.loop for p in pools), 1)}
    for alias in monitor.aliases():
        shown = [
            LoopPicture(
                f"{loops[pool.loop]} of {len(loops)}",
                pool.stats(),
                _held(pool.leases()),
                monitor.history.samples(pool),
            )
            for pool in pools
            if pool.alias == alias
        ]
        config = registry.config(alias) if alias in registry else None
        stats = [each.stats for each in shown]
        yield AliasPicture(
            health=monitor.known(alias, stats),
            backend=config.backend.rpartition(".")[2] if config else "",
            min_size=config.min_size if config else 0,
            max_size=config.max_size if config else 0,
            loops=shown,
            events=monitor.history.events(alias),
            advice=advise(stats, monitor.usage.window(alias)),
        )


def assembled(aliases: Iterator[AliasPicture] | Sequence[AliasPicture]) -> ProcessPicture:
    """The picture of this process."""
    process = this_process()
    return ProcessPicture(
        worker=process.worker,
        host=process.host,
        pid=process.pid,
        server=process.server,
        uptime=process.uptime,
        aliases=sorted(aliases, key=lambda each: each.urgency, reverse=True),
    )


def _held(leases: Sequence[Lease[Any]]) -> list[HeldLease]:
    """The oldest first."""
    found = [HeldLease(each.held, each.holder, each.stack(), each.reported) for each in leases]
    return sorted(found, key=lambda each: each.held, reverse=True)


_NOTHING: dict[str, Any] = {"int": 0, "float": 0.0, "str": "", "bool": False, "dict[str, int]": {}}
"""By a field's annotation; the others may be None."""

_FIELDS = {each.name: _NOTHING.get(str(each.type)) for each in dataclasses.fields(PoolStats)}


def _shortened(stats: PoolStats) -> dict[str, Any]:
    """Without what is 0: most of it is, and a fleet has many pools."""
    found: dict[str, Any] = {}
    for name in _FIELDS:
        value = getattr(stats, name)
        if isinstance(value, float):
            value = round(value, 6)
        if isinstance(value, Sockets):
            value = [value.open, value.in_use]
        if value:
            found[name] = value
    return found


def _complete(data: Mapping[str, Any]) -> PoolStats:
    found = {name: data.get(name, nothing) for name, nothing in _FIELDS.items()}
    if found["sockets"] is not None:
        found["sockets"] = Sockets(open=found["sockets"][0], in_use=found["sockets"][1])
    return PoolStats(**found)
