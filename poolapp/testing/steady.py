"""A connection of a pool that is held, as Django holds one of psycopg's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from poolapp.backends.postgres.native import bridge, errors
from poolapp.backends.postgres.native.codecs import adapters_of
from poolapp.backends.postgres.native.connection import Info
from poolapp.backends.postgres.native.cursor import Cursor
from poolapp.backends.postgres.native.named import NamedCursor
from poolapp.backends.postgres.native.prepared import settle
from poolapp.core.lease import Lease
from poolapp.core.registry import pools

T = TypeVar("T")


class SteadyConnection:
    """What Django expects of a connection, on one of a pool of the process's own loop."""

    connection = None
    """As psycopg's functions ask of what they adapt for: no connection of theirs."""

    def __init__(self, database: Any, pool: str, isolation_level: Any) -> None:
        self.database = database
        self.alias = pool
        self.autocommit = True
        self.isolation_level = isolation_level
        self.adapters = adapters_of(database.alias, database.settings_dict)
        self.info = Info(self)  # type: ignore[arg-type]
        self.cursors: set[NamedCursor] = set()
        self._process = os.getpid()
        self._lease: Lease[Any] | None = self.wait(self._acquired())

    @property
    def closed(self) -> bool:
        return self._lease is None or self._lease.connection.is_closed()

    def commit(self) -> None:
        self.wait(self._end("COMMIT"))

    def rollback(self) -> None:
        self.wait(self._end("ROLLBACK"))

    def close(self) -> None:
        lease, self._lease = self._lease, None
        if lease is None or self._process != os.getpid():
            return
        if asyncio._get_running_loop() is not None and bridge.current_session() is None:
            pools.spawn(self._released, lease)  # nothing may wait here
        else:
            self.wait(self._released(lease))

    def cursor(self, name: str | None = None, **_: Any) -> Any:
        return NamedCursor(self, name) if name else Cursor(self)  # type: ignore[arg-type]

    def held(self, cursor: NamedCursor) -> None:
        """For a cursor that stays open: there is but this one connection."""

    def is_on(self, session: Any) -> bool:
        return self._lease is not None and self._lease.connection is session

    def run(self, work: Callable[[Any], Awaitable[T]], statement: str = "") -> T:
        return self.wait(self._run(work))

    def wait(self, awaitable: Awaitable[T]) -> T:
        """From synchronous code: of a thread, or of a greenlet that runs natively."""
        try:
            if bridge.current_session() is not None:
                return bridge.wait_for(awaitable)
            given: T = pools.run(_awaited, awaitable)
            return given
        except Exception as error:
            told = errors.translated(error)
            if told is error:
                raise
            raise told from error

    # -- on the loop ---------------------------------------------------------------------------

    async def _acquired(self) -> Lease[Any]:
        return await pools[self.alias].acquire()

    async def _released(self, lease: Lease[Any]) -> None:
        # Really closed: a database with a connection can't be dropped.
        assert lease.entry is not None
        lease.entry.condemn("closed")
        connection = lease.connection
        lease.release()
        await connection.close()

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        connection = self._connection()
        if not self.autocommit and not connection.is_in_transaction():
            level = self.isolation_level
            mode = "" if level is None else f" ISOLATION LEVEL {level.name.replace('_', ' ')}"
            await connection.execute(f"BEGIN{mode}")
        return await work(connection)

    async def _end(self, command: str) -> None:
        connection = self._connection()
        settle(connection)
        if connection.is_in_transaction():
            await connection.execute(command)

    def _connection(self) -> Any:
        if self._lease is None:
            raise errors.closed()
        return self._lease.connection


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
