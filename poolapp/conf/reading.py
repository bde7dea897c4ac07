"""From the settings to a PoolConfig for each alias, and all that is wrong on the way."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from poolapp.conf.database import database
from poolapp.conf.faults import SETTINGS, Fault, origin
from poolapp.conf.rules import KEYS, RULES
from poolapp.conf.wrong import Wrong, nearest, shown
from poolapp.core.config import PoolConfig

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One place that settings come from: its name, what stands there under each alias, and what
    was found wrong when it was read."""

    source: str
    pools: Any = dataclasses.field(repr=False)
    faults: tuple[Fault, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, and where."""

    value: Any = dataclasses.field(repr=False)
    source: str
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The source of each name of ``OPTIONS``."""

    def source_of(self, name: str) -> str:
        return self.names.get(name, self.source)


@dataclasses.dataclass(frozen=True, slots=True)
class Declaration:
    """What the project declares: the good aliases, the faults of the others, and the sources."""

    configs: Mapping[str, PoolConfig]
    faults: tuple[Fault, ...]
    given: Mapping[str, Mapping[str, Given]]
    warnings: tuple[Fault, ...] = ()
    """What keeps no alias from working."""

    def faults_of(self, alias: str) -> list[Fault]:
        """Those of one alias; a fault of ``POOLS`` itself is every alias's."""
        return [fault for fault in self.faults if fault.alias in (alias, "")]

    def source_of(self, alias: str, setting: str) -> str:
        """Where a setting was written, as in ``"OPTIONS['timeout']"``; ``""`` for a default."""
        key, _, inside = setting.partition("[")
        given = self.given.get(alias, {}).get(key)
        return given.source_of(inside.rstrip("]").strip("'\"")) if given else ""


def read(layers: Iterable[Layer]) -> Declaration:
    """Read all layers, a later one over an earlier one; no fault stops it."""
    found: list[Fault] = []
    given: dict[str, dict[str, Given]] = {}
    for layer in layers:
        found += layer.faults
        _merge(layer, given, found)
    broken = {fault.alias for fault in found if not fault.is_warning}
    configs = {}
    for alias, values in given.items():
        config, wrong = _read_alias(alias, values)
        found += wrong
        if config is not None and alias not in broken:
            configs[alias] = config
    faults = tuple(fault for fault in found if not fault.is_warning)
    warnings = tuple(fault for fault in found if fault.is_warning)
    return Declaration(configs, faults, given, warnings)


def _merge(layer: Layer, given: dict[str, dict[str, Given]], faults: list[Fault]) -> None:
    if not isinstance(layer.pools, Mapping):
        message = f"must be a dictionary of aliases, not {shown(layer.pools)}"
        hint = "See the settings' documentation."
        faults.append(_fault("E001", "", "", message, hint, layer.source))
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
                    layer.source,
                )
            )
        elif not isinstance(values, Mapping):
            message = f"must be a dictionary, not {shown(values)}"
            hint = "It has at least BACKEND."
            faults.append(_fault("E001", alias, "", message, hint, layer.source))
        else:
            _lay_over(given.setdefault(alias, {}), values, layer.source)


def _lay_over(below: dict[str, Given], values: Mapping[str, Any], source: str) -> None:
    """``OPTIONS`` are merged name by name. ``LOCATION`` and ``DATABASE`` answer one question."""
    if not {"LOCATION", "DATABASE"}.isdisjoint(values):
        below.pop("LOCATION", None)
        below.pop("DATABASE", None)
    for key, value in values.items():
        names = {}
        if key == "OPTIONS" and isinstance(value, Mapping):
            names = dict.fromkeys(value, source)
            before = below.get(key)
            if before is not None and isinstance(before.value, Mapping):
                value = {**before.value, **value}  # noqa: PLW2901
                names = {**before.names, **names}
        below[key] = Given(value, source, names)


def _read_alias(alias: str, values: Mapping[str, Given]) -> tuple[PoolConfig | None, list[Fault]]:
    fields: dict[str, Any] = {"alias": alias}
    faults: list[Fault] = []
    for key, given in values.items():
        if key not in KEYS:
            hint = nearest(str(key), KEYS)
            faults.append(
                _fault("E002", alias, str(key), "is no setting of a pool", hint, given.source)
            )
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
                setting = key + wrong.inside
                faults.append(_fault(code, alias, setting, str(wrong), hint, given.source))
    faults += _missing(alias, values)
    if {"MIN_SIZE", "MAX_SIZE"}.isdisjoint(fault.setting for fault in faults):
        faults += _sizes(alias, fields, values)
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


def _sizes(alias: str, fields: Mapping[str, Any], values: Mapping[str, Given]) -> Iterator[Fault]:
    low = fields.get("min_size", PoolConfig.__dataclass_fields__["min_size"].default)
    high = fields.get("max_size", PoolConfig.__dataclass_fields__["max_size"].default)
    if low > high:
        beside = origin(values["MAX_SIZE"].source) if "MAX_SIZE" in values else ", the default"
        message = f"is {low}, more than MAX_SIZE, which is {high}{beside}"
        hint = "Raise MAX_SIZE or lower MIN_SIZE."
        yield _fault("E005", alias, "MIN_SIZE", message, hint, values["MIN_SIZE"].source)


def _fault(
    code: str, alias: str, setting: str, message: str, hint: str, source: str = SETTINGS
) -> Fault:
    return Fault(code=code, alias=alias, setting=setting, message=message, hint=hint, source=source)
