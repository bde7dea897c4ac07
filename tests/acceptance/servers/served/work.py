"""What every view, task and test does: ask both servers, and tell who asked."""

import os
from typing import Any

from django.conf import settings

from poolapp import pools

GATE = 4711
"""An advisory lock of PostgreSQL that the tests hold, to have work in flight."""


in_flight: set[object] = set()


async def ask() -> dict[str, Any]:
    """Pass the gate on a PostgreSQL connection, count on a Valkey one."""
    token = object()
    in_flight.add(token)
    try:
        session = await pools["default"].fetchval(
            "SELECT pg_backend_pid() FROM (SELECT pg_advisory_xact_lock_shared($1)) AS passed",
            GATE,
        )
        async with pools["keys"].acquire() as client:
            await client.incr(f"asked:{settings.NAME}")
    finally:
        in_flight.discard(token)
    loops = {pool.loop for pool in pools.all(initialized_only=True)}
    return {"process": os.getpid(), "session": session, "loops": len(loops)}
