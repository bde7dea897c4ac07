"""The short cuts of a PostgreSQL pool: one statement on whatever connection is free."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from poolapp.backends.postgres.blocks import OPEN, block_of
from poolapp.backends.postgres.notifications import Notifications
from poolapp.backends.postgres.statements import is_clean
from poolapp.backends.postgres.zones import is_in_zone, set_zone
from poolapp.core.exceptions import BackendUnavailable
from poolapp.core.lease import LastingLease, Lease, Site
from poolapp.core.pool import Pool
from poolapp.core.registry import pools
from poolapp.core.supply import describe

if TYPE_CHECKING:
    import asyncio

    import asyncpg

    from poolapp.backends.postgres.native.atomic import Atomic

    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")


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
        self,
        lease: Lease[Connection],
        statement: Callable[[Connection], Awaitable[Any]],
        *,
        zone: str = "",
        marks: bool = True,
    ) -> Any:
        if self.crosses:
            return await pools.arun(_run_there, lease, statement, zone=zone, marks=marks)
        block = block_of(self.database) if OPEN.get() else None
        if block is not None:
            return await block.perform(statement, clean=lease.clean, marks=marks)
        connection = await lease.__aenter__()
        try:
            if zone and not is_in_zone(connection, zone):
                lease.clean = False
                await connection.execute(set_zone(zone))
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

    # -- Django --------------------------------------------------------------------------------

    @property
    def database(self) -> str:
        """The alias under which Django's code knows its database: that of ``DATABASE``, or else
        the pool's own."""
        return getattr(self.config.locations, "alias", None) or self.alias

    def atomic(
        self,
        *,
        savepoint: bool = True,
        durable: bool = False,
        site: FrameType | Site | None = None,
    ) -> Atomic:
        """``async with pool.atomic():`` a transaction of the running task, committed at the end of
        the block, rolled back by an exception; a block within it is a savepoint. Also a decorator
        of async functions.

        All of the task's work with the pool's database is part of it: managers, code that runs
        ``natively``, ``fetch`` and the other short cuts; not what ``acquire()`` lends, which is
        another connection. The state is that of ``django.db.transaction.atomic``, with what its
        ``savepoint`` and ``durable`` mean: code that runs natively may use that as well.

        The transaction is the task's: another task that is started in the block can't work with
        the database until the block ends. Raises Django's TransactionManagementError for that, a
        RuntimeError for a durable block within another, and what a commit raises: IntegrityError
        for a deferred constraint, DatabaseUnavailable when the server was lost. ``site`` is as in
        ``run_natively``.
        """
        own = Site(site or sys._getframe(1))
        made: Atomic = _native().Atomic(self.alias, savepoint, durable, own)
        return made

    def on_commit(self, callback: Callable[[], object], *, robust: bool = False) -> Awaitable[None]:
        """Have a function called, or an async function run, after the commit of the ``atomic()``
        block that the task is in, and not at all when that is rolled back: as by
        ``django.db.transaction.on_commit``. A synchronous one runs natively. With ``robust`` its
        errors are logged, and the callbacks after it run.

        In a block it need not be awaited. In none it must: the callback is called there and then.
        """
        done: Awaitable[None] = _native().on_commit(self, callback, robust, Site(sys._getframe(1)))
        return done

    def natively(self, function: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
        """Run synchronous code that uses the ORM on this loop, without a thread: ``await
        pool.natively(form.save)``. Where it would wait for a database it waits on that one's pool,
        and the loop goes on.

        In an ``atomic()`` block it is part of the transaction. It may use no database but
        PostgreSQL's, each with a pool, and must not block in other ways. Raises what the function
        raises.
        """
        return self.run_natively(sys._getframe(1), function, *args)

    def run_natively(
        self, site: FrameType | Site, function: Callable[..., T], *args: Any
    ) -> Coroutine[Any, Any, T]:
        """``natively``, with the line of code that the leases are to be known by."""
        running: Coroutine[Any, Any, T] = _native().natively(self, Site(site), function, *args)
        return running

    def chunks(
        self, site: FrameType | Site, iterate: Callable[[], Iterable[T]], size: int
    ) -> AsyncGenerator[list[T], None]:
        """Lists of up to ``size`` of what synchronous code iterates over, which runs natively for
        as long as it takes to fill one, and rests in between. ``site`` is as in ``run_natively``.

        The end of this generator is the end of the iterator, whose connection is held until then.
        """
        _native()
        from poolapp.backends.postgres.native.streaming import chunks

        return chunks(self, Site(site), iterate, size)

    def perform(
        self,
        work: Callable[[Connection], Awaitable[T]],
        site: FrameType,
        *,
        clean: bool = True,
        zone: str = "",
    ) -> Coroutine[Any, Any, T]:
        """One operation of Django's on a borrowed connection, or on that of the ``atomic()`` block
        which the task is in. ``zone`` is the time zone that the session has meanwhile."""
        return self._run(Lease(self, None, clean, site), work, zone=zone, marks=False)

    async def select(
        self, sql: str, params: Sequence[Any], timezone: Any, site: FrameType
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement as Django writes them, with the values that Django's driver
        gives. Raises what a QuerySet does."""
        from poolapp.backends.postgres.native.selecting import rows_of

        return await rows_of(self, sql, params, timezone, site)

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


async def _run_there(lease: Lease[Connection], *args: Any, **named: Any) -> Any:
    """On the process's own pool loop; the lease is of the pool there, and of the user's line."""
    pool = cast("PostgresPool", pools[lease.pool.alias])
    lease.pool = pool
    return await pool._run(lease, *args, **named)


def atomic(alias: str = "default", *, savepoint: bool = True, durable: bool = False) -> Atomic:
    """``pools[alias].atomic(...)`` for where no loop runs yet: as a decorator in a module."""
    made: Atomic = _native().Atomic(alias, savepoint, durable, Site(sys._getframe(1)))
    return made


def _native() -> ModuleType:
    """Imported when it is first needed: a pool needs neither Django's driver nor greenlet."""
    try:
        from poolapp.backends.postgres.native import atomic
    except ImportError as error:
        from django.core.exceptions import ImproperlyConfigured

        if error.name not in ("greenlet", "psycopg"):
            raise
        raise ImproperlyConfigured(
            "to work natively, Django's PostgreSQL backend is needed for its SQL, which is on "
            "psycopg 3, and greenlet; pip install 'django-poolapp[postgres]' 'psycopg[binary]'"
        ) from error
    return atomic
