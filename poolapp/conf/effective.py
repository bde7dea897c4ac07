"""What is in force, and where it came from; secrets hidden."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from poolapp.conf.database import DatabaseLocation
from poolapp.conf.reading import Given
from poolapp.conf.rules import RULES
from poolapp.core.asked import AskedLocations
from poolapp.core.config import Breaker, PoolConfig


@dataclasses.dataclass(frozen=True, slots=True)
class Effective:
    """One setting as it is in force: its value without secrets, and where it came from."""

    key: str
    """A key of the alias, or one option: ``"OPTIONS['timeout']"``."""
    text: str
    source: str


def effective(config: PoolConfig, given: Mapping[str, Given] | None) -> list[Effective]:
    """All settings of an alias. ``given`` is what its declaration says; None when it was
    registered in code."""
    found: list[Effective] = []
    for key, rule in RULES.items():
        if key == "LOCATION":
            found += _location(config, given)
        elif key == "OPTIONS":
            found += _options(config, given)
        else:
            found.append(Effective(key, _text(getattr(config, rule.field)), _source(key, given)))
    return found


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g} s"
    if isinstance(value, Breaker):
        return f"{value.failures} failures, {value.reset:g} s"
    return str(value)


def _location(config: PoolConfig, given: Mapping[str, Given] | None) -> Iterator[Effective]:
    places = ", ".join(location.shown for location in config.where())
    if isinstance(config.locations, DatabaseLocation):
        alias = repr(config.locations.alias)
        yield Effective("DATABASE", alias, _source("DATABASE", given))
        yield Effective("LOCATION", places, f"DATABASES[{alias}]")
    elif isinstance(config.locations, AskedLocations):
        text = f"what {config.locations!r} returns at each connect"
        yield Effective("LOCATION", text, _source("LOCATION", given))
    else:
        yield Effective("LOCATION", places or "none", _source("LOCATION", given))


def _options(config: PoolConfig, given: Mapping[str, Given] | None) -> Iterator[Effective]:
    """One by one, since each may come from elsewhere."""
    if not config.options:
        yield Effective("OPTIONS", "none", _source("OPTIONS", given))
    for name, value in config.options.shown().items():
        text = value if isinstance(value, str) else repr(value)
        yield Effective(f"OPTIONS[{name!r}]", text, _source("OPTIONS", given, name))


def _source(key: str, given: Mapping[str, Given] | None, name: str = "") -> str:
    if given is None:
        return "registered in code"
    return given[key].source_of(name) if key in given else "default"
