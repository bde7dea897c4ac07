"""One statement of Django's, without Django's connections and cursors around it."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connections
from django.db.utils import DatabaseErrorWrapper

from poolapp.backends.postgres.native import database, errors
from poolapp.backends.postgres.native.codecs import adapters_of, codecs_for
from poolapp.backends.postgres.native.execution import Result, run_statement
from poolapp.databases import database_of

if TYPE_CHECKING:
    from poolapp.backends.postgres.pool import PostgresPool

_as_djangos = DatabaseErrorWrapper(SimpleNamespace(Database=psycopg, errors_occurred=False))
"""Raises psycopg's errors as those of ``django.db``."""


def _greet(alias: str) -> None:
    connections[alias].ensure_connection()


async def rows_of(
    pool: PostgresPool, sql: str, params: Sequence[Any], timezone: Any, site: FrameType
) -> list[tuple[Any, ...]]:
    alias = database_of(pool.alias)
    adapters = adapters_of(alias, database.settings_of(alias))
    if not adapters.greeted:
        await pool.natively(_greet, alias)

    async def run(connection: Any) -> Result:
        codecs = codecs_for(adapters, connection.get_settings().TimeZone, timezone)
        return await run_statement(connection, sql, params, codecs, adapters)

    try:
        result = await pool.perform(run, site, zone=database.session_zone(alias))
    except Exception as error:
        with _as_djangos:
            raise errors.translated(error) from error
    rows: list[tuple[Any, ...]] = result.rows
    return rows
