"""Fixtures for the tests of projects that use poolapp: a pytest plugin that does nothing unless
it is asked to.

``isolated_pools``
    No pool is open when the test begins; all are closed when it has ended, and the aliases are as
    they were.

``pool_transaction``
    The test runs inside one PostgreSQL transaction, which is rolled back. For other aliases than
    ``"default"`` mark the test with ``@pytest.mark.pool_transaction("alias", ...)``. Needs
    pytest-asyncio (or anyio's plugin); elsewhere use ``transaction``.

``pool_leak_check``
    The test fails when it leaves a lease behind. ``poolapp_leak_check = true`` in pytest's
    configuration has all tests checked.

``run_natively``
    Django's synchronous ORM on a pool: a context manager, and a decorator of functions and of test
    classes. ``ENGINE: "poolapp.testing.engine"`` does the same for a whole test suite.
"""

from importlib.util import find_spec

from poolapp.testing.native import run_natively
from poolapp.testing.transactions import TransactionBackend, transaction

if find_spec("pytest") is not None:  # Django's own runner does without
    from poolapp.testing.plugin import (
        LEAK_CHECK,
        isolated_pools,
        pool_leak_check,
        pytest_addoption,
        pytest_configure,
        pytest_runtest_call,
    )

__all__ = [
    "LEAK_CHECK",
    "TransactionBackend",
    "isolated_pools",
    "pool_leak_check",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_call",
    "run_natively",
    "transaction",
]
