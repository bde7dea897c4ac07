"""Sync code that asks PostgreSQL for one row: ``pools.run`` beside what else there is.

Each contestant is called from a thread of its own that runs no loop, as WSGI views, Celery tasks
and commands are.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
from asgiref.sync import async_to_sync

from benchmarks import peers
from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import pools

SERVICES = ("postgres",)

CONNECTIONS = 10
QUERY = "SELECT 1"

RUN = "run"
ALONE = "query_alone"


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    label: str
    once: Callable[[], Any]
    """Called from sync code; gives 1."""

    async def work(self, count: int) -> int:
        await asyncio.to_thread(self._repeat, count)
        return count

    def _repeat(self, count: int) -> None:
        for _ in range(count):
            if self.once() != 1:
                raise AssertionError(f"{self.label} did not fetch what it should")


async def run(lab: Lab) -> None:
    goals = lab.report.goals
    goals["loops.run_vs_connect_per_call"] = Goal(">=", 20.0)
    goals["loops.run_overhead_us"] = Goal("<=", 300.0)
    async with contestants(lab.urls["postgres"]) as field:
        works = {each.name: each.work for each in field}
        found = await lab.race({**works, ALONE: _alone})
    micros = {name: [value * 1e6 for value in seconds] for name, seconds in found.items()}
    add = lab.report.add

    section = lab.report.section("Sync code fetches one row: µs per call", "of pools.run")
    for each in field:
        key = add(f"loops.{each.name}_us", micros[each.name], "us")
        ratio = None
        if each.name != RUN:
            times = ratios(found[each.name], found[RUN])
            ratio = add(f"loops.run_vs_{each.name}", times, "of ours")
        section.rows.append(Row(each.label, key, ratio))
    key = add(f"loops.{ALONE}_us", micros[ALONE], "us")
    section.rows.append(Row("the same query where the pool's loop runs", key))
    over = [run - alone for run, alone in zip(micros[RUN], micros[ALONE], strict=True)]
    section.rows.append(
        Row("what crossing the threads adds to it", add("loops.run_overhead_us", over, "us"))
    )


@asynccontextmanager
async def contestants(url: str) -> AsyncIterator[list[Contestant]]:
    async def connect_and_ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(QUERY)
        finally:
            await connection.close()

    shipped_observers()
    async with peers.poolapp_postgres(pools, url, CONNECTIONS):
        yield [
            Contestant(RUN, "poolapp, pools.run", partial(pools.run, _ask)),
            Contestant(
                "pool_per_call", "poolapp, async_to_sync: a pool per call", async_to_sync(_ask)
            ),
            Contestant(
                "connect_per_call",
                "async_to_sync, asyncpg.connect",
                async_to_sync(connect_and_ask),
            ),
        ]


async def _ask() -> Any:
    return await pools[peers.ALIAS].fetchval(QUERY)


async def _alone(count: int) -> int:
    """On the loop where ``pools.run`` runs it, one after the other."""

    async def repeat() -> int:
        for _ in range(count):
            await _ask()
        return count

    return await pools.arun(repeat)
