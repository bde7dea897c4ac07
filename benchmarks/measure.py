"""Alternating rounds, and what is kept of them: every contestant does the same work in one run."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import importlib
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

Work = Callable[[int], Awaitable[int]]
"""Does about that many operations, and returns how many it did."""

FIRST_TRY = 100
WARM_UP = 0.05
"""Share of a round that is done again, unmeasured, before each round."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float
    """That one contestant takes in one round, about."""


REAL = Effort(rounds=15, seconds=0.2)
SMOKE = Effort(rounds=2, seconds=0.004)
"""Shows that everything runs; its figures mean nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """What one key has to say, over all rounds."""

    median: float
    min: float
    max: float
    unit: str

    @classmethod
    def of(cls, values: Sequence[float], unit: str) -> Figure:
        return cls(statistics.median(values), min(values), max(values), unit)


@dataclasses.dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a median is held against."""

    sign: str
    """``<=`` or ``>=``."""
    bound: float

    def met(self, value: float) -> bool:
        return value <= self.bound if self.sign == "<=" else value >= self.bound


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A line of a printed table; the keys are looked up in the report's figures."""

    label: str
    key: str
    ratio: str | None = None


@dataclasses.dataclass(slots=True)
class Section:
    """A printed table."""

    title: str
    ratio_title: str
    rows: list[Row] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    """Sentences below it: who is missing, and why."""


class Report:
    """Every figure by its key, and the tables they are shown in."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self.goals: dict[str, Goal] = {}
        self.sections: list[Section] = []

    def add(self, key: str, values: Iterable[float], unit: str) -> str:
        self.figures[key] = Figure.of(list(values), unit)
        return key

    def section(self, title: str, ratio_title: str = "") -> Section:
        found = Section(title, ratio_title)
        self.sections.append(found)
        return found

    def include(self, other: Report) -> None:
        """What another one has, too."""
        self.figures |= other.figures
        self.goals |= other.goals
        self.sections += other.sections

    def as_json(self) -> dict[str, dict[str, float | str]]:
        return {key: dataclasses.asdict(figure) for key, figure in self.figures.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Lab:
    """What a suite is given."""

    effort: Effort
    urls: Mapping[str, str]
    """Of the servers it asked for."""
    report: Report

    async def race(self, works: Mapping[str, Work]) -> dict[str, list[float]]:
        """Seconds per operation, one value for each round, of each contestant.

        All do a round before any does the next, in an order that turns by one each round. So a
        machine that slows down for a while slows all of them, and a ratio within one round stays
        meaningful where the absolute figures do not.
        """
        names = list(works)
        found: dict[str, list[float]] = {name: [] for name in names}
        with nothing_to_collect():
            counts = {name: await _fitting(works[name], self.effort.seconds) for name in names}
            for _ in range(self.effort.rounds):
                for name in names:
                    await works[name](max(1, round(counts[name] * WARM_UP)))
                    found[name].append(await _timed(works[name], counts[name]))
                names.append(names.pop(0))
        return found


def measured(suite: str, effort: Effort, urls: Mapping[str, str]) -> Report:
    """What a suite of this package finds, in this process."""
    lab = Lab(effort=effort, urls=urls, report=Report())
    asyncio.run(importlib.import_module(f"benchmarks.{suite}").run(lab))
    return lab.report


async def _fitting(work: Work, seconds: float) -> int:
    """How many operations fill a round; finding out opens the connections and warms the caches."""
    count = FIRST_TRY
    while True:
        took = await _timed(work, count)
        if took * count >= seconds / 4:
            return max(1, round(seconds / took))
        count *= 4


async def _timed(work: Work, count: int) -> float:
    """Seconds per operation."""
    gc.collect()
    started = time.perf_counter()
    done = await work(count)
    return (time.perf_counter() - started) / done


@contextmanager
def nothing_to_collect() -> Iterator[None]:
    """The collector's turn would come in anyone's round, so it has its turns between the rounds,
    and does not look at what is there for good."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round."""
    return [one / other for one, other in zip(above, below, strict=True)]
