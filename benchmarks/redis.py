"""Redis: 1,000 concurrent GETs over at most 50 connections, and one GET after the other.

Our pool sends commands of the same moment together; redis-py's blocking pool has a connection for
each. The pipeline is what its users write by hand where they can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import redis.asyncio as redis

from benchmarks import peers
from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ("redis",)

CROWD = 1000
CONNECTIONS = 50
KEY = "poolapp:benchmark"
VALUE = b"value " * 10

BLOCKING = "blocking_pool"

Get = Callable[[], Awaitable[bytes]]
Work = Callable[[int], Awaitable[int]]


async def run(lab: Lab) -> None:
    lab.report.goals["redis.get_1000_vs_blocking_pool"] = Goal(">=", 8)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_ours(lab.urls["redis"]))
        theirs = await stack.enter_async_context(peers.redis_pool(lab.urls["redis"], CONNECTIONS))
        client = redis.Redis(connection_pool=theirs)
        await client.set(KEY, VALUE)
        shipped_observers()
        gets = {
            "": ("poolapp, pool.execute", partial(pool.execute, "GET", KEY)),
            "commands": ("poolapp, pool.commands.get", partial(pool.commands.get, KEY)),
            "lease": ("poolapp, acquire()", partial(_by_lease, pool)),
            BLOCKING: ("redis-py, its blocking pool", partial(client.get, KEY)),
        }
        for label, get in gets.values():
            if await get() != VALUE:
                raise AssertionError(f"{label} got another value")
        works: dict[str, Work] = {name: partial(_crowd, get) for name, (_, get) in gets.items()}
        labels = {name: label for name, (label, _) in gets.items()}
        works["pipeline"] = partial(_pipelines, client)
        labels["pipeline"] = "redis-py, a pipeline by hand"
        title = f"{CROWD} GETs at once on {CONNECTIONS} sockets: per second"
        await _compare(lab, title, "get_1000", works, labels)
        alone = {name: partial(_alone, gets[name][1]) for name in ("", BLOCKING)}
        await _compare(lab, "One GET after the other: GETs per second", "get_alone", alone, labels)
        await client.delete(KEY)


async def _compare(
    lab: Lab, title: str, key: str, works: dict[str, Any], labels: dict[str, str]
) -> None:
    found = await lab.race(works)
    speeds = {name: [1 / value for value in seconds] for name, seconds in found.items()}
    section = lab.report.section(title, "of theirs")
    for name, speed in speeds.items():
        own = f"redis.{key}_{name}".rstrip("_")
        ops = lab.report.add(f"{own}_ops", speed, "ops/s")
        ratio = None
        if name != BLOCKING:
            ratio = lab.report.add(
                f"{own}_vs_{BLOCKING}", ratios(speed, speeds[BLOCKING]), "of theirs"
            )
        section.rows.append(Row(labels[name], ops, ratio))


@asynccontextmanager
async def _ours(url: str) -> AsyncIterator[Any]:
    pools.register(
        peers.ALIAS,
        PoolConfig(
            alias=peers.ALIAS,
            backend="poolapp.backends.redis.RedisBackend",
            locations=(Location.parse(url),),
            max_size=CONNECTIONS,
        ),
    )
    try:
        yield pools[peers.ALIAS]
    finally:
        await pools.remove(peers.ALIAS)


async def _by_lease(pool: Any) -> bytes:
    async with pool.acquire() as client:
        found: bytes = await client.get(KEY)
    return found


async def _crowd(get: Get, count: int) -> int:
    crowds = max(1, round(count / CROWD))
    for _ in range(crowds):
        await asyncio.gather(*(get() for _ in range(CROWD)))
    return crowds * CROWD


async def _pipelines(client: Any, count: int) -> int:
    crowds = max(1, round(count / CROWD))
    for _ in range(crowds):
        pipeline = client.pipeline(transaction=False)
        for _ in range(CROWD):
            pipeline.get(KEY)
        await pipeline.execute()
    return crowds * CROWD


async def _alone(get: Get, count: int) -> int:
    for _ in range(count):
        await get()
    return count
