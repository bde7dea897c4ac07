"""A fleet that nobody runs: its pictures as another worker would read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.history import SAMPLES
from poolapp.monitoring.picture import ProcessPicture

SITE = "/srv/shop/shop/views.py"


def fleet_picture(aliases: int, loops: int, workers: int) -> FleetPicture:
    """Each pool has worked, holds something, and has a history; every fourth is in trouble."""
    processes = []
    for worker in range(workers):
        data = {
            "worker": f"host{worker % 4}:{1000 + worker}:18f",
            "host": f"host{worker % 4}",
            "pid": 1000 + worker,
            "server": "uvicorn",
            "uptime": 3600.0,
            "aliases": [_alias(alias, loops, worker) for alias in range(aliases)],
        }
        processes.append(ProcessPicture.from_dict(data, age=1.0))
    return FleetPicture(processes=processes)


def _alias(number: int, loops: int, worker: int) -> dict[str, Any]:
    in_trouble = number % 4 == 0
    return {
        "alias": f"pool{number}",
        "status": "degraded" if in_trouble else "healthy",
        "reasons": ["All 20 connections are in use and 3 acquires wait."] if in_trouble else [],
        "error": "",
        "backend": "PostgresBackend",
        "min_size": 2,
        "max_size": 20,
        "loops": [_loop(f"{each + 1} of {loops}", number, worker) for each in range(loops)],
        "events": [
            {"name": "resumed", "text": "Resumed.", "serious": False, "count": 1, "ago": 12.0}
        ],
    }


def _loop(name: str, number: int, worker: int) -> dict[str, Any]:
    in_use = list(_wave(number * 7 + worker))
    waiting = [max(0, each - 4) if number % 4 == 0 else 0 for each in in_use]
    return {
        "loop": name,
        "stats": {
            "alias": f"pool{number}", "backend": "x.PostgresBackend", "state": "open",
            "min_size": 2, "max_size": 20, "size": 7, "in_use": in_use[-1], "idle": 2,
            "waiting": waiting[-1], "acquired": 123456 + worker, "queued": 99, "connected": 8,
            "wait_p95": 0.0123, "use_p95": 0.2, "latency": None,
        },
        "samples": {"n": SAMPLES, "in_use": in_use, "waiting": waiting},
        "leases": [
            {
                "held": 0.4,
                "holder": f"view shop (GET /shop/{worker}/), Task-{number} (handle)",
                "stack": [f"{SITE}:12 in shop", f"{SITE}:40 in prices"],
                "leaking": False,
            }
        ],
    }  # fmt: skip


def _wave(seed: int) -> Iterator[int]:
    """Numbers from 0 to 6 that change at nearly every step."""
    value = seed
    for _ in range(SAMPLES):
        value = (value * 1103515245 + 12345) % 2**31
        yield (value >> 16) % 7
