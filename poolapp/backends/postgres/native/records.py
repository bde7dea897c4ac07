"""Many records at once: by COPY in binary, or by arrays where the server has to answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import psycopg

from poolapp.backends.postgres.native.binding import NO_NUL


async def copy_records(
    connection: Any, table: str, columns: Sequence[str], records: Iterable[Sequence[Any]]
) -> None:
    """Append the records to a table, all or none. The names are quoted already.

    Raises psycopg's NotSupportedError when this table or these values can't be had by COPY,
    psycopg's DataError for a text with a NUL, and else what the server has against them.
    """
    names = ", ".join(columns)
    try:
        # Only to learn the types of the columns: a user's own codecs are left alone.
        described = await connection._get_statement(
            f"SELECT {names} FROM {table} LIMIT 0",  # noqa: S608
            None,
            ignore_custom_codec=True,
        )
        statement = f"COPY {table} ({names}) FROM STDIN (FORMAT binary)"
        await connection._protocol.copy_in(statement, None, None, records, described, None)
    except asyncpg.CharacterNotInRepertoireError as error:
        raise psycopg.DataError(NO_NUL) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate in _NO_COPY:
            raise psycopg.NotSupportedError(f"no COPY to {table}: {error}") from error
        raise
    except _UNFIT as error:
        if connection.is_closed():
            raise
        raise psycopg.NotSupportedError(f"no COPY to {table} of these values: {error}") from error


_NO_COPY = ("0A000", "42809")
"""What the server says of a table with row-level security, and of a view."""

_UNFIT = (
    asyncpg.InterfaceError, asyncpg.InternalClientError, ArithmeticError, AttributeError,
    TypeError, ValueError,
)  # fmt: skip
"""What asyncpg raises for values that it can't write as the column's type."""


async def insert_records(
    connection: Any,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    arrays: Sequence[Sequence[Any]],
    returned: Sequence[str],
) -> list[tuple[Any, ...]]:
    """Insert records, given as one array for each column; the returned columns, in their order.

    Raises psycopg's NotSupportedError for values that are not of these types, its DataError for a
    text with a NUL, and else what the server has against them.
    """
    given = ", ".join(f"${number}::{each}[]" for number, each in enumerate(types, start=1))
    query = (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608
        f"SELECT * FROM unnest({given}) RETURNING {', '.join(returned)}"
    )

    def run(state: Any, timeout: float | None) -> Any:
        return connection._protocol.bind_execute(
            state=state, args=arrays, portal_name="", limit=0, return_extra=False, timeout=timeout
        )

    try:
        rows, _ = await connection._do_execute(query, run, None, ignore_custom_codec=True)
    except asyncpg.CharacterNotInRepertoireError as error:
        raise psycopg.DataError(NO_NUL) from error
    except _UNFIT as error:
        if connection.is_closed():
            raise
        raise psycopg.NotSupportedError(
            f"no arrays for {table} of these values: {error}"
        ) from error
    return list(map(tuple, rows))
