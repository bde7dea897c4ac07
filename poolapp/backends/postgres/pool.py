"""The short cuts of a PostgreSQL pool: one statement on whatever connection is free."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from poolapp.backends.postgres.notifications import Notifications
from poolapp.backends.postgres.statements import is_clean
from poolapp.core.exceptions import BackendUnavailable
from poolapp.core.lease import LastingLease, Lease
from poolapp.core.pool import Pool
from poolapp.core.supply import describe

if TYPE_CHECKING:
    import asyncio

    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]


class PostgresPool(Pool["Connection"]):
    """``fetch``, ``fetchrow``, ``fetchval``, ``execute`` and ``executemany`` as asyncpg's
    connections have them, each on a connection that is borrowed for just that statement.

    ``timeout`` bounds the statement, in seconds; the wait for a connection is bounded by
    ``ACQUIRE_TIMEOUT``. They raise what ``acquire`` raises; BackendUnavailable, caused by the
    driver's error, when the connection is lost meanwhile, so that nobody knows whether the
    statement took effect; and asyncpg's own errors for whatever the server has against the
    statement.

    A statement that may change the session (``SET``, ``LISTEN``, ``BEGIN``, an advisory lock, ...)
    is undone when the connection goes back: for those, hold one with ``acquire()``.
    """

    crossing = ("fetch", "fetchrow", "fetchval", "execute", "executemany")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listening: set[Notifications] = set()

    # These are plain functions that return a coroutine, so that the frame above is the caller's,
    # also when the coroutine is run by a task.

    def fetch(
        self, query: str, *args: object, timeout: float | None = None, record_class: Any = None
    ) -> Coroutine[Any, Any, list[asyncpg.Record]]:
        """All rows."""
        lease = Lease(self, None, is_clean(query), sys._getframe(1))
        return self._run(
            lease, lambda it: it.fetch(query, *args, timeout=timeout, record_class=record_class)
        )

    def fetchrow(
        self, query: str, *args: object, timeout: float | None = None, record_class: Any = None
    ) -> Coroutine[Any, Any, asyncpg.Record | None]:
        """The first row, None where there is none."""
        lease = Lease(self, None, is_clean(query), sys._getframe(1))
        return self._run(
            lease, lambda it: it.fetchrow(query, *args, timeout=timeout, record_class=record_class)
        )

    def fetchval(
        self, query: str, *args: object, column: int = 0, timeout: float | None = None
    ) -> Coroutine[Any, Any, Any]:
        """One column of the first row, None where there is none."""
        lease = Lease(self, None, is_clean(query), sys._getframe(1))
        return self._run(
            lease, lambda it: it.fetchval(query, *args, column=column, timeout=timeout)
        )

    def execute(
        self, query: str, *args: object, timeout: float | None = None
    ) -> Coroutine[Any, Any, str]:
        """The command's status, such as ``"INSERT 0 1"``."""
        lease = Lease(self, None, is_clean(query), sys._getframe(1))
        return self._run(lease, lambda it: it.execute(query, *args, timeout=timeout))

    def executemany(
        self, command: str, args: Iterable[Sequence[object]], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """The command once for each of the arguments, all of them or none."""
        lease = Lease(self, None, is_clean(command), sys._getframe(1))
        return self._run(lease, lambda it: it.executemany(command, args, timeout=timeout))

    async def _run(
        self, lease: Lease[Connection], statement: Callable[[Connection], Awaitable[Any]]
    ) -> Any:
        connection = await lease.__aenter__()
        try:
            result = await statement(connection)
        except BaseException as error:
            lost = connection.is_closed()
            # A statement that the server refused has changed nothing: no reset is due.
            refused = lease.clean and hasattr(error, "sqlstate") and not self._breaks(lease, error)
            lease.release(None if refused else error)
            if lost and isinstance(error, Exception):
                raise BackendUnavailable(
                    f"pool {self.alias!r}: the connection was lost during a statement, which may "
                    f"or may not have taken effect: {describe(error, self.config.scrub)}"
                ) from error
            raise
        lease.release()
        return result

    def _breaks(self, lease: Lease[Connection], error: BaseException) -> bool:
        return self.backend.breaks(lease.connection, error)

    def perform(
        self, work: Callable[[Connection], Awaitable[Any]], site: FrameType
    ) -> Coroutine[Any, Any, Any]:
        return self._run(Lease(self, None, True, site), work)

    def natively(self, function: Callable[..., Any], *args: Any) -> Coroutine[Any, Any, Any]:
        from poolapp.backends.postgres.native.session import natively

        return natively(sys._getframe(1), function, *args)

    # -- LISTEN --------------------------------------------------------------------------------

    def listen(self, *channels: str, limit: int = 1000) -> Notifications:
        """``async with pool.listen("channel") as notifications: async for each in
        notifications``: see Notifications."""
        lease = LastingLease[Any](self, None, False, sys._getframe(1))
        return Notifications(lease, channels, limit, self._listening)

    def close_soon(self, timeout: float | None = None) -> asyncio.Task[None]:
        for each in list(self._listening):
            each.end()
        return super().close_soon(timeout)
