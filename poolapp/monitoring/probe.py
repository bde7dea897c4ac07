"""Asking a server how it is, on a connection that no pool knows of."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from poolapp.core.backend import BaseBackend
from poolapp.core.config import PoolConfig
from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.core.supply import describe

Status = Literal["healthy", "degraded", "unhealthy"]

UNHEALTHY_FOR = 5.0
"""Seconds for which bad news is believed; good news is for ``HEALTH_INTERVAL``."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What one probe found."""

    status: Status
    message: str = ""
    """For everybody: names neither a server nor an error's text."""
    error: str = ""
    """For operators: the driver's class and message, without secrets; ``""`` if all went well."""
    turned_away: bool = False
    """Whether the server answered, but let the probe's connection not in."""
    connect_seconds: float | None = None
    check_seconds: float | None = None
    server: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "message": self.message,
            "error": self.error,
            "connect_ms": _milliseconds(self.connect_seconds),
            "check_ms": _milliseconds(self.check_seconds),
            "server": dict(self.server),
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


async def probe(pool: Pool[Any], *, ask_server: bool = False) -> Probe:
    """Connect, check, ask for the health, close: outside the pool, so that nobody's connection is
    taken and none is waited for.

    Takes at most ``CONNECT_TIMEOUT`` and two or, with ``ask_server``, three ``CHECK_TIMEOUT``,
    plus ``CLOSE_TIMEOUT``. Raises nothing but CancelledError.
    """
    backend, config = pool.backend, pool.config
    started = time.perf_counter()
    try:
        async with asyncio.timeout(config.connect_timeout):
            await config.locate()
            connection = await backend.connect()
    except Exception as error:
        return Probe(
            status="unhealthy",
            message=f"no connection is possible ({type(error).__name__})",
            error=_describe(error, config, config.connect_timeout),
            turned_away=not isinstance(error, OSError),  # TimeoutError is one
        )
    connected = time.perf_counter()
    server: Mapping[str, Any] = {}
    try:
        async with asyncio.timeout(config.check_timeout):
            await backend.check(connection)
        checked = time.perf_counter()
        async with asyncio.timeout(config.check_timeout):
            status, message = await backend.health(connection)
        if ask_server:
            async with asyncio.timeout(config.check_timeout):
                server = await backend.server_info(connection)
    except Exception as error:
        return Probe(
            status="unhealthy",
            message=f"the server does not answer as it should ({type(error).__name__})",
            error=_describe(error, config, config.check_timeout),
            connect_seconds=connected - started,
        )
    finally:
        await _close(backend, config, connection)
    return Probe(
        status=status,
        message=config.scrub(message),
        connect_seconds=connected - started,
        check_seconds=checked - connected,
        server=server,
    )


async def _close(backend: BaseBackend[Any], config: PoolConfig, connection: Any) -> None:
    closed = False
    try:
        async with asyncio.timeout(config.close_timeout):
            await backend.close(connection)
        closed = True
    except Exception:  # noqa: S110  how it went is told by the check; it is dropped below
        pass
    finally:
        if not closed:
            backend.terminate(connection)


def _describe(error: Exception, config: PoolConfig, seconds: float) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"{type(error).__name__}: no answer within {seconds:g} s"
    found: BaseException = error
    # A library that wraps an error and quotes it says the same twice.
    while found.__cause__ is not None and str(found.__cause__) in str(found):
        found = found.__cause__
    return describe(found, config.scrub)


class Prober(Observer):
    """Probes no more often than needed: one at a time for each alias and loop, and what it found
    is kept for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[Probe, PoolConfig, float]] = {}
        self._running: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Task[Probe]] = {}

    def connect_failed(self, pool: Pool[Any], error: str) -> None:
        self._doubt(pool)

    def lost(self, pool: Pool[Any], in_use: bool) -> None:
        self._doubt(pool)

    def _doubt(self, pool: Pool[Any]) -> None:
        """Good news is out of date as soon as a connection fails."""
        kept = self._kept.get(pool.alias)
        if kept is not None and kept[0].status != "unhealthy":
            self._kept.pop(pool.alias, None)

    def last(self, alias: str) -> Probe | None:
        """What is still believed, without probing; from any thread."""
        kept = self._kept.get(alias)
        return kept[0] if kept is not None and self._clock() < kept[2] else None

    async def probe(self, pool: Pool[Any]) -> Probe:
        """What is still believed, or a new probe. A caller that is cancelled leaves it running
        for the others."""
        kept = self._kept.get(pool.alias)
        if kept is not None and kept[1] == pool.config and self._clock() < kept[2]:
            return kept[0]
        key = (pool.loop, pool.alias)
        task = self._running.get(key)
        if task is None:
            for other in [each for each in self._running if each[0].is_closed()]:
                self._running.pop(other, None)
            task = self._running[key] = pool.loop.create_task(self._probe(pool, key))
        return await asyncio.shield(task)

    async def _probe(self, pool: Pool[Any], key: tuple[asyncio.AbstractEventLoop, str]) -> Probe:
        try:
            found = await probe(pool)
        finally:
            self._running.pop(key, None)
        interval = pool.config.health_interval or UNHEALTHY_FOR
        believed = min(interval, UNHEALTHY_FOR) if found.status == "unhealthy" else interval
        self._kept[pool.alias] = (found, pool.config, self._clock() + believed)
        return found
