import pytest

from poolapp import pools


@pytest.fixture(autouse=True)
def nothing_open() -> None:
    """A test begins without the pools that an earlier one of its process has left open."""
    if pools.count():
        pools.run(pools.close_all)
