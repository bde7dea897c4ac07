"""One PostgreSQL transaction around a test, which is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from poolapp import conf
from poolapp.core.backend import BaseBackend
from poolapp.core.config import Options, PoolConfig
from poolapp.core.exceptions import PoolError
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.registry import pools


@asynccontextmanager
async def transaction(alias: str = "default") -> AsyncIterator[Any]:
    """Have every acquire of a PostgreSQL alias, on this loop, get one and the same connection,
    inside a transaction that is rolled back at the end; gives that connection.

    Tasks take turns; a task that holds the connection and acquires again gets it once more. What
    fails is undone up to its acquire, as outside of a transaction. On another loop (``pools.run``,
    ``async_to_sync`` without a running loop) the alias raises BackendUnavailable.

    Raises PoolError for an alias of another kind of server.
    """
    pool = pools[alias]
    backend, config = pool.backend, pool.config
    connection = await backend.connect()
    try:
        if not hasattr(connection, "transaction"):
            raise PoolError(
                f"pool {alias!r} has no transactions: its connections are "
                f"{type(connection).__name__}s; poolapp.testing.transaction is for PostgreSQL"
            )
        outer = connection.transaction()
        await outer.start()
        await connection.execute(_KEEP)
        await pools.remove(alias)
        pools.register(alias, _turns_on(_One(backend, connection), config))
        try:
            yield connection
        finally:
            await pools.remove(alias)
            pools.register(alias, config)
            conf.configure()
            await outer.rollback()
    finally:
        await backend.close(connection)


_KEEP = "SAVEPOINT poolapp_testing"
_UNDO = "ROLLBACK TO SAVEPOINT poolapp_testing"


class _One:
    """The connection of a transaction, and the backend that made it."""

    def __init__(self, backend: BaseBackend[Any], connection: Any) -> None:
        self.backend = backend
        self.connection = connection
        self.loop = asyncio.get_running_loop()


def _turns_on(one: _One, config: PoolConfig) -> PoolConfig:
    return config.replace(
        backend=f"{__name__}.{TransactionBackend.__name__}",
        locations=(),
        options=Options({"one": one}),
        min_size=0,
        max_size=1,
        max_lifetime=float("inf"),
        idle_timeout=float("inf"),
        check_after=float("inf"),
        loops="own",
        prewarm=False,
    )


class TransactionBackend(BaseBackend[Any]):
    """Lends the connection of ``transaction``."""

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._one: _One = config.options["one"]
        kind = _reentrant(self._one.backend.pool_class or Pool)
        self.pool_class = kind  # type: ignore[misc]  # there is one for each backend's own

    async def connect(self) -> Any:
        if asyncio.get_running_loop() is not self._one.loop:
            raise PoolError(
                f"pool {self.config.alias!r} is in a test's transaction, on a connection of "
                "another event loop"
            )
        return self._one.connection

    def is_hopeless(self, error: BaseException) -> bool:
        return True

    async def reset(self, connection: Any) -> None:
        """Keep what was done; when it failed, so that the server refuses that, undo it."""
        try:
            await connection.execute(f"RELEASE SAVEPOINT poolapp_testing; {_KEEP}")
        except Exception:
            await connection.execute(_UNDO)

    async def close(self, connection: Any) -> None:
        """It is not the pool's to close."""

    def is_closed(self, connection: Any) -> bool:
        return self._one.backend.is_closed(connection)


@cache
def _reentrant(kind: type[Pool[Any]]) -> type[Pool[Any]]:
    class TransactionPool(kind):  # type: ignore[valid-type, misc]
        """Lends its one connection once more to a task that holds it."""

        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self._inner: set[Lease[Any]] = set()

        def _lend_idle(self, lease: Lease[Any]) -> bool:
            lease.clean = False  # its reset is what keeps it apart from the next
            outer = self._leases.get(asyncio.current_task())
            if outer is None:
                return bool(super()._lend_idle(lease))
            lease.entry, lease.task, lease.outer = outer.entry, outer.task, None
            lease.since, lease.reported, lease.work = self.clock(), False, outer.work
            self._inner.add(lease)
            return True

        def _take_back(self, lease: Lease[Any], error: BaseException | None) -> None:
            if lease in self._inner:
                self._inner.discard(lease)
                lease.entry = None
            else:
                super()._take_back(lease, error)

    return TransactionPool
