"""``POOLS``: from Django's settings, one YAML file and the environment, read, checked and handed to
the registry."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from poolapp.conf import environment, file
from poolapp.conf.effective import Effective, effective
from poolapp.conf.faults import SETTINGS, Fault, InvalidPoolError, paragraph
from poolapp.conf.reading import Declaration, Layer, read
from poolapp.conf.verifying import exposures, verify
from poolapp.conf.wrong import nearest, shown
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
    "exposures",
    "layers",
    "listens",
    "read",
    "verify",
]

FILE = "POOLAPP_FILE"
"""The environment variable that takes the place of ``POOLAPP["FILE"]``."""

_OWN_KEYS = ("FILE", "FLEET", "FLEET_NAME", "LOG_EVERY", "OTEL", "TRACE")
"""Of the setting ``POOLAPP``."""

_TEXTS = {
    "FLEET": "It names the alias of a Redis pool.",
    "FLEET_NAME": "It sets fleets apart that share one Redis.",
}

_FLAGS = {
    "OTEL": "False: OpenTelemetry is given no metrics.",
    "TRACE": "True: OpenTelemetry is given a span for each connect, and for each wait.",
}


class _Last:
    declaration: ClassVar[Declaration] = Declaration({}, (), {})


def layers() -> list[Layer]:
    """Where settings come from, the weakest first: the settings, the file, the environment."""
    found = [Layer(SETTINGS, getattr(settings, "POOLS", {}), tuple(_own_faults()))]
    path = os.environ.get(FILE) or _own().get("FILE")
    if isinstance(path, str | Path) and str(path):
        backends = environment.backends_of(found)
        found.append(file.layer(Path(path), os.environ, backends))
    return found + environment.layers(os.environ, found)


def _own() -> dict[str, Any]:
    own = getattr(settings, "POOLAPP", {})
    return own if isinstance(own, dict) else {}


def _own_faults() -> list[Fault]:
    """What is wrong with the setting ``POOLAPP`` itself."""
    own = getattr(settings, "POOLAPP", {})
    if not isinstance(own, dict):
        hint = "As in POOLAPP = {'FILE': BASE_DIR / 'pools.yaml'}."
        return [_own_fault("POOLAPP", f"must be a dictionary, not {shown(own)}", hint)]
    faults = [
        _own_fault(f"POOLAPP[{key!r}]", "is no setting", nearest(str(key), _OWN_KEYS))
        for key in own
        if key not in _OWN_KEYS
    ]
    faults += [
        _own_fault(f"POOLAPP[{key!r}]", f"must be a text, not {shown(own[key])}", hint)
        for key, hint in _TEXTS.items()
        if not isinstance(own.get(key, ""), str)
    ]
    faults += [
        _own_fault(f"POOLAPP[{key!r}]", f"must be True or False, not {shown(own[key])}", hint)
        for key, hint in _FLAGS.items()
        if not isinstance(own.get(key, False), bool)
    ]
    every = own.get("LOG_EVERY")
    is_number = isinstance(every, int | float) and not isinstance(every, bool)
    if every is not None and not (is_number and 1 <= every < math.inf):
        message = f"must be a number of seconds, at least 1, not {shown(every)}"
        hint = "So often the statistics are logged; None is never."
        faults.append(_own_fault("POOLAPP['LOG_EVERY']", message, hint))
    path = own.get("FILE", "")
    if path is not None and not isinstance(path, str | Path):
        message = f"must be the path of a YAML file, not {shown(path)}"
        faults.append(_own_fault("POOLAPP['FILE']", message, "None is no file."))
    return faults


def _own_fault(place: str, message: str, hint: str) -> Fault:
    return Fault(code="E012", alias="", setting="", message=message, hint=hint, place=place)


def listens() -> bool:
    """Whether logging, signals and health are to hear what happens in the pools; what can't be
    read in ``CONNECTION_POOL_MONITORING`` is a fault, and no reason to keep silent."""
    return environment.monitoring(os.environ) is not False


def configure() -> Declaration:
    """Read the settings and hand them to ``pools``. Never raises for what they say: a faulty
    alias raises InvalidPoolError when it is looked up. Connects to nothing."""
    _Last.declaration = found = read(layers())
    aliases = dict.fromkeys(fault.alias for fault in found.faults if fault.alias)
    general = [fault for fault in found.faults if not fault.alias]
    pools.configure(
        found.configs,
        faults={alias: paragraph(found.faults_of(alias)) for alias in aliases},
        general_fault=paragraph(general),
        verify=_verdict,
        invalid=InvalidPoolError,
    )
    return found


def _verdict(config: PoolConfig) -> str:
    return paragraph(verify(config, _Last.declaration))


def declaration() -> Declaration:
    """What ``configure`` read last."""
    return _Last.declaration


def effective_settings(alias: str) -> list[Effective]:
    """The settings in force of an alias, secrets hidden. Raises InvalidPoolError."""
    return effective(pools.config(alias), _Last.declaration.given.get(alias))


def on_setting_changed(*, setting: str, **kwargs: Any) -> None:
    """Receiver of Django's ``setting_changed``, which its test tools send."""
    if setting in {"POOLS", "POOLAPP", "DATABASES"}:
        configure()
