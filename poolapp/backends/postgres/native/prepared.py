"""Prepared statements: each is prepared once on a connection, in asyncpg's own cache."""

from __future__ import annotations

import weakref
from typing import Any

import asyncpg

from poolapp.backends.postgres.native.codecs import Codecs


class _Schema:
    """What this process has done to the schemas of its databases."""

    changes = 0
    """What was prepared before the last one may give other columns."""


_unsettled: weakref.WeakSet[Any] = weakref.WeakSet()
"""Connections that have done so in a transaction which may be rolled back. What they prepare until
then is not kept."""


def schema_changed(connection: Any) -> None:
    """A statement on this connection may have changed what others give."""
    _Schema.changes += 1
    _unsettle(connection)


def session_changed(connection: Any) -> None:
    """The same, of statements on this connection alone."""
    forget(connection)
    _unsettle(connection)


def _unsettle(connection: Any) -> None:
    if connection.is_in_transaction():
        _unsettled.add(connection)


def settle(connection: Any) -> None:
    """The connection's transaction has ended: only now others can see what it has changed."""
    if connection in _unsettled:
        _unsettled.discard(connection)
        _Schema.changes += 1


async def prepared(
    connection: Any, codecs: Codecs, text: str, literals: tuple[int, ...], keep: bool = True
) -> Any:
    """The statement, ready to be bound; ``keep`` is False for one that will not come again.

    Raises what the server has against it.
    """
    key = (text, codecs, _Schema.changes)
    cache = connection._stmt_cache
    found = cache.get(key)
    if found is not None:
        return found
    if connection in _unsettled and not connection.is_in_transaction():
        settle(connection)
    longest = connection._config.max_cacheable_statement_size
    keep = (
        keep
        and connection._stmt_cache_enabled
        and (not longest or len(text) <= longest)
        and connection not in _unsettled
    )
    name = connection._get_unique_id("stmt") if keep else ""
    state = codecs.state(name, text)
    await connection._protocol.prepare(name, text, None, state=state, record_class=asyncpg.Record)
    codecs.fit(state, literals)
    if keep:
        cache.put(key, state)
    elif not connection._stmt_cache_enabled:
        # Behind a pooler the next message may go to another session: it is to bring the
        # statement along.
        state.mark_unprepared()
    if connection._stmts_to_close:
        await connection._cleanup_stmts()
    return state


def forget(connection: Any) -> None:
    """Have everything prepared anew."""
    connection._stmt_cache.clear()
