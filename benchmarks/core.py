"""The pool itself: what an acquire and its release cost, and in what order waiters are served."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from benchmarks import borrowing, peers
from benchmarks.borrowing import CONNECTIONS, Borrower, Order, Pair, With, crowd
from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import PrometheusObserver, shipped_observers
from poolapp import Registry, pools

SERVICES = ("postgres", "redis")

OURS = ""
WATCHED_ACQUIRES = 20
"""By each task, when overtakes are counted."""


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    """``name`` is its part of the keys, empty for ours."""

    name: str
    label: str
    borrower: Borrower

    def key(self, what: str, unit: str = "") -> str:
        return "_".join(part for part in (f"core.{what}", self.name, unit) if part)


async def run(lab: Lab) -> None:
    goals = lab.report.goals
    goals["core.acquire_us"] = Goal("<=", 2.0)
    goals["core.contended_us"] = Goal("<=", 6.0)
    goals["core.overtakes"] = Goal("<=", 0.0)
    async with contestants(lab) as field:
        await _alone(lab, field)
        await _contended(lab, field)
        await _overtakes(lab, field)


@asynccontextmanager
async def contestants(lab: Lab) -> AsyncIterator[list[Contestant]]:
    postgres, redis = lab.urls["postgres"], lab.urls["redis"]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        shipped_observers()
        bare = await enter(Registry())
        scraped = await enter(Registry())
        for each in (*pools.events.observers, PrometheusObserver()):
            scraped.observe(each)
        ours = await enter(peers.poolapp_custom(pools, postgres, CONNECTIONS, resets=False))
        silent = await enter(peers.poolapp_custom(bare, postgres, CONNECTIONS, resets=False))
        observed = await enter(peers.poolapp_custom(scraped, postgres, CONNECTIONS, resets=False))
        resetting = await enter(peers.poolapp_custom(pools, postgres, CONNECTIONS, resets=True))
        asyncpg = await enter(peers.asyncpg_pool(postgres, CONNECTIONS, resets=True))
        unreset = await enter(peers.asyncpg_pool(postgres, CONNECTIONS, resets=False))
        psycopg = await enter(peers.psycopg_pool(postgres, CONNECTIONS))
        engine = await enter(peers.sqlalchemy_engine(postgres, CONNECTIONS))
        valkey = await enter(peers.redis_pool(redis, CONNECTIONS))
        semaphore = asyncio.Semaphore(CONNECTIONS)
        timed = borrowing.TimedSemaphore(semaphore)
        yield [
            Contestant(OURS, "poolapp, every observer it ships", With(ours.acquire)),
            Contestant("bare", "poolapp, no observer", With(silent.acquire)),
            Contestant(
                "prometheus", "poolapp, and two histograms observed", With(observed.acquire)
            ),
            Contestant("reset", "poolapp, with the reset query", With(resetting.acquire)),
            Contestant("deque", "floor: deque and futures", borrowing.Floor()),
            Contestant("semaphore", "floor: asyncio.Semaphore", With(lambda: semaphore)),
            Contestant("semaphore_timeout", "the same with asyncio.timeout", With(lambda: timed)),
            Contestant(
                "psycopg_getconn",
                "psycopg_pool getconn, putconn",
                Pair(psycopg.getconn, psycopg.putconn),
            ),
            Contestant("psycopg", "psycopg_pool connection()", With(psycopg.connection)),
            Contestant(
                "redis",
                "redis-py BlockingConnectionPool",
                Pair(valkey.get_connection, valkey.release),
            ),
            Contestant("asyncpg_noreset", "asyncpg's pool, no reset", With(unreset.acquire)),
            Contestant("asyncpg", "asyncpg's pool", With(asyncpg.acquire)),
            Contestant("sqlalchemy", "SQLAlchemy async engine", With(engine.connect)),
        ]


async def _alone(lab: Lab, field: list[Contestant]) -> None:
    found = await lab.race({each.name: each.borrower.alone for each in field})
    _show(lab, "One task: µs per acquire and release", "acquire", field, found)


async def _contended(lab: Lab, field: list[Contestant]) -> None:
    works = {each.name: partial(crowd, each.borrower.member) for each in field}
    works["switch"] = partial(crowd, borrowing.Nothing().member)
    found = await lab.race(works)
    title = (
        f"{borrowing.TASKS} tasks on {CONNECTIONS} connections: µs per acquire, "
        "one turn of the loop, and release"
    )
    _show(lab, title, "contended", field, found)
    key = lab.report.add("core.switch_us", (value * 1e6 for value in found["switch"]), "us")
    lab.report.sections[-1].rows.append(Row("the turn of the loop alone", key))


def _show(
    lab: Lab, title: str, what: str, field: list[Contestant], found: dict[str, list[float]]
) -> None:
    section = lab.report.section(title, "of ours")
    for each in field:
        seconds = found[each.name]
        key = lab.report.add(each.key(what, "us"), (value * 1e6 for value in seconds), "us")
        ratio = None
        if each.name != OURS:
            times = ratios(seconds, found[OURS])
            ratio = lab.report.add(each.key(what, "ratio"), times, "of ours")
        section.rows.append(Row(each.label, key, ratio))


async def _overtakes(lab: Lab, field: list[Contestant]) -> None:
    section = lab.report.section("Share of acquires served before one that asked earlier")
    for each in field:
        shares = []
        for _ in range(min(lab.effort.rounds, 3)):
            order = Order()
            watched = partial(each.borrower.watched, order=order)
            await crowd(watched, WATCHED_ACQUIRES * borrowing.TASKS)
            shares.append(order.share)
        section.rows.append(Row(each.label, lab.report.add(each.key("overtakes"), shares, "share")))
