"""Settings from environment variables: ``POOL_<ALIAS>_<KEY>``, and those a backend publishes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.utils.module_loading import import_string

from poolapp.conf import written
from poolapp.conf.faults import Fault
from poolapp.conf.reading import Layer
from poolapp.conf.rules import KEYS, RULES
from poolapp.conf.wrong import Wrong, nearest
from poolapp.core.backend import BaseBackend

PREFIX = "POOL_"
HEALTH_CHECK = "CONNECTION_POOL_HEALTH_CHECK"
MONITORING = "CONNECTION_POOL_MONITORING"

Environment = Mapping[str, str]


def layers(environment: Environment, beneath: Iterable[Layer]) -> list[Layer]:
    """A layer for each variable that is set, the weakest first: those for all aliases, those for
    the aliases of one kind of backend, those for one alias. A variable that is empty is not set.

    ``beneath`` is what the project declares elsewhere: its aliases, and their backends.
    """
    environment = {name: text.strip() for name, text in environment.items() if text.strip()}
    backends = backends_of(beneath)
    own = list(_of_one_alias(environment, backends))
    for layer in own:
        for alias, values in layer.pools.items():
            backends[alias] = values.get("BACKEND", backends.get(alias))
    return [*_for_all(environment, backends), *_of_one_kind(environment, backends), *own]


def backends_of(beneath: Iterable[Layer]) -> dict[str, Any]:
    """Each alias's dotted path, as far as the aliases are declared as they should be."""
    found: dict[str, Any] = {}
    for layer in beneath:
        if isinstance(layer.pools, Mapping):
            for alias, values in layer.pools.items():
                if isinstance(alias, str) and isinstance(values, Mapping):
                    found[alias] = values.get("BACKEND", found.get(alias))
    return found


# -- CONNECTION_POOL_... for all -------------------------------------------------------------------


def _for_all(environment: Environment, aliases: Iterable[str]) -> Iterator[Layer]:
    if HEALTH_CHECK in environment:
        text = environment[HEALTH_CHECK]
        switch = False if text == "0" else written.option(text) if text != "1" else 1
        if switch is not True:  # then the interval is as it would be
            seconds = None if switch is False else switch
            pools = {alias: {"HEALTH_INTERVAL": seconds} for alias in aliases}
            yield Layer(HEALTH_CHECK, pools)
    if monitoring(environment) is None:
        yield Layer(MONITORING, {}, (_unread(MONITORING, "must be on or off", "Leave it out."),))


def monitoring(environment: Environment) -> bool | None:
    """Whether the process's own listeners (logging, signals, health) are wanted; None when the
    variable can't be read."""
    found = written.flag(environment.get(MONITORING, "").strip() or "on")
    return found if isinstance(found, bool) else None


# -- the published names of a backend --------------------------------------------------------------


def _of_one_kind(environment: Environment, backends: Mapping[str, Any]) -> Iterator[Layer]:
    published = {alias: _published(path) for alias, path in backends.items()}
    order = dict.fromkeys(name for names in published.values() for name in names)
    for name in order:
        if name not in environment:
            continue
        pools: dict[str, dict[str, Any]] = {}
        faults = []
        for alias, names in published.items():
            if name in names:
                key, _, option = names[name].partition(".")
                read = written.option if option else RULES[key].written
                try:
                    value = read(environment[name])
                except Wrong as wrong:
                    inside = f"[{option!r}]" if option else ""
                    faults.append(_unreadable(alias, key + inside, wrong, name))
                else:
                    pools[alias] = {key: {option: value} if option else value}
        yield Layer(name, pools, tuple(faults))


def _published(path: Any) -> Mapping[str, str]:
    try:
        backend = import_string(path)
    except Exception:  # whoever verifies the alias tells what is wrong with its BACKEND
        return {}
    is_backend = isinstance(backend, type) and issubclass(backend, BaseBackend)
    return backend.environment if is_backend else {}


# -- POOL_<ALIAS>_<KEY> ----------------------------------------------------------------------------


def _of_one_alias(environment: Environment, declared: Iterable[str]) -> Iterator[Layer]:
    aliases: dict[str, list[str]] = {}
    for alias in declared:
        aliases.setdefault(_as_variable(alias), []).append(alias)
    names = sorted(name for name in environment if name.startswith(PREFIX))
    for name in names:
        alias, _, _ = name.removeprefix(PREFIX).rpartition("_BACKEND")
        if name.endswith("_BACKEND") and re.fullmatch(r"[A-Z][A-Z0-9_]*", alias):
            aliases.setdefault(alias, [alias.lower()])
    places: dict[str, str] = {}
    for name in names:
        rest = name.removeprefix(PREFIX)
        found = [
            (alias, rest.removeprefix(f"{alias}_"))
            for alias in sorted(aliases, key=len, reverse=True)
            if rest.startswith(f"{alias}_")
        ]
        good = next(((alias, key) for alias, key in found if key in KEYS), None)
        if good is None:
            yield Layer(name, {}, tuple(_foreign(name, found, aliases)))
            continue
        meant, key = aliases[good[0]], good[1]
        if len(meant) > 1:
            message = f"may be for {' and for '.join(map(repr, meant))}, which read alike"
            yield Layer(name, {}, (_unread(name, message, "Rename one of these aliases."),))
            continue
        (alias,) = meant
        faults = []
        if key in ("LOCATION", "DATABASE") and places.setdefault(alias, name) != name:
            message = f"and {places[alias]} exclude one another"
            faults.append(_unread(name, message, "Set one of them.", alias=alias))
        try:
            value = RULES[key].written(environment[name]) if key in RULES else environment[name]
        except Wrong as wrong:
            yield Layer(name, {alias: {}}, (*faults, _unreadable(alias, key, wrong, name)))
        else:
            yield Layer(name, {alias: {key: value}}, tuple(faults))


def _as_variable(alias: str) -> str:
    return alias.replace("-", "_").upper()


def _foreign(
    name: str, found: list[tuple[str, str]], aliases: Mapping[str, list[str]]
) -> Iterator[Fault]:
    """What a variable is told that sets nothing: it may be somebody else's, so that this is a
    warning at the most."""
    rest = name.removeprefix(PREFIX)
    if found:
        alias, key = found[0]
        message = f"sets nothing: {key!r} is no setting of pool {aliases[alias][0]!r}"
        yield _unread(name, message, nearest(key, KEYS), code="W003")
        return
    for key in KEYS:
        if rest.endswith(f"_{key}"):
            known = [alias for meant in aliases.values() for alias in meant]
            hint = "An alias is declared in POOLS, or by POOL_<ALIAS>_BACKEND."
            if known:
                tried = rest.removesuffix(f"_{key}")
                hint = nearest(tried, known).replace("The keys are", "The aliases are")
            message = "sets nothing: POOLS declares no such alias"
            yield _unread(name, message, hint, code="W004")
            return


def _unread(name: str, message: str, hint: str, *, code: str = "E010", alias: str = "") -> Fault:
    place = f"The environment variable {name}"
    return Fault(code=code, alias=alias, setting="", message=message, hint=hint, place=place)


def _unreadable(alias: str, setting: str, wrong: Wrong, name: str) -> Fault:
    hint = 'A list or mapping is written as JSON, as in {"name": 5}.'
    return Fault(
        code="E003", alias=alias, setting=setting, message=str(wrong), hint=hint, source=name
    )
