"""Telling pools of other processes what to do, and doing it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from poolapp.core.exceptions import PoolError
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry
from poolapp.monitoring.fleet import timing
from poolapp.monitoring.words import duration

VERBS = ("drain", "reset", "pause", "resume", "resize", "ping")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What one worker is to do."""

    id: str
    """Of the answers: the same for all workers that are told at once."""
    worker: str
    verb: str
    alias: str
    details: Mapping[str, int]
    at: int
    """Milliseconds of the Redis server's clock, when it was given."""

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def parse(cls, text: str) -> Order:
        """Raises KeyError, TypeError, ValueError."""
        data = json.loads(text)
        fields = {each.name: data[each.name] for each in dataclasses.fields(cls)}
        check(fields["verb"], fields["details"])
        return cls(**fields)


def check(verb: str, details: Mapping[str, Any]) -> None:
    """Raises ValueError for what is no order."""
    if verb not in VERBS:
        raise ValueError(f"there is no order {verb!r}; there are {', '.join(VERBS)}")
    allowed = ("min_size", "max_size") if verb == "resize" else ()
    for name, value in details.items():
        if name not in allowed:
            raise ValueError(f"{verb} takes no {name!r}")
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} must be a whole number, not {value!r}")
    if verb == "resize" and not details:
        raise ValueError("resize takes min_size or max_size, or both")


async def carry_out(
    registry: Registry,
    verb: str,
    alias: str,
    details: Mapping[str, int],
    resize: Callable[..., None],
) -> tuple[bool, str]:
    """Do it to the pools of this process; whether it could be done, and what was done, as a
    sentence. ``resize`` is ``Registry.resize`` for who may have a share only."""
    try:
        config = registry.config(alias)
        if verb == "ping":
            async with asyncio.timeout(timing.ORDER_PATIENCE * 0.8):
                return await _ping(_pools(registry, alias))
        pools = [pool for pool in _pools(registry, alias) if pool.state in ("open", "paused")]
        state = _state(pools)
        if verb == "resize":
            resize(alias, **details)
            now = registry.config(alias)
            text = (
                f"Sized {now.min_size} to {now.max_size}, "
                f"instead of {config.min_size} to {config.max_size}"
            )
            if now.max_size < details.get("max_size", 0):
                text += ": its share of FLEET_MAX is no larger"
            return True, f"{text}; {state}."
        getattr(registry, verb)(alias)
    except TimeoutError:
        return False, f"It did not answer within {timing.ORDER_PATIENCE * 0.8:g} s."
    except (PoolError, ValueError) as error:
        text = str(error)
        return False, f"{text[:1].upper()}{text[1:].rstrip('.')}."
    return True, f"{_DONE[verb]}; {state}."


_DONE = {
    "drain": "Drained: what is idle was closed, what is in use is when it comes back",
    "reset": "Reset: who waited was turned away, what is open is cut",
    "pause": "Paused: new acquires wait",
    "resume": "Resumed",
}


def _pools(registry: Registry, alias: str) -> list[Pool[Any]]:
    return [pool for pool in registry.all(initialized_only=True) if pool.alias == alias]


def _state(pools: list[Pool[Any]]) -> str:
    """As it was found."""
    if not pools:
        return "nothing has used it yet"
    waiting = sum(pool.waiting for pool in pools)
    counts = [
        f"{sum(pool.in_use for pool in pools)} in use",
        f"{sum(pool.idle for pool in pools)} idle",
        *([f"{waiting} waiting"] if waiting else []),
    ]
    return ", ".join(counts) + (f" on {len(pools)} event loops" if len(pools) > 1 else "")


async def _ping(pools: list[Pool[Any]]) -> tuple[bool, str]:
    """Borrow one connection on each loop, there."""
    running = [pool for pool in pools if pool.state == "open" and pool.loop.is_running()]
    if any(pool.state == "paused" for pool in pools):
        return False, "It is paused, and so lends no connection."
    if not running:
        return True, "Nothing has used it yet."
    answers = [
        asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pool.ping(), pool.loop))
        for pool in running
    ]
    seconds = await asyncio.gather(*answers)
    return True, f"The server answered in {' and '.join(map(duration, seconds))}."
