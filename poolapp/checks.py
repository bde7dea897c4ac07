"""Django's system checks of ``POOLS``: every fault at once, each with a hint, nothing connects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import connections

from poolapp import conf
from poolapp.conf.database import CHANGES_THE_SESSION, DatabaseLocation


def check_pools(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """All that is wrong with ``POOLS``, then with what the backends think of it."""
    declared = conf.read(conf.layers())
    faults = list(declared.faults)
    for config in declared.configs.values():
        faults += conf.verify(config)
    messages: list[CheckMessage] = [
        Error(fault.sentence, hint=fault.hint, obj="POOLS", id=f"poolapp.{fault.code}")
        for fault in faults
    ]
    for config in declared.configs.values():
        if isinstance(config.locations, DatabaseLocation):
            messages += _left_out(config.alias, config.locations.alias)
    return messages


def _left_out(alias: str, database: str) -> list[CheckMessage]:
    options = connections.settings[database].get("OPTIONS") or {}
    return [
        CheckWarning(
            f"DATABASES[{database!r}]['OPTIONS'][{name!r}] does not reach the connections of pool "
            f"{alias!r}.",
            hint="Django sends it on its own connections only; for the pool, set it at the server "
            "(ALTER ROLE ... SET) or in an `init` of the pool's OPTIONS.",
            obj="POOLS",
            id="poolapp.W002",
        )
        for name in CHANGES_THE_SESSION
        if options.get(name) is not None
    ]
