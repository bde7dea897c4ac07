"""A pooler such as PgBouncer between a connection and the server.

Where it gives each transaction another session of the server, a prepared statement is not where it
was prepared. The next statement then fails, or is answered by whatever another process prepared
there under the same name.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger("poolapp.postgres")

_asked: set[tuple[str, str]] = set()
"""Aliases and addresses: one connection tells what all of them go through."""

_LOST = frozenset(
    {
        "26000",  # there is no prepared statement of this name
        "42P05",  # there is one already
    }
)

_ADVICE = (
    'OPTIONS["statement_cache_size"] must be 0 behind a pooler that works by transactions, such as '
    "PgBouncer, and prepare() be called inside of a transaction only"
)


async def look_for_one(connection: Connection, alias: str, address: str) -> None:
    """Warn, once for an alias in the process, when it is not the server that has answered.

    A pooler gives its clients process ids of its own. One round trip, by the simple protocol
    (COPY), as there may be no way back to what the other one prepares.
    """
    import asyncpg

    if (alias, address) in _asked:
        return
    answer = bytearray()

    async def take(data: bytes) -> None:
        answer.extend(data)

    try:
        await connection.copy_from_query("SELECT pg_backend_pid()", output=take)
    except asyncpg.PostgresError:
        if connection.is_closed():
            raise
        # Else it is something that speaks like PostgreSQL, and does not know this.
    _asked.add((alias, address))
    pid = answer.strip()
    if pid.isdigit() and int(pid) != connection.get_server_pid():
        logger.warning(
            "Pool %r: there is a connection pooler before the server. %s; else statements fail, or "
            "give the answers of others. If it keeps one session for each connection, or keeps "
            "track of prepared statements, set a size to say so (100 is the driver's own)",
            alias,
            _ADVICE,
            extra={"alias": alias, "event": "pooler_found"},
        )


def lost_a_statement(error: BaseException) -> bool:
    """Whether the session is not the one that the driver prepared its statements in."""
    return getattr(error, "sqlstate", None) in _LOST and "__asyncpg_" in str(error)


def explain(error: BaseException, alias: str) -> None:
    """Add to such an error what to do about it; once, however often it is asked for."""
    note = (
        f"pool {alias!r}: the session does not have the statements that were prepared in it; "
        f"{_ADVICE}. DISCARD ALL and DEALLOCATE do the same"
    )
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
