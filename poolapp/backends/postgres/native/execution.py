"""One statement on one connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import asyncpg

from poolapp.backends.postgres.native.codecs import Codecs
from poolapp.backends.postgres.native.commands import is_several, keyword
from poolapp.backends.postgres.native.prepared import forget, prepared, schema_changed, settle
from poolapp.backends.postgres.native.shape import Shape, bound, equal_ones, shape_of
from poolapp.backends.postgres.native.statement import template

_SIMPLE = frozenset({
    "abort", "alter", "analyze", "begin", "checkpoint", "close", "cluster", "comment", "commit",
    "create", "deallocate", "declare", "discard", "do", "drop", "end", "grant", "import", "listen",
    "load", "lock", "move", "notify", "reassign", "refresh", "reindex", "release", "reset",
    "revoke", "rollback", "savepoint", "security", "set", "start", "truncate", "unlisten", "vacuum",
})  # fmt: skip
"""Commands without rows: sent as they are, in one round trip."""

_CHANGES_SCHEMA = frozenset({"alter", "create", "discard", "do", "drop", "import", "reset", "set"})

_GRUMBLES = "42"
"""SQLSTATE class: what the server can have against a statement whose parameters it has to guess."""

_UNEQUAL = frozenset({
    "42803",  # GROUP BY: it is not seen that two expressions are one
    "42P10",  # the same with DISTINCT and ORDER BY
})  # fmt: skip


@dataclasses.dataclass(slots=True)
class Result:
    """What a statement gave."""

    rows: list[tuple[Any, ...]] = dataclasses.field(default_factory=list)
    status: str | None = None
    state: Any = None
    """The prepared statement, which knows the columns; None where there is none."""

    @property
    def rowcount(self) -> int:
        count = (self.status or "").rpartition(" ")[2]
        return int(count) if count.isdigit() else -1


async def run_statement(
    connection: Any, sql: str, params: Any, codecs: Codecs, place: object
) -> Result:
    """Raises asyncpg's errors, and psycopg's for parameters that can't be.

    ``place`` is the database's: what is learnt of a statement holds there.
    """
    if params is None or (not params and "%" not in sql):
        return await _run_as_it_is(connection, sql, codecs, keep=True)
    found = template(sql)
    values = found.in_order(params)
    if not values:
        return await _run_as_it_is(connection, found.texts[0], codecs, keep=True)
    ready = await ready_statement(connection, sql, values, codecs, place)
    if ready is None:
        written = with_literals(sql, values, codecs)
        return await _run_as_it_is(connection, written, codecs, keep=False)
    state, sent = ready
    try:
        return await fetched(connection, state, sent)
    except asyncpg.InvalidCachedStatementError:
        # Somebody has changed a table.
        forget(connection)
        if connection.is_in_transaction():
            raise
    return await run_statement(connection, sql, params, codecs, place)


async def ready_statement(
    connection: Any, sql: str, values: Sequence[Any], codecs: Codecs, place: object
) -> tuple[Any, list[Any]] | None:
    """The statement as it is prepared, and what is bound to it. None for one whose parameters have
    to be written into it."""
    found = template(sql)
    kinds, sent = bound(found, values, codecs.transformer)
    shape = shape_of(place, found.texts, kinds)
    if shape.shares:
        shape, sent = _sharing(place, found.texts, kinds, sent)
    if shape.written:
        return None
    if shape.tried:
        return await prepared(connection, codecs, shape.text, shape.literals), sent
    state = await _try(connection, shape, codecs)
    if state is None and shape.shares:
        shape, sent = _sharing(place, found.texts, kinds, sent)
        state = await _try(connection, shape, codecs)
        shape.written = shape.written or state is None
    return None if state is None else (state, sent)


def _sharing(
    place: object, texts: tuple[str, ...], kinds: Any, sent: list[Any]
) -> tuple[Shape, list[Any]]:
    same = equal_ones(kinds, sent)
    firsts = sorted(set(same))
    return shape_of(place, texts, kinds, same), [sent[number] for number in firsts]


async def _try(connection: Any, shape: Shape, codecs: Codecs) -> Any:
    """Prepare it, and remember how that went. None where its parameters are the trouble, or may
    be."""
    guarded = connection.is_in_transaction()
    if guarded:
        # A statement that the server does not accept ends the transaction.
        await connection.execute("SAVEPOINT poolapp_try")
    try:
        state = await prepared(connection, codecs, shape.text, shape.literals)
    except asyncpg.PostgresError as error:
        if not (error.sqlstate or "").startswith(_GRUMBLES):
            raise
        if guarded:
            await connection.execute("ROLLBACK TO SAVEPOINT poolapp_try; RELEASE poolapp_try")
        shape.shares = error.sqlstate in _UNEQUAL
        shape.written = not shape.shares
        return None
    if guarded:
        await connection.execute("RELEASE SAVEPOINT poolapp_try")
        if not state.name:  # a simple command ends the statement that has no name
            state.mark_unprepared()
    shape.tried = True
    return state


def with_literals(sql: str, params: Any, codecs: Codecs) -> str:
    """The statement that psycopg would send for Django; raises psycopg's errors for a value that
    it can't write."""
    if params is None:
        return sql
    found = template(sql)

    def written(value: Any) -> str:
        if value is None:
            return "NULL"
        return bytes(codecs.transformer.as_literal(value)).decode()

    return found.filled(found.in_order(params), written)


async def _run_as_it_is(connection: Any, sql: str, codecs: Codecs, keep: bool) -> Result:
    word = keyword(sql)
    if word in _SIMPLE or is_several(sql):
        return await _run_simple(connection, sql, word)
    try:
        state = await prepared(connection, codecs, sql, (), keep and word != "explain")
        return await fetched(connection, state, ())
    except asyncpg.InvalidCachedStatementError:
        forget(connection)
        if connection.is_in_transaction():
            raise
    return await _run_as_it_is(connection, sql, codecs, keep=False)


async def _run_simple(connection: Any, sql: str, word: str) -> Result:
    changes = word not in _SIMPLE or word in _CHANGES_SCHEMA
    if changes and not _is_harmless(sql):
        schema_changed(connection)
    status = await connection._protocol.query(sql, None)
    if not connection.is_in_transaction():
        settle(connection)
    return Result(status=status or None)


def _is_harmless(sql: str) -> bool:
    """Of what is sent often: the constraints are no schema."""
    return sql.startswith("SET CONSTRAINTS")


async def fetched(connection: Any, state: Any, sent: Sequence[Any]) -> Result:
    """Run a prepared statement."""
    if connection._query_loggers:
        with connection._time_and_log(state.query, sent, None):
            records, status, _ = await _execute(connection, state, sent)
    else:
        records, status, _ = await _execute(connection, state, sent)
    return Result(list(map(tuple, records or ())), status.decode() if status else None, state)


def _execute(connection: Any, state: Any, sent: Sequence[Any]) -> Any:
    return connection._protocol.bind_execute(
        state=state, args=sent, portal_name="", limit=0, return_extra=True, timeout=None
    )
