"""The picture that a process publishes: bounded, and made without holding up its loop."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from poolapp.core.backend import Sockets
from poolapp.core.stats import PoolStats
from poolapp.monitoring.health import Health, Monitor
from poolapp.monitoring.picture import (
    AliasPicture,
    HeldLease,
    LoopPicture,
    ProcessPicture,
    assembled,
    pictures,
)

LEASES = 50
"""Of a process, the oldest."""

STACK = 8
"""Lines of a lease's stack, those next to the acquire."""

LOOPS = 16
"""Of an alias, the busiest; the others are added up. Under WSGI each thread may have one."""

TEXT = 300
"""Characters of an error, a holder's name, a line of a stack."""


async def snapshot(monitor: Monitor) -> str:
    """This process as JSON: at most about 500 bytes for a loop of an alias, and 3 kB for a lease.

    Others may run after each alias, so that no loop is held up for long.
    """
    shown: list[AliasPicture] = []
    for each in pictures(monitor):
        shown.append(each)
        await asyncio.sleep(0)
    oldest = _oldest(shown)
    parts = []
    whole = assembled(shown)
    for each in whole.aliases:
        parts.append(_dumped(_bounded(each, oldest).as_dict()))
        await asyncio.sleep(0)
    head = _dumped(dataclasses.replace(whole, aliases=[]).as_dict())
    return f"{head.removesuffix('[]}')}[{','.join(parts)}]}}"


async def read(text: str, age: float) -> ProcessPicture | None:
    """What another process published; None when it can't be understood, as that of another
    version may be."""
    try:
        data = json.loads(text)
        await asyncio.sleep(0)
        return ProcessPicture.from_dict(data, age=age)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _dumped(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


def _oldest(aliases: Sequence[AliasPicture]) -> set[int]:
    """The ids of the leases that are shown."""
    found = [lease for alias in aliases for loop in alias.loops for lease in loop.leases]
    found.sort(key=lambda each: each.held, reverse=True)
    return {id(each) for each in found[:LEASES]}


def _bounded(alias: AliasPicture, oldest: set[int]) -> AliasPicture:
    loops = sorted(
        alias.loops, key=lambda each: (each.stats.in_use, each.stats.waiting), reverse=True
    )
    if len(loops) > LOOPS:
        loops = [*loops[: LOOPS - 1], _added_up(loops[LOOPS - 1 :])]
    else:
        loops = alias.loops
    return dataclasses.replace(
        alias,
        health=_short(alias.health),
        loops=[
            dataclasses.replace(
                each,
                stats=dataclasses.replace(each.stats, last_error=_cut(each.stats.last_error)),
                leases=[_shortened(lease) for lease in each.leases if id(lease) in oldest],
            )
            for each in loops
        ],
    )


def _short(health: Health) -> Health:
    return dataclasses.replace(health, error=_cut(health.error))


def _shortened(lease: HeldLease) -> HeldLease:
    stack = [_cut(line) for line in lease.stack[-STACK:]]
    return dataclasses.replace(lease, holder=_cut(lease.holder), stack=stack)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


def _added_up(loops: Sequence[LoopPicture]) -> LoopPicture:
    """As if they were one: counts are sums, times are those of the slowest."""
    stats = [each.stats for each in loops]
    first = stats[0]
    found = {each.name: _joined(each.name, stats) for each in dataclasses.fields(PoolStats)}
    same = {name: getattr(first, name) for name in _OF_THE_ALIAS}
    leases = sorted(
        (lease for each in loops for lease in each.leases), key=lambda it: it.held, reverse=True
    )
    return LoopPicture(f"{len(loops)} others", PoolStats(**{**found, **same}), leases)


_OF_THE_ALIAS = ("alias", "backend", "shared", "state", "generation", "min_size", "max_size")


def _joined(name: str, stats: Sequence[PoolStats]) -> Any:
    values = [value for each in stats if (value := getattr(each, name)) is not None]
    if not values:
        return None
    if isinstance(values[0], dict):
        return {key: sum(each.get(key, 0) for each in values) for key in _keys(values)}
    if isinstance(values[0], Sockets):
        return Sockets(open=sum(it.open for it in values), in_use=sum(it.in_use for it in values))
    is_count = type(values[0]) is int or name.endswith("_seconds")
    return sum(values) if is_count else max(values)


def _keys(found: Sequence[dict[str, int]]) -> Iterator[str]:
    return iter(dict.fromkeys(key for each in found for key in each))
