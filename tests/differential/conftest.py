from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.differential.database import create_tables, database, installed
from tests.differential.harness import Differential
from tests.differential.worlds import WORLDS, world


@pytest.fixture(scope="package")
def schema(django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """The tables and their rows, committed, for all tests of this folder."""
    with (
        django_db_blocker.unblock(),
        installed("tests.differential"),
        database("differential"),
    ):
        from tests.differential.data import load

        create_tables("differential")
        load()
        yield


@pytest.fixture(scope="module", params=WORLDS)
def differential(request: pytest.FixtureRequest, schema: None) -> Iterator[Differential]:
    """Both sides, in each of the worlds of time zones."""
    with world(request.param), asyncio.Runner() as runner:
        both = Differential(runner)
        yield both
        both.close()
