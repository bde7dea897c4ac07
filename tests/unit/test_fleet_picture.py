"""What a process publishes of itself, and what another one makes of it."""

import asyncio
import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest

from poolapp.core.backend import Sockets
from poolapp.core.config import Location, PoolConfig
from poolapp.core.registry import Registry
from poolapp.core.stats import PoolStats
from poolapp.monitoring.fleet import snapshot as snapshots
from poolapp.monitoring.fleet.shapes import FleetPicture
from poolapp.monitoring.fleet.snapshot import read as read_snapshot
from poolapp.monitoring.fleet.snapshot import snapshot
from poolapp.monitoring.health import Health, Monitor
from poolapp.monitoring.picture import (
    AliasPicture,
    HeldLease,
    LoopPicture,
    ProcessPicture,
    assembled,
    take,
)

SECRET = "p@ss/w#rd:50%"


def stats_of(**values: Any) -> PoolStats:
    nothing = {"int": 0, "float": 0.0, "str": "", "bool": False, "dict[str, int]": {}}
    found = {each.name: nothing.get(str(each.type)) for each in dataclasses.fields(PoolStats)}
    return PoolStats(**{**found, "alias": "shop", "backend": "a.B", "state": "open", **values})


def process_of(loops: Sequence[LoopPicture], alias: str = "shop") -> ProcessPicture:
    health = Health(alias=alias, status="degraded", reasons=("It is slow.",), error="Error: no")
    return assembled([AliasPicture(health, "B", 1, 10, list(loops))])


LEASE = HeldLease(1.5, "view entry (GET /entry/1/)", ["a.py:1 in a", "b.py:2 in b"], True)
FULL = stats_of(
    in_use=3,
    size=4,
    max_size=10,
    sockets=Sockets(open=5, in_use=2),
    latency=0.25,
    closed={"idle": 3, "lost": 1},
    wait_p95=0.123456,
    last_error="OSError: gone",
    shared=True,
)


@pytest.fixture
async def monitor() -> Any:
    registry = Registry()

    async def create() -> object:
        return object()

    registry.register("shop", create=create, max_size=3)
    async with registry:
        yield Monitor(registry)


# -- there and back --------------------------------------------------------------------------------


def test_a_picture_is_the_same_after_its_journey() -> None:
    picture = process_of([LoopPicture("1 of 2", FULL, [LEASE]), LoopPicture("2 of 2", FULL, [])])
    text = json.dumps(picture.as_dict())
    arrived = ProcessPicture.from_dict(json.loads(text), age=1.25)
    assert arrived.aliases == picture.aliases
    assert arrived.worker == picture.worker
    assert arrived.age == 1.25
    assert FleetPicture(processes=[arrived]).status == "degraded"


def test_what_is_nothing_is_not_sent() -> None:
    sent = LoopPicture("1 of 1", stats_of(in_use=2), []).as_dict()["stats"]
    assert sent == {"alias": "shop", "backend": "a.B", "state": "open", "in_use": 2}


def test_another_version_may_tell_less_or_more() -> None:
    data = process_of([LoopPicture("1 of 1", FULL, [])]).as_dict()
    stats = data["aliases"][0]["loops"][0]["stats"]
    del stats["wait_p95"]
    stats["a_new_counter"] = 5
    data["a_new_field"] = 1
    arrived = ProcessPicture.from_dict(data).aliases[0].loops[0].stats
    assert (arrived.in_use, arrived.wait_p95) == (3, 0.0)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{}", "7", '{"worker": "a"}', "{", '{"aliases": [{"status": "fine"}]}'],
)
async def test_what_is_no_picture_is_left_out(text: str) -> None:
    assert await read_snapshot(text, 0.0) is None


async def test_an_unknown_verdict_is_left_out() -> None:
    data = process_of([]).as_dict()
    data["aliases"][0]["status"] = "<b>fine</b>"
    assert await read_snapshot(json.dumps(data), 0.0) is None


# -- the snapshot of a process ---------------------------------------------------------------------


async def test_a_snapshot_is_the_process_as_it_is(monitor: Monitor) -> None:
    async with monitor.registry["shop"].acquire():
        text = await snapshot(monitor)
        arrived = await read_snapshot(text, 0.5)
        assert arrived is not None
        (alias,) = arrived.aliases
        here = take(monitor).aliases[0]
        assert (alias.in_use, alias.max_size, alias.backend) == (1, 3, here.backend)
        (lease,) = alias.loops[0].leases
        assert lease.site == here.loops[0].leases[0].site
        assert lease.holder == here.loops[0].leases[0].holder


async def test_others_run_between_the_aliases() -> None:
    registry = Registry()
    for number in range(8):
        registry.register(f"pool{number}", PoolConfig(alias=f"pool{number}", backend="a.B"))
    turns = itertools.count()
    loop = asyncio.get_running_loop()

    def turn() -> None:
        next(turns)
        loop.call_soon(turn)

    loop.call_soon(turn)
    await snapshot(Monitor(registry))
    assert next(turns) >= 2 * 8  # once for looking at it, once for writing it


async def test_no_secret_is_in_it() -> None:
    registry = Registry()
    url = f"postgresql://me:{SECRET}@db:5432/shop"
    config = PoolConfig(alias="shop", backend="a.B", locations=(Location.parse(url),))
    registry.register("shop", config)
    assert SECRET not in await snapshot(Monitor(registry))


async def test_it_does_not_grow_with_leases_stacks_errors_and_loops(monitor: Monitor) -> None:
    lease = HeldLease(1.0, "h" * 10_000, [f"{'x' * 5000}:{n} in f" for n in range(100)], False)
    loops = [
        LoopPicture(
            str(number),
            dataclasses.replace(FULL, in_use=number, last_error="e" * 10_000),
            [dataclasses.replace(lease, held=number + place / 100) for place in range(20)],
        )
        for number in range(100)
    ]
    (bounded,) = process_of(loops).aliases
    oldest = snapshots._oldest([bounded])
    bounded = snapshots._bounded(bounded, oldest)
    assert len(bounded.loops) == snapshots.LOOPS
    assert bounded.loops[-1].loop == "85 others"
    # Sums are what they were.
    assert bounded.in_use == sum(range(100))
    assert sum(each.stats.closed["idle"] for each in bounded.loops) == 300
    assert sum(each.stats.sockets.open for each in bounded.loops if each.stats.sockets) == 500
    assert {each.stats.max_size for each in bounded.loops} == {10}
    assert max(each.stats.wait_p95 for each in bounded.loops) == FULL.wait_p95
    shown = [each for loop in bounded.loops for each in loop.leases]
    assert len(shown) == snapshots.LEASES
    assert min(each.held for each in shown) >= 97
    assert all(len(each.stack) == snapshots.STACK for each in shown)
    assert len(json.dumps(bounded.as_dict())) < 200_000
