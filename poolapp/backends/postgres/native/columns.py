"""What a cursor tells of the columns of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.cursor import Cursor


def columns_of(state: Any, cursor: Cursor) -> list[Column] | None:
    """Of a prepared statement; None for one without rows."""
    if state is None:
        return None
    return [
        Column(cursor, number, each.name, each.type.oid)
        for number, each in enumerate(state._get_attributes())
    ] or None


async def modifiers_of(connection: Any, sql: str, count: int) -> list[int]:
    """The columns' type modifiers, from a view of that query which lives for a moment."""
    names = ", ".join(f"c{number}" for number in range(count))
    inside = connection.is_in_transaction()
    await connection.execute("SAVEPOINT poolapp_columns" if inside else "BEGIN")
    try:
        await connection.execute(f"CREATE TEMPORARY VIEW poolapp_columns ({names}) AS {sql}")
        rows = await connection.fetch(
            "SELECT atttypmod FROM pg_attribute WHERE attrelid = 'poolapp_columns'::regclass "
            "ORDER BY attnum"
        )
    except asyncpg.PostgresError:  # a statement that no view can have
        return [-1] * count
    finally:
        await connection.execute(
            "ROLLBACK TO SAVEPOINT poolapp_columns; RELEASE SAVEPOINT poolapp_columns"
            if inside
            else "ROLLBACK"
        )
    return [row[0] for row in rows]


class Column(Sequence[Any]):
    """What psycopg's ``Column`` says: the seven items of the DB API, also by name."""

    _NAMES = (
        "name", "type_code", "display_size", "internal_size", "precision", "scale", "null_ok",
    )  # fmt: skip

    null_ok = None
    internal_size: int | None = None

    def __init__(self, cursor: Cursor, number: int, name: str, type_code: int) -> None:
        self._cursor = cursor
        self._number = number
        self.name = name
        self.type_code = type_code

    @property
    def _type(self) -> Any:
        return self._cursor.adapters.types.get(self.type_code)

    @property
    def _modifier(self) -> int:
        """asyncpg keeps it to itself, and so the server is asked once it is wanted."""
        return self._cursor.modifiers()[self._number]

    @property
    def type_display(self) -> str:
        if not self._type:
            return str(self.type_code)
        return str(self._type.get_type_display(oid=self.type_code, fmod=self._modifier))

    @property
    def display_size(self) -> int | None:
        return self._type.get_display_size(self._modifier) if self._type else None

    @property
    def precision(self) -> int | None:
        return self._type.get_precision(self._modifier) if self._type else None

    @property
    def scale(self) -> int | None:
        return self._type.get_scale(self._modifier) if self._type else None

    def __len__(self) -> int:
        return len(self._NAMES)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(getattr(self, name) for name in self._NAMES[index])
        return getattr(self, self._NAMES[index])

    def __repr__(self) -> str:
        return f"<Column {self.name!r}, type: {self.type_display} (oid: {self.type_code})>"
