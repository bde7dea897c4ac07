"""Django's system checks: of ``POOLS``, every fault at once, each with a hint, nothing connects;
whether the fleet has a place to meet; and, for ``check --deploy``, whether the way to the servers
is safe, whether the pools are told of the server's end, and whether the fleet may open more
connections than the servers let in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from poolapp import conf
from poolapp.asgi import PoolLifespan
from poolapp.conf.wrong import nearest
from poolapp.core.exceptions import PoolError
from poolapp.core.registry import pools
from poolapp.monitoring import fleet
from poolapp.monitoring.fleet.place import place


def check_pools(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """All that is wrong with ``POOLS``, then with what the backends think of it."""
    declared = conf.read(conf.layers())
    faults = [*declared.faults, *declared.warnings]
    for config in declared.configs.values():
        faults += conf.verify(config, declared)
    return [_message(fault) for fault in faults]


def _message(fault: conf.Fault) -> CheckMessage:
    kind = CheckWarning if fault.is_warning else Error
    return kind(fault.sentence, hint=fault.hint, obj="POOLS", id=f"poolapp.{fault.code}")


def check_exposures(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """For ``check --deploy``: passwords that go out unencrypted, certificates nobody verifies."""
    declared = conf.read(conf.layers())
    return [
        _message(fault)
        for config in declared.configs.values()
        for fault in conf.exposures(config, declared)
    ]


def check_fleet(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Whether the fleet can meet where ``POOLAPP`` says, and whether ``FLEET_MAX`` has a fleet."""
    where = place()
    if where is None:
        return [
            CheckWarning(
                f"POOLS[{alias!r}]['FLEET_MAX'] limits nothing: no fleet is configured.",
                hint="Name a Redis of POOLS for the workers to meet at: "
                "POOLAPP = {'FLEET': 'cache'}.",
                obj="POOLAPP",
                id="poolapp.W008",
            )
            for alias in pools
            if pools.config(alias).fleet_max is not None
        ]
    if where.alias in pools.faults:
        return []  # told by check_pools
    if where.alias not in pools:
        return [_no_meeting(where.alias, "names no pool", nearest(where.alias, list(pools)))]
    config = pools.config(where.alias)
    try:
        kind = import_string(config.backend).pool_class
    except (AttributeError, ImportError):
        kind = None
    if hasattr(kind, "execute") and hasattr(kind, "publish"):
        return []
    return [_no_meeting(where.alias, "is no Redis", "The workers meet at a Redis or Valkey.")]


def _no_meeting(alias: str, what: str, hint: str) -> CheckMessage:
    return Error(
        f"POOLAPP['FLEET'] is {alias!r}, which {what}.",
        hint=hint.replace("The keys are", "POOLS has"),
        obj="POOLAPP",
        id="poolapp.E013",
    )


def check_limits(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """For ``check --deploy``: whether the workers that run may open more connections than a server
    lets in.

    It asks the fleet's Redis, for two seconds at the most, and says nothing when there is none.
    """
    if place() is None:
        return []
    try:
        found = pools.run(fleet.read)
    except PoolError:  # a loop runs here
        return []
    return [
        CheckWarning(
            f"The pools {', '.join(map(repr, each.aliases))} are too large: {each.sentence}",
            hint="Lower MAX_SIZE, set FLEET_MAX, start fewer workers, or have the server let in "
            "more.",
            obj="POOLS",
            id="poolapp.W007",
        )
        for each in found.limits
        if each.exceeded
    ]


def check_lifespan(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Whether ``ASGI_APPLICATION`` closes the pools when its server ends.

    For ``check --deploy`` only, because it imports the project's ASGI module, with all that does.
    """
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path or not conf.read(conf.layers()).configs:
        return []
    try:
        closes = _answers_lifespan(import_string(path))
    except Exception as error:
        return [
            _no_lifespan(
                f"ASGI_APPLICATION {path!r} can't be imported ({type(error).__name__}: {error}), "
                "so nobody knows whether it closes the pools.",
                f"Try `import {path.rpartition('.')[0]}`.",
            )
        ]
    if closes:
        return []
    return [
        _no_lifespan(
            f"ASGI_APPLICATION {path!r} does not close the pools when its server shuts down.",
            "Wrap it in your asgi.py: `application = PoolLifespan(get_asgi_application())`, with "
            "`from poolapp.asgi import PoolLifespan`; a ProtocolTypeRouter may be wrapped, or get "
            "a key 'lifespan': PoolLifespan().",
        )
    ]


def _no_lifespan(sentence: str, hint: str) -> CheckMessage:
    return CheckWarning(sentence, hint=hint, obj="ASGI_APPLICATION", id="poolapp.W001")


def _answers_lifespan(application: Any) -> bool:
    """Whether lifespan messages reach a PoolLifespan, through whatever is wrapped around it."""
    seen: set[int] = set()
    left = [application]
    while left:
        each = left.pop()
        if isinstance(each, PoolLifespan):
            return True
        if not callable(each) or id(each) in seen:
            continue
        seen.add(id(each))
        routes = getattr(each, "application_mapping", None)  # Channels' ProtocolTypeRouter
        left += [routes.get("lifespan")] if isinstance(routes, dict) else _inside(each)
    return False


def _inside(wrapper: Any) -> list[Any]:
    """What an object holds in its attributes, a function in its closure."""
    found = list(getattr(wrapper, "__dict__", {}).values())
    for cell in getattr(wrapper, "__closure__", None) or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # it is empty
            continue
    return found
