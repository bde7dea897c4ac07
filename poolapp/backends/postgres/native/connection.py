"""A connection and its cursors, as Django knows them from psycopg, on a pool."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from poolapp.backends.postgres.native import errors
from poolapp.backends.postgres.native.cursor import Cursor
from poolapp.core.registry import pools

if TYPE_CHECKING:
    from poolapp.core.lease import Lease

T = TypeVar("T")


class Connection:
    """Holds a connection of the pool during a transaction only: without one, each statement
    borrows what is free."""

    def __init__(self, alias: str, database: Any) -> None:
        self.alias = alias
        self.database = database
        self.closed = False
        self._autocommit = True
        self._lease: Lease[Any] | None = None
        self.info = Info(self)

    @property
    def at_rest(self) -> bool:
        return self._lease is None and self._autocommit and not self.closed

    # -- transactions --------------------------------------------------------------------------

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        self._autocommit = value

    def commit(self) -> None:
        if self._lease is not None:
            self.wait(self._end("COMMIT"))

    def rollback(self) -> None:
        if self._lease is not None:
            self.wait(self._end("ROLLBACK"))

    def close(self) -> None:
        self.rollback()
        self.closed = True

    async def _begin(self) -> Lease[Any]:
        lease = pools[self.alias].acquire(clean=True)
        connection = await lease.__aenter__()
        self._lease = lease
        await connection.execute("BEGIN")
        return lease

    async def _end(self, command: str) -> None:
        lease, self._lease = self._lease, None
        assert lease is not None
        try:
            await lease.connection.execute(command)
        except BaseException as error:
            lease.release(error)
            raise
        lease.release()

    # -- statements ----------------------------------------------------------------------------

    def wait(self, awaitable: Any) -> Any:
        try:
            return self.database.session.wait(awaitable)
        except Exception as error:
            told = errors.translated(error)
            if told is error:
                raise
            raise told from error

    def run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Have it done on a connection of the pool."""
        return self.wait(self._run(work))

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._autocommit and self._lease is None:
            return await pools[self.alias].perform(work, sys._getframe())
        lease = self._lease or await self._begin()
        return await work(lease.connection)

    def cursor(self, name: str | None = None, **_: Any) -> Cursor:
        return Cursor(self)


class Info:
    """What Django asks of a connection's ``info``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server_version(self) -> int:
        async def ask(connection: Any) -> int:
            version = connection.get_server_version()
            return int(version.major * 10000 + version.minor)

        return self._connection.run(ask)

    def parameter_status(self, name: str) -> str | None:
        async def ask(connection: Any) -> str | None:
            return getattr(connection.get_settings(), name, None)

        return self._connection.run(ask)
