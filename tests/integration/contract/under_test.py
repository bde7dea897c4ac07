"""The stores that the contract is tested with: one module ``store_*.py`` of this package each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StoreUnderTest:
    """``UNDER_TEST`` of its module.

    ``manager(alias, place)`` makes the manager of Article: what it writes has to be found by the
    next query at once. ``cannot`` are the names of the abilities that it has to refuse with
    NotSupportedError: see ``abilities``. ``service`` is the name of its server (``server_urls``).
    ``otherwise`` are those that it has in another way, by Django's own names, of which its own
    tests tell; only a store without any is tested for outages and round trips here.
    ``everything(alias, place)`` makes that of Everything, where it differs; ``refuses`` are the
    fields of which the store refuses some of the extreme values of ``tests.stores.values``.
    ``rounds`` says that the tests' own server, a stand-in, rounds numbers of many digits.
    ``url(server_url, place)`` may take a database or bucket of the test's own.
    """

    name: str
    service: str
    backend: str
    manager: Callable[[str, str], Any]
    cannot: frozenset[str] = frozenset()
    otherwise: frozenset[str] = frozenset()
    everything: Callable[[str, str], Any] | None = None
    refuses: frozenset[str] = frozenset()
    rounds: bool = False
    url: Callable[[str, str], str] = lambda url, place: url
    options: Mapping[str, Any] = field(default_factory=dict)
    order: int = 0
    """Of its column in the table."""


def stores_under_test() -> list[StoreUnderTest]:
    found = [
        importlib.import_module(f"{__package__}.{module.name}").UNDER_TEST
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if module.name.startswith("store_")
    ]
    return sorted(found, key=lambda each: each.order)
