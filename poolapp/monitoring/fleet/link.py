"""The fleet's own way to its Redis."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from django.utils.module_loading import import_string

from poolapp.core.budget import Budget
from poolapp.core.config import Options, PoolConfig
from poolapp.core.events import Events
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.loops import at_loop_end
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry
from poolapp.monitoring.fleet import timing

LEASES = 8
"""One waits for orders; the others are for who looks and who orders."""


class Link:
    """A pool beside the alias's own, to the same place, on the process's own pool loop.

    It takes no connection from the requests, and can be spoken through when the alias is paused or
    all its connections are in use: that is when an order matters most. Nobody counts it or is told
    of it.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pool: Pool[Any] | None = None
        self._guard: AsyncGenerator[None, None] | None = None
        self._guarded: asyncio.AbstractEventLoop | None = None
        self._inherited: list[object] = []

    async def execute(self, alias: str, *command: Any) -> Any:
        """One command's answer. Raises what the pool's own ``execute`` does, and
        ConfigurationError for an alias that is no Redis."""
        return await self._open(alias).execute(*command)  # type: ignore[attr-defined]

    def _open(self, alias: str) -> Pool[Any]:
        config = self._registry.config(alias)
        pool = self._pool
        if pool is not None and (pool.loop.is_closed() or pool.state == "closed"):
            pool = None
        if pool is not None and not _same_place(pool.config, config):
            pool.close_soon()
            pool = None
        if pool is None:
            pool = self._pool = detached(
                config.replace(
                    alias=f"{alias}-fleet",
                    min_size=0,
                    max_size=LEASES,
                    max_waiting=None,
                    # The client's own limit, if there is one, is meant for the alias.
                    options=Options(
                        {k: v for k, v in config.options.items() if k != "max_connections"}
                    ),
                )
            )
            if not hasattr(pool, "execute"):
                raise ConfigurationError(
                    f"POOLAPP['FLEET'] names pool {alias!r}, which is no Redis"
                )
            if self._guarded is not pool.loop:
                self._guarded = pool.loop
                self._guard = at_loop_end(self.close)
        return pool

    async def leave(self) -> None:
        """Close it, from any loop; the next command opens another."""
        pool = self._pool
        if pool is not None:
            await done_there(pool.loop, self.close)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is get_running_loop():
            await pool.close(timeout=0.0)

    def forget(self) -> None:
        """In a forked child: the sockets are the parent's, and finalising them would take them out
        of its selector."""
        self._inherited.append((self._pool, self._guard))
        self._pool = self._guard = self._guarded = None


def _same_place(open_one: PoolConfig, config: PoolConfig) -> bool:
    given = {k: v for k, v in config.options.items() if k != "max_connections"}
    return (
        open_one.backend == config.backend
        and open_one.locations == config.locations
        and open_one.options == Options(given)
    )


def detached(config: PoolConfig) -> Pool[Any]:
    """A pool on the running loop that the registry does not know, and that its maker closes.

    Raises ImportError when its backend can't be imported, ConfigurationError when there is none to
    import.
    """
    if "." not in config.backend:
        raise ConfigurationError(f"pool {config.alias!r} was made of functions")
    backend = import_string(config.backend)(config)
    kind = backend.pool_class or Pool
    budget = Budget(config.max_size, config.max_connecting)
    made: Pool[Any] = kind(config, backend, budget, Events(), loop=get_running_loop())
    return made


async def done_there(
    loop: asyncio.AbstractEventLoop, function: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Call an async function on another loop, and wait for its end, but for no longer than
    ``timing.PATIENCE``: that loop may end meanwhile."""
    call = function()
    if loop is get_running_loop():
        await call
        return
    try:
        asked = asyncio.run_coroutine_threadsafe(call, loop)
    except RuntimeError:  # it is closed
        call.close()
    else:
        await asyncio.wait([asyncio.wrap_future(asked)], timeout=timing.PATIENCE)
