"""From the settings to a PoolConfig for each alias, and all that is wrong on the way."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from poolapp.conf.database import DatabaseLocation, database
from poolapp.conf.faults import Fault
from poolapp.conf.rules import KEYS, RULES, Wrong, nearest, shown
from poolapp.core.config import PoolConfig

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One place that settings come from: its name, and what stands there under each alias."""

    source: str
    pools: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where."""

    value: Any = dataclasses.field(repr=False)
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """What the project declares: the good aliases, the faults of the others, and the sources."""

    configs: Mapping[str, PoolConfig]
    faults: tuple[Fault, ...]
    given: Mapping[str, Mapping[str, Given]]

    def faults_of(self, alias: str) -> list[Fault]:
        """Those of one alias; a fault of ``POOLS`` itself is every alias's."""
        return [fault for fault in self.faults if fault.alias in (alias, "")]


def read(layers: Iterable[Layer]) -> Declaration:
    """Read all layers, a later one over an earlier one; no fault stops it."""
    faults: list[Fault] = []
    given: dict[str, dict[str, Given]] = {}
    for layer in layers:
        _merge(layer, given, faults)
    broken = {fault.alias for fault in faults}
    configs = {}
    for alias, values in given.items():
        config, wrong = _read_alias(alias, values)
        faults += wrong
        if config is not None and alias not in broken:
            configs[alias] = config
    return Declaration(configs, tuple(faults), given)


def _merge(layer: Layer, given: dict[str, dict[str, Given]], faults: list[Fault]) -> None:
    if not isinstance(layer.pools, Mapping):
        message = f"must be a dictionary of aliases, not {shown(layer.pools)}"
        faults.append(_fault("E001", "", "", message, "See the settings' documentation."))
        return
    for alias, values in layer.pools.items():
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            faults.append(
                _fault(
                    "E001",
                    alias if isinstance(alias, str) else repr(alias),
                    "",
                    "has a name that can't be used",
                    "An alias starts with a letter; letters, digits, '_' and '-' follow.",
                )
            )
        elif not isinstance(values, Mapping):
            message = f"must be a dictionary, not {shown(values)}"
            faults.append(_fault("E001", alias, "", message, "It has at least BACKEND."))
        else:
            own = given.setdefault(alias, {})
            own.update({key: Given(value, layer.source) for key, value in values.items()})


def _read_alias(alias: str, values: Mapping[str, Given]) -> tuple[PoolConfig | None, list[Fault]]:
    fields: dict[str, Any] = {"alias": alias}
    faults: list[Fault] = []
    for key, given in values.items():
        if key not in KEYS:
            hint = nearest(str(key), KEYS)
            faults.append(_fault("E002", alias, str(key), "is no setting of a pool", hint))
            continue
        rule = RULES.get(key)
        try:
            if rule is None:
                fields["locations"] = database(given.value)
            else:
                fields[rule.field] = rule.read(given.value)
        except* Wrong as group:
            for wrong in group.exceptions:
                assert isinstance(wrong, Wrong)
                code = "E009" if rule is None else "E002" if wrong.unknown else "E003"
                hint = wrong.hint or (rule.hint if rule else "As in 'default'.")
                faults.append(_fault(code, alias, key + wrong.inside, str(wrong), hint))
    faults += _missing(alias, values)
    if {"MIN_SIZE", "MAX_SIZE"}.isdisjoint(fault.setting for fault in faults):
        faults += _sizes(alias, fields)
    return (None if faults else PoolConfig(**fields)), faults


def _missing(alias: str, values: Mapping[str, Given]) -> list[Fault]:
    faults = []
    if "BACKEND" not in values:
        faults.append(_fault("E004", alias, "BACKEND", "is required", RULES["BACKEND"].hint))
    if "LOCATION" in values and "DATABASE" in values:
        message = "and DATABASE exclude one another"
        hint = "Keep DATABASE to take host, user, password and TLS from DATABASES, else LOCATION."
        faults.append(_fault("E004", alias, "LOCATION", message, hint))
    if "LOCATION" not in values and "DATABASE" not in values:
        message = "or DATABASE is required"
        hint = "Give the server's URL, or the alias of a PostgreSQL database of DATABASES."
        faults.append(_fault("E004", alias, "LOCATION", message, hint))
    return faults


def _sizes(alias: str, fields: Mapping[str, Any]) -> list[Fault]:
    low = fields.get("min_size", PoolConfig.__dataclass_fields__["min_size"].default)
    high = fields.get("max_size", PoolConfig.__dataclass_fields__["max_size"].default)
    if low <= high:
        return []
    default = "" if "max_size" in fields else ", the default"
    message = f"is {low}, more than MAX_SIZE, which is {high}{default}"
    hint = "Raise MAX_SIZE or lower MIN_SIZE."
    return [_fault("E005", alias, "MIN_SIZE", message, hint)]


def _fault(code: str, alias: str, setting: str, message: str, hint: str) -> Fault:
    return Fault(code=code, alias=alias, setting=setting, message=message, hint=hint)


@dataclasses.dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force: its value without secrets, and where it came from."""

    key: str
    text: str
    source: str


def effective(config: PoolConfig, given: Mapping[str, Given] | None) -> list[Effective]:
    """All settings of an alias. ``given`` is what its declaration says; None when it was
    registered in code."""
    found = []
    for key, rule in RULES.items():
        value = getattr(config, rule.field)
        if key == "LOCATION":
            if isinstance(value, DatabaseLocation):
                found.append(Effective("DATABASE", repr(value.alias), _source("DATABASE", given)))
            text = ", ".join(location.shown for location in config.where()) or "none"
            source = (
                f"DATABASES[{value.alias!r}]"
                if isinstance(value, DatabaseLocation)
                else _source(key, given)
            )
        elif key == "BREAKER":
            text = "None" if value is None else f"{value.failures} failures, {value.reset:g} s"
            source = _source(key, given)
        elif key == "OPTIONS":
            text = ", ".join(f"{name}={each!r}" for name, each in value.shown().items()) or "none"
            text = text.replace("'***'", "***")
            source = _source(key, given)
        else:
            text = f"{value:g} s" if isinstance(value, float) else str(value)
            source = _source(key, given)
        found.append(Effective(key, text, source))
    return found


def _source(key: str, given: Mapping[str, Given] | None) -> str:
    if given is None:
        return "registered in code"
    return given[key].source if key in given else "default"
