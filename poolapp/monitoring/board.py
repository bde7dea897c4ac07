"""What the admin's pages show of a fleet: each alias over all workers, the worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.health import SEVERITY, Health, joined
from poolapp.monitoring.history import SAMPLES, Event, Samples
from poolapp.monitoring.picture import AliasPicture, HeldLease, LoopPicture, ProcessPicture
from poolapp.monitoring.probe import Status
from poolapp.monitoring.words import counted

HEIGHT = 20
"""Of a sparkline, in units of its own; its width is ``SAMPLES`` of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One alias on one event loop of one process."""

    process: ProcessPicture
    picture: LoopPicture
    of_many: bool
    """Whether other processes are shown beside it."""

    @property
    def key(self) -> str:
        return f"{self.process.worker}-{self.picture.loop}"

    @property
    def bar(self) -> str:
        stats = self.picture.stats
        return f"{stats.in_use} in use and {stats.idle} idle of at most {stats.max_size}"

    @property
    def used_width(self) -> str:
        return f"{self.picture.in_use_share:.1f}"

    @property
    def idle_width(self) -> str:
        return f"{self.picture.idle_share:.1f}"

    @property
    def is_notable(self) -> bool:
        return bool(self.picture.stats.waiting) or self.picture.stats.state != "open"

    @property
    def spark(self) -> Spark | None:
        """None until there is something to draw."""
        samples = self.picture.samples
        if len(samples.in_use) < 2:
            return None
        return Spark.of(samples, self.picture.stats.max_size)


@dataclasses.dataclass(frozen=True, slots=True)
class Spark:
    """A sparkline as paths of SVG, the latest sample at the right."""

    in_use: str
    """The area of the connections in use; ``MAX_SIZE`` is its height, unless somebody waits."""
    demand: str
    """The area of those and the acquires that wait, if any did; else ``""``."""
    limit: str
    """How high ``MAX_SIZE`` is; ``""`` where it is the top."""
    words: str

    @classmethod
    def of(cls, samples: Samples, max_size: int) -> Spark:
        demand = [used + waits for used, waits in zip(samples.in_use, samples.waiting, strict=True)]
        top = max(max_size, *demand, 1)
        waits = any(samples.waiting)
        used_up = max(samples.in_use)
        words = f"At most {used_up} in use of late"
        if waits:
            words += f", and at most {max(samples.waiting)} waiting"
        start = SAMPLES - len(demand)
        return cls(
            in_use=_area(samples.in_use, top, start) if used_up else "",
            demand=_area(demand, top, start) if waits else "",
            limit=_height(max_size, top) if top > max_size else "",
            words=words,
        )


def _height(value: int, top: int) -> str:
    return str(HEIGHT - round((HEIGHT - 1) * value / top))


def _area(values: Sequence[int], top: int, start: int) -> str:
    """As stairs, so that what did not change costs nothing."""
    found = [f"M{start} {_height(values[0], top)}"]
    before = values[0]
    for place, value in enumerate(values[1:], start + 1):
        if value != before:
            found.append(f"H{place}V{_height(value, top)}")
            before = value
    found.append(f"H{SAMPLES}V{HEIGHT}H{start}Z")
    return "".join(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """A lease, and the process in which it is held."""

    process: ProcessPicture
    lease: HeldLease
    key: str

    @property
    def seconds(self) -> float:
        return self.lease.held + self.process.age


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """An event, and the process in which it happened."""

    process: ProcessPicture
    event: Event
    key: str

    @property
    def headline(self) -> str:
        return self.event.text.partition("\n")[0]

    @property
    def rest(self) -> str:
        return self.event.text.partition("\n")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class AliasBoard:
    """One alias over all workers."""

    health: Health
    backend: str
    everywhere: list[tuple[ProcessPicture, AliasPicture]]
    rows: list[Row]
    in_use: int
    idle: int
    size: int
    """Connections that are open."""
    max_size: int
    """What all workers together may open."""
    waiting: int
    timed_out: int
    lost: int
    wait_p95: float
    """Of the loop where it is longest, in seconds."""

    @property
    def alias(self) -> str:
        return self.health.alias

    @property
    def sentence(self) -> str:
        """What it does now, in numbers."""
        workers = len(self.everywhere)
        if not self.rows:
            if not self.backend:
                return ""
            where = "in this process" if workers == 1 else "in any worker"
            return f"Nothing {where} has used it yet."
        text = f"{self.in_use} of {self.max_size} connections are in use, {self.idle} idle"
        if self.waiting:
            text += f", and {counted(self.waiting, 'acquire waits', 'acquires wait')}"
        text += f", on {counted(len(self.rows), 'event loop', 'event loops')}"
        if workers > 1:
            used = len({row.process.worker for row in self.rows})
            text += f" of {counted(used, 'worker', 'workers')}"
        return f"{text}."

    @property
    def used_share(self) -> str:
        return f"{min(100.0, 100 * self.in_use / max(1, self.max_size)):.1f}"

    @property
    def urgency(self) -> tuple[float, ...]:
        used = self.in_use / self.max_size if self.max_size else 0.0
        return (SEVERITY[self.health.status], self.waiting, used, self.timed_out, self.lost)

    @property
    def leases(self) -> list[Held]:
        """All that are known, the longest held first."""
        found = [
            Held(row.process, lease, f"{row.key}-{number}")
            for row in self.rows
            for number, lease in enumerate(row.picture.leases)
        ]
        return sorted(found, key=lambda each: each.seconds, reverse=True)

    @property
    def leaks(self) -> list[Held]:
        return [each for each in self.leases if each.lease.leaking]

    @property
    def events(self) -> list[Told]:
        """Of late, the latest first."""
        found = [
            Told(process, event, f"{process.worker}-{len(alias.events) - number}")
            for process, alias in self.everywhere
            for number, event in enumerate(alias.events)
        ]
        return sorted(found, key=lambda each: each.event.ago)

    @property
    def advice(self) -> list[str]:
        """What an operator may want to change, each once."""
        return list(dict.fromkeys(each for _, alias in self.everywhere for each in alias.advice))

    @property
    def errors(self) -> list[tuple[str, list[ProcessPicture]]]:
        """The last error of each worker that has one; the same of several workers once."""
        found: dict[str, list[ProcessPicture]] = {}
        for process, alias in self.everywhere:
            if alias.health.error:
                found.setdefault(alias.health.error, []).append(process)
        return list(found.items())


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """All of it."""

    found: FleetPicture
    aliases: list[AliasBoard]

    @property
    def status(self) -> Status:
        return self.aliases[0].health.status if self.aliases else "healthy"

    @property
    def headline(self) -> str:
        total = len(self.aliases)
        if not total:
            return "POOLS declares no pool."
        if self.status == "healthy":
            return "The pool is healthy." if total == 1 else f"All {total} pools are healthy."
        bad = [
            f"{counted(count, 'is', 'are')} {status}"
            for status in ("unhealthy", "degraded")
            if (count := sum(each.health.status == status for each in self.aliases))
        ]
        return f"Of {counted(total, 'pool', 'pools')} {' and '.join(bad)}."

    @property
    def announcement(self) -> str:
        """For a screen reader, which says it again when it changes: what is wrong, and no number
        that moves."""
        bad = [
            f"{each.alias} is {each.health.status}."
            for each in self.aliases
            if each.health.status != "healthy"
        ]
        leaks = [
            f"{each.alias} may leak {counted(len(each.leaks), 'connection', 'connections')}."
            for each in self.aliases
            if each.leaks
        ]
        workers = counted(len(self.found.processes), "worker", "workers")
        return " ".join([self.headline, *bad, *leaks, f"{workers} seen."])

    @property
    def exceeded(self) -> bool:
        return any(each.exceeded for each in self.found.limits)

    def alias(self, alias: str) -> AliasBoard | None:
        return next((each for each in self.aliases if each.alias == alias), None)


def board(found: FleetPicture) -> Board:
    """In one pass over every loop of every alias of every process."""
    everywhere: dict[str, list[tuple[ProcessPicture, AliasPicture]]] = {}
    for process in found.processes:
        for each in process.aliases:
            everywhere.setdefault(each.alias, []).append((process, each))
    aliases = [_joined(pairs) for pairs in everywhere.values()]
    aliases.sort(key=lambda each: each.alias)
    aliases.sort(key=lambda each: each.urgency, reverse=True)
    return Board(found, aliases)


def _joined(pairs: list[tuple[ProcessPicture, AliasPicture]]) -> AliasBoard:
    pictures = [alias for _, alias in pairs]
    rows = list(_rows(pairs))
    stats = [row.picture.stats for row in rows]
    return AliasBoard(
        health=joined([each.health for each in pictures]),
        backend=next((each.backend for each in pictures if each.backend), ""),
        everywhere=pairs,
        rows=rows,
        in_use=sum(each.in_use for each in stats),
        idle=sum(each.idle for each in stats),
        size=sum(each.size for each in stats),
        max_size=sum(each.max_size for each in pictures),
        waiting=sum(each.waiting for each in stats),
        timed_out=sum(each.timed_out for each in stats),
        lost=sum(each.lost for each in stats),
        wait_p95=max((each.wait_p95 for each in stats), default=0.0),
    )


def _rows(pairs: Sequence[tuple[ProcessPicture, AliasPicture]]) -> Iterator[Row]:
    """The workers where it is worst first; else as they come, so that rows keep their places."""
    ordered = sorted(pairs, key=lambda pair: SEVERITY[pair[1].health.status], reverse=True)
    for process, alias in ordered:
        for each in alias.loops:
            yield Row(process, each, len(pairs) > 1)
