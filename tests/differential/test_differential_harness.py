"""The harness itself: it sees every kind of difference, and takes other packages."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from psycopg.types.range import Range

from tests.differential import others
from tests.differential.case import Case
from tests.differential.cases import CASES
from tests.differential.chain import Chain
from tests.differential.freezing import freeze
from tests.differential.harness import CaseError, Differential, Differs
from tests.differential.models import Book, Colour, Publisher

AWARE = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)

DIFFERENT = [
    (1, True),
    (1, 1.0),
    (1, Decimal(1)),
    (Decimal("1.0"), Decimal("1.00")),
    (0.0, -0.0),
    ("red", Colour.RED),
    (b"a", bytearray(b"a")),
    ([1], (1,)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (AWARE, AWARE.replace(tzinfo=None)),
    (AWARE, AWARE.astimezone(datetime.timezone(datetime.timedelta(0), "other"))),
    (Range(1, 2), Range(1, 2, "[]")),
    (Range(1, 2), Range(1, None)),
    (ValueError("a"), ValueError("b")),
    (ValueError("a"), TypeError("a")),
    (Book(title="a"), Book(title="b")),
    (Book(), Publisher()),
    (None, ""),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_what_differs_is_frozen_differently(one: Any, other: Any) -> None:
    assert freeze([one]) != freeze([other])
    assert freeze([one]) == freeze([one])


def test_a_deferred_field_and_what_was_fetched_along_are_seen(differential: Differential) -> None:
    rows = Book.objects.order_by("pk")
    whole = freeze(rows.first())
    assert freeze(rows.only("title").first()) != whole
    assert freeze(rows.select_related("publisher").first()) != whole
    assert freeze(rows.prefetch_related("tags").first()) != whole
    assert freeze(rows.first()) == whole


def as_function(given: Any) -> Any:
    def function(rows: Any) -> Any:
        return given(rows)

    return function


@pytest.mark.parametrize("values", [(1, 2, 1), (1, 1, 2), (1, 1, True)])
def test_a_side_that_gives_something_else_is_found(
    differential: Differential, values: tuple[Any, ...]
) -> None:
    left = iter(values)
    with pytest.raises(Differs, match="objects"):
        differential.check(Case("made", 1, Book, as_function(lambda rows: next(left))))


def test_a_row_that_is_left_different_is_found(differential: Differential) -> None:
    titles = iter(["a", "b", "a"])
    case = Case(
        "made",
        1,
        Book,
        as_function(lambda rows: rows.filter(pk=1).update(title=next(titles))),
        writes=True,
    )
    with pytest.raises(Differs, match="differential_book"):
        differential.check(case)
    assert Book.objects.get(pk=1).title == "Async by Night"  # and was rolled back


def test_a_case_that_raises_by_mistake_proves_nothing(differential: Differential) -> None:
    with pytest.raises(CaseError, match="nothing"):
        differential.check(Case("made", 1, Book, lambda rows: rows.filter(nothing=1)))
    with pytest.raises(CaseError, match="raises nothing"):
        differential.check(Case("made", 1, Book, lambda rows: rows.filter(pk=1), fails=True))


def test_the_sides_are_the_driver_and_the_pool(differential: Differential) -> None:
    def driver(rows: Any) -> str:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            )
            return str(cursor.fetchone()[0])

    assert not driver(None).startswith("poolapp:")
    assert differential.natively(driver, None).startswith("poolapp:default:")


def test_what_fetches_is_replaced_by_its_asynchronous_form() -> None:
    chain = Chain(Book.objects)
    count = chain.filter(pk=1).count()
    assert count.__name__ == "acount"
    count.close()
    assert isinstance(chain.filter(pk=1)[1:2], Chain)


def test_there_are_cases_enough() -> None:
    assert len({case.function.__code__ for case in CASES}) > 400
    assert len(CASES) > 1500


def test_another_package_is_taken() -> None:
    environment = {**os.environ, others.VARIABLE: "tests.differential.sample"}
    found = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            "tests/differential/test_differential_others.py",
        ],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "4 passed" in found.stdout
