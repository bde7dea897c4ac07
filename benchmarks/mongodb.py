"""MongoDB: how many sockets 200 tasks open."""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo import AsyncMongoClient

from benchmarks.measure import Goal, Lab, Row
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ("mongodb",)

ALIAS = "bench"
CONNECTIONS = 10
TASKS = 200
EACH = 5

MONITORS = 2
"""Sockets by which the driver watches a server; they carry no operation, and are not counted."""


async def run(lab: Lab) -> None:
    lab.report.goals["sockets.200_tasks.mongodb"] = Goal("<=", CONNECTIONS)
    url = lab.urls["mongodb"]
    # Polling, it opens no socket while we count.
    async with AsyncMongoClient[dict[str, Any]](url, serverMonitoringMode="poll") as admin:
        before = await _opened(admin)
        await _operate(url)
        count = await _opened(admin) - before - MONITORS
    section = lab.report.section(f"{TASKS} tasks x {EACH} operations: sockets at the server")
    key = lab.report.add("sockets.200_tasks.mongodb", [count], "sockets")
    section.rows.append(Row(f"poolapp, MAX_SIZE {CONNECTIONS}", key))


async def _opened(admin: AsyncMongoClient[dict[str, Any]]) -> int:
    """Since the server was started."""
    status = await admin.admin.command("serverStatus")
    return int(status["connections"]["totalCreated"])


async def _operate(url: str) -> None:
    pools.register(
        ALIAS,
        PoolConfig(
            alias=ALIAS,
            backend="poolapp.backends.mongodb.MongoBackend",
            locations=(Location.parse(url),),
            max_size=CONNECTIONS,
            acquire_timeout=60.0,
        ),
    )
    try:
        pool: Any = pools[ALIAS]

        async def five() -> None:
            for _ in range(EACH):
                await pool.run(lambda db: db.things.find_one({}), database="bench")

        await asyncio.gather(*(five() for _ in range(TASKS)))
    finally:
        await pools.remove(ALIAS)
