from __future__ import annotations

import asyncio
import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.utils.deprecation import RemovedAfterNextVersionWarning

from tests.differential import others
from tests.differential.database import create_tables, database, installed
from tests.differential.harness import Differential
from tests.differential.worlds import world

_numbers = itertools.count(1)
"""A database that is made again has other numbers for its types, of which Django keeps a cache."""


@pytest.fixture(autouse=True)
def what_is_deprecated_is_compared_too() -> None:
    """For as long as there is a Django that has it."""
    warnings.filterwarnings("ignore", category=RemovedAfterNextVersionWarning)


@contextmanager
def rows_of_packages(blocker: Any, *packages: str) -> Iterator[None]:
    """The tables of these apps and their rows, committed, in a database of their own."""
    name = f"differential_{os.getpid()}_{next(_numbers)}"
    with blocker.unblock(), installed(*packages), database(name):
        create_tables(*packages)
        for package in packages:
            others.load(package)
        yield


@contextmanager
def both_in(name: str) -> Iterator[Differential]:
    with world(name), asyncio.Runner() as runner:
        both = Differential(runner)
        yield both
        both.close()


@pytest.fixture(scope="module")
def schema(django_db_blocker: Any) -> Iterator[None]:
    with rows_of_packages(django_db_blocker, "tests.differential"):
        yield


@pytest.fixture(scope="module")
def differential(schema: None) -> Iterator[Differential]:
    """Both sides, where moments are aware."""
    with both_in("aware") as both:
        yield both


@pytest.fixture(scope="module", params=["naive", "database"])
def zoned(request: pytest.FixtureRequest, schema: None) -> Iterator[Differential]:
    """Both sides, in the other worlds."""
    with both_in(request.param) as both:
        yield both


@pytest.fixture(scope="module")
def of_others(django_db_blocker: Any) -> Iterator[Differential]:
    """Both sides, for the packages that are asked for."""
    with rows_of_packages(django_db_blocker, *others.packages()), both_in("aware") as both:
        yield both
