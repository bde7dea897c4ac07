"""Model packages other than this one: `POOLAPP_DIFFERENTIAL=package,package`.

Such a package is a Django app. What it may have:

- ``cases``, with a ``CASES``: a list of `Case`, as `Cases` gathers it;
- ``data``, with a ``load()`` that fills its tables.

Each of its models is asked generated filters as well.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.differential.case import Case
from tests.differential.database import installed

VARIABLE = "POOLAPP_DIFFERENTIAL"


def packages() -> list[str]:
    """Those that are asked for."""
    return [each.strip() for each in os.environ.get(VARIABLE, "").split(",") if each.strip()]


def cases_of(package: str) -> list[Case]:
    found = _module(package, "cases")
    return list(found.CASES) if found else []


def load(package: str) -> None:
    """Fill the tables."""
    found = _module(package, "data")
    if found:
        found.load()


def _module(package: str, name: str) -> Any:
    if find_spec(f"{package}.{name}") is None:
        return None
    # A module of models can be imported only while its app is installed.
    with installed(package):
        return import_module(f"{package}.{name}")
