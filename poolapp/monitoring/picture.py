"""The pools of this process at this moment, for pages: the worst first."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Sequence
from typing import Any

from poolapp.core.config import PoolConfig
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.stats import PoolStats
from poolapp.monitoring.health import SEVERITY, Health, Monitor
from poolapp.monitoring.probe import Status
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


@dataclasses.dataclass(frozen=True, slots=True)
class LoopPicture:
    """The pool of one alias on one event loop."""

    loop: str
    stats: PoolStats
    leases: list[HeldLease]

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


@dataclasses.dataclass(frozen=True, slots=True)
class AliasPicture:
    """One alias, over all loops of the process."""

    health: Health
    config: PoolConfig | None
    """None when its settings are wrong."""
    loops: list[LoopPicture]

    @property
    def alias(self) -> str:
        return self.health.alias

    @property
    def backend(self) -> str:
        return self.config.backend.rpartition(".")[2] if self.config else ""

    def _sum(self, field: str) -> int:
        return sum(getattr(each.stats, field) for each in self.loops)

    @property
    def in_use(self) -> int:
        return self._sum("in_use")

    @property
    def max_size(self) -> int:
        return self.config.max_size if self.config else 0

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


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessPicture:
    """All aliases of this process, the worst first."""

    pid: int
    host: str
    aliases: list[AliasPicture]

    def _count(self, status: Status) -> int:
        return sum(each.health.status == status for each in self.aliases)

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
            if (count := self._count(status))
        ]
        return f"Of {counted(total, 'pool', 'pools')} {' and '.join(bad)}."


def take(monitor: Monitor) -> ProcessPicture:
    """May be called from any thread; what each pool shows is of the moment it was asked."""
    registry = monitor.registry
    pools = registry.all(initialized_only=True)
    loops = {loop: number for number, loop in enumerate(dict.fromkeys(p.loop for p in pools), 1)}
    aliases = [
        AliasPicture(
            health=monitor.known(alias),
            config=registry.config(alias) if alias in registry else None,
            loops=[
                _loop_picture(pool, f"{loops[pool.loop]} of {len(loops)}")
                for pool in pools
                if pool.alias == alias
            ],
        )
        for alias in monitor.aliases()
    ]
    aliases.sort(key=lambda each: each.urgency, reverse=True)
    return ProcessPicture(os.getpid(), socket.gethostname(), aliases)


def _loop_picture(pool: Pool[Any], loop: str) -> LoopPicture:
    return LoopPicture(loop, pool.stats(), _held(pool.leases()))


def _held(leases: Sequence[Lease[Any]]) -> list[HeldLease]:
    """The oldest first."""
    found = [HeldLease(each.held, each.holder, each.stack(), each.reported) for each in leases]
    return sorted(found, key=lambda each: each.held, reverse=True)
