"""A cursor as Django knows it from psycopg."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

from poolapp.backends.postgres.native.codecs import Codecs, Context, codecs_for
from poolapp.backends.postgres.native.columns import Column, columns_of, modifiers_of
from poolapp.backends.postgres.native.copy import Copy
from poolapp.backends.postgres.native.execution import Result, run_statement, with_literals

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.connection import Connection


class Cursor:
    """Holds all rows of its last statement."""

    arraysize = 1
    itersize = 100
    name: str | None = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.adapters = connection.adapters
        self.closed = False
        self._result = Result()
        self._at = 0
        self._last: tuple[str, Any] | None = None
        self._modifiers: list[int] | None = None

    # -- statements ----------------------------------------------------------------------------

    def execute(self, query: Any, params: Any = None, **_: Any) -> Self:
        text = self._text(query)
        self._last = (text, params)
        self._take(self.connection.run(lambda it: self._execute(it, text, params), text))
        return self

    def executemany(self, query: Any, params_seq: Iterable[Any], **_: Any) -> None:
        """All of them or none, as one transaction."""
        text = self._text(query)
        each = list(params_seq)
        self._last = (text, each[-1] if each else None)

        async def execute_all(connection: Any) -> Result:
            count, result = 0, Result()
            for params in each:
                result = await self._execute(connection, text, params)
                count += max(result.rowcount, 0)
            return Result(status=f"{(result.status or '').split(' ')[0]} {count}")

        async def at_once(connection: Any) -> Result:
            if connection.is_in_transaction():
                return await execute_all(connection)
            async with connection.transaction():
                return await execute_all(connection)

        self._take(self.connection.run(at_once, text))

    def callproc(self, name: Any, args: Sequence[Any] | None = None) -> Sequence[Any] | None:
        """Call a function; its rows are then the cursor's. As Django's cursors have it."""
        called = name if isinstance(name, sql.Identifier) else sql.Identifier(name)
        values = sql.SQL(", ").join([sql.Literal(each) for each in args or ()])
        self.execute(sql.SQL("SELECT * FROM {}({})").format(called, values))
        return args

    def copy(self, statement: Any, params: Any = None, **_: Any) -> Copy:
        """A context manager that reads or writes the data of a COPY."""
        text = self._text(statement)
        self._last = (text, params)
        return Copy(self, with_literals(text, params, self._codecs()))

    def copy_done(self, work: Callable[[Any], Awaitable[str]]) -> None:
        """Have a COPY done, which gives its status."""
        assert self._last is not None
        self._take(Result(status=self.connection.run(work, self._last[0])))

    @property
    def transformer(self) -> Any:
        """psycopg's, for single values."""
        return self._codecs().transformer

    def mogrify(self, query: Any, params: Any = None) -> str:
        """The statement as Django's driver would send it."""
        return with_literals(self._text(query), params, self._codecs())

    def last_query(self) -> str | None:
        """The last statement, likewise; None before the first one."""
        if self._last is None:
            return None
        try:
            return with_literals(*self._last, self._codecs())
        except psycopg.Error:
            return None

    def _text(self, query: Any) -> str:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")
        if isinstance(query, str):
            return query
        if isinstance(query, bytes):
            return query.decode()
        return str(query.as_string(Context(self.adapters)))

    async def _execute(self, connection: Any, text: str, params: Any) -> Result:
        codecs = self._codecs(connection.get_settings().TimeZone)
        return await run_statement(connection, text, params, codecs, self.adapters)

    def _codecs(self, session_zone: str = "UTC") -> Codecs:
        return codecs_for(self.adapters, session_zone, self.connection.database.timezone)

    def _take(self, result: Result) -> None:
        self._result = result
        self._at = 0
        self._modifiers = None

    # -- what they gave ------------------------------------------------------------------------

    @property
    def description(self) -> list[Column] | None:
        return columns_of(self._result.state, self)

    @property
    def rowcount(self) -> int:
        return self._result.rowcount

    @property
    def rownumber(self) -> int | None:
        return self._at if self._result.state is not None else None

    @property
    def statusmessage(self) -> str | None:
        return self._result.status

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 0) -> list[tuple[Any, ...]]:
        self._need_rows()
        start = self._at
        self._at = min(start + (size or self.arraysize), len(self._result.rows))
        return self._result.rows[start : self._at]

    def fetchall(self) -> list[tuple[Any, ...]]:
        self._need_rows()
        start, self._at = self._at, len(self._result.rows)
        return self._result.rows[start:] if start else self._result.rows

    def _need_rows(self) -> None:
        if self.closed:
            raise psycopg.InterfaceError("the cursor is closed")
        state = self._result.state
        if state is None and self._result.status is None:
            raise psycopg.ProgrammingError("no result available")
        if state is None or not state._get_attributes():
            raise psycopg.ProgrammingError(
                f"the last operation didn't produce records (command status: {self._result.status})"
            )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def nextset(self) -> None:
        return None

    def modifiers(self) -> list[int]:
        """The columns' type modifiers, such as the length of a ``varchar``: -1 for those without,
        and where they can't be found out."""
        if self._modifiers is None:
            count = len(self._result.state._get_attributes())
            assert self._last is not None
            sql = with_literals(*self._last, self._codecs())
            self._modifiers = self.connection.run(lambda it: modifiers_of(it, sql, count))
        return self._modifiers

    # -- its life ------------------------------------------------------------------------------

    def close(self) -> None:
        self.closed = True
        self._result = Result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
