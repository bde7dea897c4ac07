"""Running the tests on several worker processes, by pytest-xdist's `-n`: a plugin, loaded by
`-p tests.workers`. Most tests wait for servers, so there may be more workers than cores.

What stays together on one worker, in its order: the tests of a class, and those of a file that are
in none. Tests that are dear and alike may each go their own way; files that share something dear
stay together.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

APART = {
    "tests/acceptance/test_servers.py",
    "tests/integration/test_celery.py",
    "tests/acceptance/test_demo_command.py::test_a_signal_at_any_stage_ends_it_cleanly",
    "tests/acceptance/test_pythons.py::test_scenarios_of_loops_on_uvloop",
}
"""Files, and tests with many cases."""

TOGETHER = {
    "tests/acceptance/test_demo_browser.py": "demo",
    "tests/acceptance/test_demo_live.py": "demo",
    "tests/acceptance/test_demo_reindex.py": "demo",
    "tests/acceptance/test_demo_sync.py": "demo",
    "tests/integration/test_demo_metrics.py": "demo",
    "tests/integration/test_demo_pages.py": "demo",
    "tests/integration/test_demo_stores.py": "demo",
}
"""Files to what they share, a fixture of the session."""


def is_controller(config: pytest.Config) -> bool:
    """Whether the tests run elsewhere: in workers that this process starts."""
    options = config.known_args_namespace
    asked = getattr(options, "numprocesses", None) or getattr(options, "tx", None)
    return bool(asked) and "PYTEST_XDIST_WORKER" not in os.environ


def unit_of(nodeid: str) -> str:
    """The name of the unit of work that a test belongs to."""
    test = nodeid.partition("[")[0]
    file = test.partition("::")[0]
    if test in APART or file in APART:
        return nodeid
    return TOGETHER.get(file) or test.rpartition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # pytest-xdist's own groups, `--dist loadgroup`, do nothing under pytest 9.2.
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Have the workers run as this process does: `-X dev` is not inherited."""
    if sys.flags.dev_mode:
        for spec in specs:
            spec.python = f"{sys.executable} -X dev"
