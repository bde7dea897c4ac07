"""The fixtures, and the check for leaks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from poolapp import conf
from poolapp.core.events import Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry, pools
from poolapp.testing.transactions import transaction

LEAK_CHECK = "poolapp_leak_check"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(LEAK_CHECK, "fail a test that leaves a pool's lease behind", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "pool_transaction(alias, ...): the aliases of the fixture of that name"
    )
    config.pluginmanager.register(_asynchronous(config), "poolapp.testing.asynchronous")


# -- fresh pools -----------------------------------------------------------------------------------


@pytest.fixture
def isolated_pools() -> Iterator[Registry]:
    """``pools``, with nothing open, and nothing left of this test afterwards."""
    pools.close_at_exit()
    before = set(pools)
    yield pools
    pools.close_at_exit()
    for alias in set(pools) - before:
        asyncio.run(pools.remove(alias))
    # What was removed, replaced or resized is as in the settings again.
    conf.configure()


# -- leaks -----------------------------------------------------------------------------------------


@pytest.fixture
def pool_leak_check() -> None:
    """Fail this test when it leaves a lease behind."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    if not item.config.getini(LEAK_CHECK) and "pool_leak_check" not in _fixtures(item):
        return (yield)
    lent = _Lent()
    pools.observe(lent)
    try:
        result = yield
    finally:
        pools.unobserve(lent)
    left = [lease for lease in lent.leases if lease.entry is not None]
    if left:
        lines = "\n".join(f"  pool {each.pool.alias!r}, acquired at {each.site}" for each in left)
        pytest.fail(f"The test left {len(left)} lease(s) behind:\n{lines}", pytrace=False)
    return result


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


class _Lent(Observer):
    """What was acquired while the test ran, and so not by its fixtures."""

    def __init__(self) -> None:
        self.leases: set[Lease[Any]] = set()

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        self.leases.add(lease)

    def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self.leases.discard(lease)


# -- one transaction -------------------------------------------------------------------------------


def _asynchronous(config: pytest.Config) -> object:
    """A plugin with the async fixture. It is marked for pytest-asyncio where that is there, whose
    strict mode leaves out what is not, and which must not be imported before it is loaded."""
    fixture: Callable[..., Any] = pytest.fixture
    if config.pluginmanager.has_plugin("asyncio"):
        fixture = sys.modules["pytest_asyncio"].fixture

    class Asynchronous:
        @fixture
        async def pool_transaction(
            self, request: pytest.FixtureRequest
        ) -> AsyncIterator[dict[str, Any]]:
            """The connections of the aliases, each in a transaction that is rolled back."""
            marker = request.node.get_closest_marker("pool_transaction")
            aliases = marker.args if marker is not None and marker.args else ("default",)
            async with AsyncExitStack() as stack:
                yield {
                    alias: await stack.enter_async_context(transaction(alias)) for alias in aliases
                }

    return Asynchronous()
