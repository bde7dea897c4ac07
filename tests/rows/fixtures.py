"""What each of the tests of the managers needs. Import both names into its module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from poolapp import pools
from tests.rows.tables import emptying, tables


@pytest.fixture(scope="module", autouse=True)
def rows_tables(django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock(), tables():
        yield


@pytest.fixture(autouse=True)
async def rows_emptied(rows_tables: None) -> AsyncIterator[None]:
    """The tables are empty; at the end no connection is left in use."""
    # Of whatever database the session works with by now.
    await pools["default"].execute(emptying())
    yield
    in_use = {pool.alias: pool.in_use for pool in pools.all(initialized_only=True) if pool.in_use}
    await pools.close_all()
    await sync_to_async(connections.close_all)()  # of the thread that Django's own methods use
    assert in_use == {}
