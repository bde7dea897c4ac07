"""A cursor as Django knows it from psycopg."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from poolapp.backends.postgres.native.execution import Result, run_statement

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.connection import Connection


class Cursor:
    """Holds all rows of its last statement."""

    arraysize = 1
    itersize = 100

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._result = Result()
        self._at = 0

    @property
    def description(self) -> Any:
        return self._result.description

    @property
    def rowcount(self) -> int:
        return self._result.rowcount

    def execute(self, query: Any, params: Sequence[Any] | None = None) -> Cursor:
        text = query if isinstance(query, str) else query.as_string(None)
        timezone = self.connection.database.timezone
        self._result = self.connection.run(lambda it: run_statement(it, text, params, timezone))
        self._at = 0
        return self

    def executemany(self, query: Any, params: Sequence[Sequence[Any]]) -> None:
        count = 0
        for each in params:
            self.execute(query, each)
            count += self.rowcount
        self._result.rowcount = count

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        start, self._at = self._at, self._at + (size or self.arraysize)
        return self._result.rows[start : self._at]

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows = self._result.rows[self._at :]
        self._at = len(self._result.rows)
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        self._result = Result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
