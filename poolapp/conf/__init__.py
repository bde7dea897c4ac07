"""``POOLS`` in Django's settings, read, checked and handed to the registry.

There is one layer of settings so far. A later one (a file, the environment) goes behind it in
``layers`` and wins.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings

from poolapp.conf.faults import Fault, InvalidPoolError, paragraph
from poolapp.conf.reading import Declaration, Effective, Layer, effective, read
from poolapp.conf.verifying import verify
from poolapp.core.config import PoolConfig
from poolapp.core.registry import pools

__all__ = [
    "Declaration",
    "Effective",
    "Fault",
    "InvalidPoolError",
    "configure",
    "declaration",
    "effective_settings",
    "layers",
    "read",
    "verify",
]


class _Last:
    declaration: ClassVar[Declaration] = Declaration({}, (), {})


def layers() -> list[Layer]:
    """Where settings come from, the weakest first."""
    return [Layer("settings.POOLS", getattr(settings, "POOLS", {}))]


def configure() -> Declaration:
    """Read the settings and hand them to ``pools``. Never raises for what they say: a faulty
    alias raises InvalidPoolError when it is looked up. Connects to nothing."""
    _Last.declaration = found = read(layers())
    aliases = dict.fromkeys(fault.alias for fault in found.faults if fault.alias)
    pools.configure(
        found.configs,
        faults={alias: paragraph(found.faults_of(alias)) for alias in aliases},
        verify=_verdict,
        invalid=InvalidPoolError,
    )
    return found


def _verdict(config: PoolConfig) -> str:
    return paragraph(verify(config))


def declaration() -> Declaration:
    """What ``configure`` read last."""
    return _Last.declaration


def effective_settings(alias: str) -> list[Effective]:
    """The settings in force of an alias, secrets hidden. Raises InvalidPoolError."""
    return effective(pools.config(alias), _Last.declaration.given.get(alias))


def on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """Receiver of Django's ``setting_changed``, which its test tools send."""
    if setting in {"POOLS", "DATABASES"}:
        configure()
