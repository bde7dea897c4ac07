"""Runs the same code through Django's own driver and natively, and compares what comes of it.

A *case* is a function of a manager, ``lambda rows: rows.filter(...)``. It gives a QuerySet, or
whatever a method of one gives. It is run

- through ``objects``, synchronously, on the driver of the engine of ``DATABASES``;
- natively, with the same manager, on the event loop;
- asynchronously through a PostgresManager of the same model: ``async for``, ``await rows.aget()``.

Compared are rows, order (where the QuerySet has one), exact types, the fields of instances one by
one, what is deferred, what was fetched along, and exceptions with their causes. A case that writes
is rolled back on both sides; what it left in each table is compared as well.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import pprint
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from django.db import connection, models, transaction
from django.db.models import QuerySet

from poolapp import pools
from tests.differential import database
from tests.differential.freezing import freeze

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Case:
    """One function of a manager, and the model whose manager it is given."""

    group: str
    number: int
    model: type[models.Model]
    function: Callable[[Any], Any]
    writes: bool = False
    fails: bool = False

    def __str__(self) -> str:
        return f"{self.group}-{self.number}"

    @property
    def place(self) -> str:
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno}"


class Cases:
    """Those of one module. ``@cases.reading(Book)`` marks a function that gives a list of cases,
    ``failing`` of such that raise, ``writing`` of such that write, ``refused`` of such that raise
    when they write. Their group has the function's name."""

    def __init__(self) -> None:
        self.all: list[Case] = []

    def reading(self, model: type[models.Model]) -> Callable[[Function], Function]:
        return self._group(model)

    def failing(self, model: type[models.Model]) -> Callable[[Function], Function]:
        return self._group(model, fails=True)

    def writing(self, model: type[models.Model]) -> Callable[[Function], Function]:
        return self._group(model, writes=True)

    def refused(self, model: type[models.Model]) -> Callable[[Function], Function]:
        return self._group(model, writes=True, fails=True)

    def _group(self, model: type[models.Model], **kind: bool) -> Callable[[Function], Function]:
        def add(function: Function) -> Function:
            self.all += [
                Case(function.__name__, number, model, each, **kind)
                for number, each in enumerate(function(), 1)
            ]
            return function

        return add


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
    """The two sides; ``runner`` has the loop of the pool. Each database of ``DATABASES`` that the
    cases use has to have a pool."""

    def __init__(self, runner: asyncio.Runner, alias: str = "default") -> None:
        self._runner = runner
        self._alias = alias
        self._admin = database.outside()
        self._digest = database.digest()

    def close(self) -> None:
        self._admin.close()

    def check(self, case: Case) -> None:
        """Raises Differs; CaseError when the case is not what it was said to be."""
        run = self._written if case.writes else _read
        expected = self._fresh(run, case)
        if bool(expected.raised) != case.fails:
            raise CaseError(_story(case, expected.raised))
        natively = self._fresh(self.natively, run, case)
        if natively != expected:
            raise Differs(_story(case, natively.raised, _difference(expected, natively)))

    def natively(self, function: Callable[..., Any], *args: Any) -> Any:
        async def run() -> Any:
            return await pools[self._alias].natively(function, *args)

        return self._runner.run(run())

    def _fresh(self, run: Callable[..., Outcome], *args: Any) -> Outcome:
        if args[-1].writes:
            database.restart_sequences(self._admin)
        return run(*args)

    def _written(self, case: Case) -> Outcome:
        with transaction.atomic():
            found = _read(case, in_savepoint)
            with connection.cursor() as cursor:
                cursor.execute(self._digest)
                left = cursor.fetchall()
            transaction.set_rollback(True)
        return replace(found, left=left)


def in_savepoint(case: Case) -> Any:
    with transaction.atomic():
        return _evaluated(case.function(case.model._default_manager))


def plainly(case: Case) -> Any:
    return _evaluated(case.function(case.model._default_manager))


def _read(case: Case, run: Callable[[Case], Any] = plainly) -> Outcome:
    try:
        return Outcome(run(case))
    except Exception as error:
        return Outcome(freeze(error), error)


def _evaluated(found: Any) -> Any:
    """Frozen here, where what is still lazy runs on the right side."""
    frozen = freeze(found)
    if isinstance(found, QuerySet) and not found.ordered and isinstance(frozen[1], list):
        frozen[1].sort(key=repr)  # any order is right
    return frozen


def _difference(expected: Outcome, found: Outcome) -> list[str]:
    texts = (pprint.pformat((each.frozen, each.left), width=100).splitlines() for each in (expected, found))
    return list(difflib.unified_diff(*texts, "objects", "natively", lineterm="", n=2))[:80]


def _story(case: Case, raised: Exception | None, difference: Iterable[str] = ()) -> str:
    try:
        source = inspect.getsource(case.function).strip()
    except OSError:
        source = ""
    trace = "".join(traceback.format_exception(raised)) if raised else ""
    return "\n".join([f"{case} at {case.place}", source, *difference, trace[-4000:]])
