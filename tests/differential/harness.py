"""Runs a case through Django's own driver and natively, and compares what comes of it:

- through the model's default manager, synchronously, on the driver of the engine of ``DATABASES``;
- natively, with the same manager, on the event loop;
- asynchronously, through a PostgresManager: ``async for``, ``await rows.aget()``.

Compared are rows, order (where the QuerySet has one), exact types, the fields of instances one by
one, what is deferred, what was fetched along, and exceptions with their causes. A case that writes
is rolled back on each side; what it left in each table is compared before.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import pprint
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connection, models, transaction
from django.db.models import QuerySet

from poolapp import pools
from tests.differential import database
from tests.differential.case import Case
from tests.differential.chain import Chain, rows_of
from tests.differential.freezing import freeze


class Differs(AssertionError):
    """The two sides gave different things."""


class CaseError(AssertionError):
    """A case raised, and was not said to, or the other way round: it proves nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a case gave, or raised, and the digest of each table then."""

    frozen: Any
    raised: Exception | None = field(default=None, compare=False)
    left: Any = None


class Differential:
    """All sides. ``runner`` has the loop of the pool that leads to the database of the alias
    ``default``."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._admin = database.outside()
        self._digest = database.digest()

    def close(self) -> None:
        self._admin.close()

    def check(self, case: Case) -> None:
        """Raises Differs; CaseError when the case is not what it was said to be."""
        expected = self._synchronously(case)
        self._compare(case, "natively", expected, self.natively(self._synchronously, case))
        self._compare(case, "asynchronously", expected, self._runner.run(self._asynchronous(case)))

    def check_streamed(self, case: Case) -> bool:
        """The same of ``iterator()`` and ``aiterator()``. False when the case has none, or no
        order."""
        rows = case.function(case.model._default_manager)
        if not isinstance(rows, QuerySet) or not rows.ordered:
            return False
        expected = _outcome(lambda: list(rows.iterator(chunk_size=5)))
        self._compare(case, "aiterator()", expected, self._runner.run(_streamed(case)))
        return True

    def check_query(self, model: type[models.Model], query: Callable[[Any], Any]) -> None:
        """Of a function that may well fail, on both sides alike."""
        manager = model._default_manager
        expected = _outcome(lambda: query(manager))
        found = self.natively(_outcome, lambda: query(manager))
        if found != expected:
            raise Differs(_difference(query.__doc__ or "", "natively", expected, found))

    def natively(self, function: Callable[..., Any], *args: Any) -> Any:
        async def run() -> Any:
            return await pools["default"].natively(function, *args)

        return self._runner.run(run())

    # -- each side -----------------------------------------------------------------------------

    def _synchronously(self, case: Case) -> Outcome:
        manager = case.model._default_manager
        if not case.writes:
            return _outcome(lambda: case.function(manager))
        self._start_anew()
        with transaction.atomic():
            found = _outcome(lambda: case.function(manager), transaction.atomic())
            left = self._contents()
            transaction.set_rollback(True)
        return replace(found, left=left)

    async def _asynchronous(self, case: Case) -> Outcome:
        if not case.writes:
            return await _awaited(case)
        self._start_anew()
        async with rolled_back():
            found = await _awaited(case, savepoint=True)
            return replace(found, left=await pools["default"].natively(self._contents))

    def _start_anew(self) -> None:
        database.restart_sequences(self._admin)

    def _contents(self) -> Any:
        """A digest of each table."""
        with connection.cursor() as cursor:
            cursor.execute(self._digest)
            return cursor.fetchall()

    def _compare(self, case: Case, side: str, expected: Outcome, found: Outcome) -> None:
        if bool(expected.raised) != case.fails:
            raise CaseError(f"{case.story}\n{_trace(expected) or 'raises nothing'}")
        if found != expected:
            raise Differs(_difference(case.story, side, expected, found))


def _difference(story: str, side: str, expected: Outcome, found: Outcome) -> str:
    texts = [
        pprint.pformat((each.frozen, each.left), width=100).splitlines()
        for each in (expected, found)
    ]
    lines = difflib.unified_diff(*texts, "objects", side, lineterm="", n=2)
    return "\n".join([story, *list(lines)[:80], _trace(found)[-4000:]])


def _outcome(function: Callable[[], Any], around: Any = nullcontext()) -> Outcome:  # noqa: B008
    try:
        with around:
            # Frozen inside, where what is still lazy runs on the right side.
            found = function()
            return Outcome(_in_any_order(found, freeze(found)))
    except Exception as error:
        return Outcome(freeze(error), error)


async def _awaited(case: Case, *, savepoint: bool = False) -> Outcome:
    rows = rows_of(case.model)
    if not case.is_chain:
        around = transaction.atomic() if savepoint else nullcontext()
        return await pools["default"].natively(_outcome, lambda: case.function(rows), around)
    try:
        async with pools["default"].atomic() if savepoint else nullcontext():
            found = case.function(Chain(rows))
            if inspect.isawaitable(found):
                return Outcome(freeze(await found))
            listed = freeze([each async for each in found.rows])
            return Outcome(_in_any_order(found.rows, ("rows", listed[1])))
    except Exception as error:
        return Outcome(freeze(error), error)


async def _streamed(case: Case) -> Outcome:
    found: Any = case.function(Chain(rows_of(case.model)))
    try:
        return Outcome(freeze([each async for each in found.rows.aiterator(chunk_size=5)]))
    except Exception as error:
        return Outcome(freeze(error), error)


@asynccontextmanager
async def rolled_back() -> AsyncIterator[None]:
    async with pools["default"].atomic():
        yield
        await pools["default"].natively(transaction.set_rollback, True)


def _in_any_order(found: Any, frozen: Any) -> Any:
    if isinstance(found, QuerySet) and not found.ordered and isinstance(frozen[1], list):
        frozen[1].sort(key=repr)
    return frozen


def _trace(outcome: Outcome) -> str:
    return "".join(traceback.format_exception(outcome.raised)) if outcome.raised else ""
