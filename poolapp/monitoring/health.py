"""Is a pool well? Judged from what is known already and a probe that borrows nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from poolapp.core.exceptions import ConfigurationError
from poolapp.core.registry import Registry, pools
from poolapp.core.stats import PoolStats
from poolapp.monitoring.history import History
from poolapp.monitoring.probe import Probe, Prober, Status
from poolapp.monitoring.rates import ErrorRates, Tally
from poolapp.monitoring.usage import Usage

DEGRADED_RATE = 0.05
UNHEALTHY_RATE = 0.10
"""Share of the last minute's acquires that failed."""

LEAST_ACQUIRES = 20
"""Below so many in the window, the share that failed says nothing."""

SEVERITY: dict[Status, int] = {"healthy": 0, "degraded": 1, "unhealthy": 2}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The verdict on one alias in this process."""

    alias: str
    status: Status
    reasons: tuple[str, ...] = ()
    """Why it is not healthy, in sentences for everybody: no server, no error's text."""
    error: str = ""
    """For operators: the last connect's or the probe's error, without secrets."""

    def as_dict(self) -> dict[str, Any]:
        """What may be shown to everybody."""
        return {"alias": self.alias, "status": self.status, "reasons": list(self.reasons)}


def judge(
    alias: str,
    found: Sequence[PoolStats],
    tally: Tally,
    probe: Probe | None,
    worries: Sequence[tuple[Status, str]] = (),
) -> Health:
    """The verdict from the statistics of an alias's pools on all loops, the acquires of the last
    minute, the probe, if there was one, and what else somebody has to say."""
    told: list[tuple[Status, str]] = []
    error = probe.error if probe else ""
    if probe is not None and probe.status != "healthy":
        open_now = sum(each.in_use + each.idle for each in found if not each.shared)
        if probe.turned_away and open_now:
            told.append(
                ("degraded", f"The server lets no more connections in; {open_now} open ones serve.")
            )
        else:
            message = probe.message or f"The server says that it is {probe.status}"
            told.append((probe.status, _sentence(message)))
    for each in found:
        error = error or each.last_error
        if each.breaker_open:
            # Were this unhealthy although the probe got through, no request would come any more,
            # and so no connect that closes the circuit.
            back = probe is not None and probe.status != "unhealthy"
            told.append(
                ("degraded", "The circuit is still open; the server answers again.")
                if back
                else ("unhealthy", "The circuit is open: connects failed again and again.")
            )
        elif each.last_error:
            kind = each.last_error.partition(":")[0]
            told.append(("degraded", f"The last connect failed ({kind})."))
    told += _load(found)
    told += _failures(tally)
    told += worries
    told = list(dict.fromkeys(told))
    told.sort(key=lambda each: -SEVERITY[each[0]])
    return Health(
        alias=alias,
        status=told[0][0] if told else "healthy",
        reasons=tuple(text for _, text in told),
        error=error,
    )


def _load(found: Sequence[PoolStats]) -> list[tuple[Status, str]]:
    told: list[tuple[Status, str]] = []
    if any(each.state == "paused" for each in found):
        told.append(("degraded", "The pool is paused."))
    in_use = sum(each.in_use for each in found)
    waiting = sum(each.waiting for each in found)
    limit = max((each.max_size for each in found), default=0)
    if waiting and in_use >= limit:
        all_of_them = f"All {limit} connections are in use" if limit > 1 else "The one is in use"
        wait = "acquires wait" if waiting > 1 else "acquire waits"
        told.append(("degraded", f"{all_of_them} and {waiting} {wait}."))
    return told


def _failures(tally: Tally) -> list[tuple[Status, str]]:
    if tally.acquires < LEAST_ACQUIRES or tally.rate <= DEGRADED_RATE:
        return []
    status: Status = "unhealthy" if tally.rate > UNHEALTHY_RATE else "degraded"
    return [(status, f"{tally.rate:.1%} of the last minute's {tally.acquires} acquires failed.")]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


class Monitor:
    """The health of every alias of a registry."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry
        self.rates = ErrorRates(clock)
        self.prober = Prober(clock)
        self.history = History(clock)
        self.usage = Usage(clock)
        self.worries: list[Callable[[str], Sequence[tuple[Status, str]]]] = []
        """What others know of an alias: quick functions, called from any thread."""

    def aliases(self) -> list[str]:
        """All that are declared, the faulty ones too."""
        return sorted({*self.registry, *self.registry.faults})

    def known(self, alias: str, found: Sequence[PoolStats] | None = None) -> Health:
        """The verdict from what is known already: no probe, no waiting; from any thread. ``found``
        are the statistics of the alias's pools, for who has them."""
        if alias in self.registry.faults:
            return _misconfigured(alias, self.registry.faults[alias])
        return self._judged(alias, found, self.prober.last(alias))

    async def check(self, alias: str) -> Health:
        """The verdict from what is known and from a probe that is not too old, unless
        ``HEALTH_INTERVAL`` is None. Takes at most the probe's time; never waits for a connection of
        the pool."""
        try:
            pool = self.registry[alias]
        except ConfigurationError as error:
            return _misconfigured(alias, str(error))
        probing = pool.config.health_interval is not None
        probe = await self.prober.probe(pool) if probing else None
        return self._judged(alias, None, probe)

    def _judged(self, alias: str, found: Sequence[PoolStats] | None, probe: Probe | None) -> Health:
        if found is None:
            pools = self.registry.all(initialized_only=True)
            found = [pool.stats() for pool in pools if pool.alias == alias]
        worries = [each for worry in self.worries for each in worry(alias)]
        return judge(alias, found, self.rates.of(alias), probe, worries)

    async def check_all(self) -> list[Health]:
        return list(await asyncio.gather(*(self.check(alias) for alias in self.aliases())))


def _misconfigured(alias: str, fault: str) -> Health:
    return Health(
        alias=alias,
        status="unhealthy",
        reasons=("Its settings are wrong: `manage.py check` tells what.",),
        error=fault,
    )


def joined(verdicts: Sequence[Health]) -> Health:
    """The verdicts of several processes on one alias as one: the worst, with each reason once."""
    count = Counter(reason for each in verdicts for reason in each.reasons)
    worst = max(verdicts, key=lambda each: SEVERITY[each.status])
    everybody = len(verdicts)
    reasons = [
        reason
        if count[reason] == everybody
        else f"{reason.rstrip('.')}, in {count[reason]} of {everybody} workers."
        for reason in sorted(count, key=lambda each: each not in worst.reasons)
    ]
    return dataclasses.replace(worst, reasons=tuple(reasons))


def overall(verdicts: Sequence[Health]) -> Status:
    """The worst of them; healthy when there is none."""
    return max((each.status for each in verdicts), key=SEVERITY.__getitem__, default="healthy")


monitor = Monitor(pools)
"""The process's own."""

os.register_at_fork(after_in_child=monitor.rates.forget)
os.register_at_fork(after_in_child=monitor.history.forget)
os.register_at_fork(after_in_child=monitor.usage.forget)
