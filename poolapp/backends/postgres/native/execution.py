"""One statement on one connection."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import asyncpg

from poolapp.backends.postgres.native.codecs import Codecs
from poolapp.backends.postgres.native.commands import is_several, keyword
from poolapp.backends.postgres.native.prepared import (
    forget,
    prepared,
    schema_changed,
    session_changed,
    settle,
)  # fmt: skip
from poolapp.backends.postgres.native.shape import (
    Kinds,
    Shape,
    bound,
    equal_ones,
    shape_of,
    sources,
)
from poolapp.backends.postgres.native.statement import Template, template

_SIMPLE = frozenset({
    "abort", "alter", "analyze", "begin", "checkpoint", "close", "cluster", "comment", "commit",
    "create", "deallocate", "declare", "discard", "do", "drop", "end", "grant", "import", "listen",
    "load", "lock", "move", "notify", "reassign", "refresh", "reindex", "release", "reset",
    "revoke", "rollback", "savepoint", "security", "set", "start", "truncate", "unlisten", "vacuum",
})  # fmt: skip
"""Commands without rows: sent as they are, in one round trip."""

_CHANGES_SCHEMA = frozenset({"alter", "create", "do", "drop", "import"})

_CHANGES_SESSION = re.compile(
    r"^\s*(?:(?:re)?set\b.*\b(?:search_path|all)\b|discard\b"
    r"|create\s+(?:(?:local|global)\s+)?temp(?:orary)?\b)",
    re.IGNORECASE | re.DOTALL,
)
"""What gives the names in statements another meaning, in this session alone."""

_GRUMBLES = ("42", "22")
"""SQLSTATE classes: what the server can have against a statement whose parameters it has to guess,
and against a literal, where it is to say so of the whole statement."""

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
    ready = await _ready(connection, found, values, codecs, place)
    if ready is None:
        written = _written(found, values, codecs)
        return await _run_as_it_is(connection, written, codecs, keep=False)
    state, sent, kinds = ready
    try:
        return await fetched(connection, state, sent)
    except asyncpg.InvalidCachedStatementError:
        # Somebody has changed a table.
        forget(connection)
        if connection.is_in_transaction():
            raise
    except asyncpg.DataError as error:
        _blame(error, found, kinds, values, codecs)
        raise
    return await run_statement(connection, sql, params, codecs, place)


async def _ready(
    connection: Any, found: Template, values: Sequence[Any], codecs: Codecs, place: object
) -> tuple[Any, list[Any], Kinds] | None:
    """The statement as it is prepared, what is bound to it, and of which kinds. None for one whose
    parameters have to be written into it."""
    kinds, sent = bound(found, values, codecs.transformer)
    whole = len(sent)
    shape = shape_of(place, found.texts, kinds)
    if shape.shares:
        shape, sent = _sharing(place, found.texts, kinds, sent)
    if shape.written:
        return None
    if shape.tried:
        state = await prepared(connection, codecs, shape.text, shape.literals)
        return state, sent, () if len(sent) < whole else kinds
    state = await _try(connection, shape, codecs)
    if state is None and shape.shares:
        shape, sent = _sharing(place, found.texts, kinds, sent)
        state = await _try(connection, shape, codecs)
        shape.written = shape.written or state is None
    return None if state is None else (state, sent, kinds)


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
    return _written(found, found.in_order(params), codecs)


def _written(found: Template, values: Sequence[Any], codecs: Codecs) -> str:
    return found.filled(values, lambda value: _literal(value, codecs))


def _literal(value: Any, codecs: Codecs) -> str:
    return "NULL" if value is None else bytes(codecs.transformer.as_literal(value)).decode()


_NUMBERED = re.compile(r"unnamed portal parameter \$(\d+)")


def _blame(
    error: Any, found: Template, kinds: Kinds, values: Sequence[Any], codecs: Codecs
) -> None:
    """Have an error of a parameter's text point to where that stands in Django's statement: the
    server knows of a number only."""
    match = _NUMBERED.search(getattr(error, "context", None) or "")
    if match is None or not kinds:  # equal parameters are one: nobody knows which it is
        return
    suspects = list(sources(found, kinds))[int(match[1]) - 1]
    said = str(error.args[0])
    guilty = next((each for each in suspects if f'"{values[each]}"' in said), suspects[0])
    literals = [_literal(value, codecs) for value in values]
    numbers = iter(range(len(values)))
    marked = found.filled(
        values, lambda _: "\0" if (at := next(numbers)) == guilty else literals[at]
    )
    literal = literals[guilty]
    error.position = str(marked.index("\0") + 1 + len(literal) - len(literal.lstrip()))
    error.query = marked.replace("\0", literal)


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
    if _CHANGES_SESSION.search(sql):
        session_changed(connection)
    elif word not in _SIMPLE or word in _CHANGES_SCHEMA:
        schema_changed(connection)
    status = await connection._protocol.query(sql, None)
    if not connection.is_in_transaction():
        settle(connection)
    return Result(status=status or None)


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
