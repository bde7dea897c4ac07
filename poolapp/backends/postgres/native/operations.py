"""Django's operations of a database, where they would need psycopg's own connection."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache
def native_operations(operations: Any) -> Any:
    """A subclass of an engine's operations."""

    class NativeOperations(operations):  # type: ignore[misc]
        def compose_sql(self, sql: Any, params: Any) -> str:
            with self.connection.cursor() as cursor:
                return str(cursor.mogrify(sql, params))

        def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str | None:
            written: str | None = cursor.last_query()
            return written

    return NativeOperations
