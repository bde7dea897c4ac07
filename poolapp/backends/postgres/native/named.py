"""A cursor that stays on the server, which sends its rows as they are asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from django.core.exceptions import SynchronousOnlyOperation

from poolapp.backends.postgres.native.cursor import Cursor
from poolapp.backends.postgres.native.execution import Result, fetched, with_literals
from poolapp.backends.postgres.native.prepared import prepared
from poolapp.core.exceptions import BackendUnavailable

if TYPE_CHECKING:
    from poolapp.core.lease import Lease

T = TypeVar("T")


class NamedCursor(Cursor):
    """Outside of a transaction it has one of its own, on a connection that it holds until it is
    closed: the rows are those of the moment when it was opened, and no more of them are in memory
    than were asked for."""

    def __init__(self, connection: Any, name: str) -> None:
        super().__init__(connection)
        self.name = name
        self._lease: Lease[Any] | None = None
        self._declared = False
        self._session: Any = None
        self._fetches: dict[int, Any] = {}
        """The prepared FETCH of each size."""
        self._count = 0

    @property
    def rowcount(self) -> int:
        return self._count if self._declared else -1

    @property
    def description(self) -> Any:
        if self._declared and self._result.state is None:
            self._fetch(0)
        return super().description

    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        self._drop()
        text = self._text(query)
        written = with_literals(text, params, self._codecs())
        self._last = (text, params)
        self._lease = self.connection.held(self)
        hold = " WITH HOLD" if self._lease is None and self.connection.autocommit else ""
        self._take(Result())
        declare = f"DECLARE {self._quoted} NO SCROLL CURSOR{hold} FOR {written}"

        async def open_(connection: Any) -> None:
            self._session = connection
            await connection.execute(declare)

        self._work(open_)
        self._declared = True
        self._count = 0
        return self

    def executemany(self, *_: Any, **__: Any) -> None:
        raise psycopg.NotSupportedError("executemany not supported on server-side cursors")

    def fetchmany(self, size: int = 0) -> list[tuple[Any, ...]]:
        return self._fetch(size or self.arraysize)

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self._fetch(1)
        return rows[0] if rows else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._fetch(-1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while rows := self._fetch(self.itersize):
            yield from rows
            if len(rows) < self.itersize:
                break

    def _fetch(self, size: int) -> list[tuple[Any, ...]]:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")
        if not self._declared:
            raise psycopg.ProgrammingError("no result available")
        how = "ALL" if size < 0 else f"FORWARD {size}"

        async def fetch(connection: Any) -> Result:
            state = self._fetches.get(size)
            if state is None:
                codecs = self._codecs(connection.get_settings().TimeZone)
                sql = f"FETCH {how} FROM {self._quoted}"
                state = await prepared(connection, codecs, sql, (), keep=False)
                # Sent along each time, for it has no name, and others will have had none since.
                state.mark_unprepared()
                self._fetches[size] = state
            return await fetched(connection, state, ())

        self._result = self._work(fetch)
        self._count += len(self._result.rows)
        return self._result.rows

    @property
    def _quoted(self) -> str:
        return '"' + str(self.name).replace('"', '""') + '"'

    # -- where it lives ------------------------------------------------------------------------

    def _work(self, work: Callable[[Any], Awaitable[T]]) -> T:
        lease = self._lease
        if lease is None:
            return self.connection.run(work)
        done: T = self.connection.wait(self._on_own(lease, work))
        return done

    async def _on_own(self, lease: Lease[Any], work: Callable[[Any], Awaitable[T]]) -> T:
        try:
            if lease.entry is None:
                await self.connection.begin_on(lease)
            return await work(lease.connection)
        except BaseException as error:
            self._lease, self._declared = None, False
            if lease.entry is not None:
                lost = lease.connection.is_closed()
                lease.release(error)
                if lost and isinstance(error, Exception):
                    raise BackendUnavailable(
                        f"pool {self.connection.alias!r}: the connection of a cursor was lost"
                    ) from error
            raise

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _drop(self) -> None:
        declared, self._declared = self._declared, False
        self._fetches.clear()
        if not declared:
            return
        lease = self._lease
        try:
            if lease is not None:
                self._work(lambda it: it.execute("COMMIT"))
                self._lease, lease.clean = None, True
                lease.release()
            elif self.connection.is_on(self._session):
                # Also in a transaction that has failed, and of a cursor that is gone already.
                self._work(lambda it: it._protocol.close_portal(self.name, None))
        except SynchronousOnlyOperation:
            pass  # collected elsewhere, as what an error's traceback has kept may be
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Give its connection back without waiting: the pool rolls back before it lends again."""
        lease, self._lease = self._lease, None
        self._declared = False
        self.connection.cursors.discard(self)
        if lease is not None and lease.entry is not None:
            lease.release(ConnectionAbortedError("a cursor was left open"))
