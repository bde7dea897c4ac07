"""What only the backend itself can tell: whether it is there, and likes its settings."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import re
from typing import Any

from poolapp.conf.faults import Fault
from poolapp.conf.reading import Declaration
from poolapp.conf.rules import LocationFunction
from poolapp.conf.wrong import Wrong
from poolapp.core.asked import AskedLocations
from poolapp.core.backend import BaseBackend, Problem
from poolapp.core.config import PoolConfig

DISTRIBUTION = "django-poolapp"


def verify(config: PoolConfig, declared: Declaration | None = None) -> list[Fault]:
    """Import the backend and ask it. Nothing connects; whatever goes wrong is a fault.

    With what the project has ``declared``, a fault tells where the setting was written.
    """
    faults = _faults(config)
    if declared is None:
        return faults
    return [
        dataclasses.replace(each, source=declared.source_of(each.alias, each.setting))
        for each in faults
    ]


def _faults(config: PoolConfig) -> list[Fault]:
    backend = _load(config)
    if isinstance(backend, Fault):
        return [backend]
    if backend.driver and importlib.util.find_spec(backend.driver.partition(".")[0]) is None:
        return [_no_driver(config, backend.driver, backend.extra)]
    try:
        problems = backend.problems(config)
    except Exception as error:
        message = f"could not be checked: its problems() raised {type(error).__name__}"
        return [_fault(config, "E006", message, "That is a fault of the backend itself.")]
    faults = [_told(config, "E008", problem) for problem in problems]
    if isinstance(config.locations, AskedLocations) and not config.where():
        # Where to connect to is not known before somebody connects.
        faults = [fault for fault in faults if not fault.setting.startswith("LOCATION")]
        faults += _function(config, config.locations)
    elif not any(fault.setting.startswith(("LOCATION", "DATABASE")) for fault in faults):
        faults += _scheme(config, backend)
    return faults


def exposures(config: PoolConfig, declared: Declaration) -> list[Fault]:
    """What the backend thinks of the way to the server: warnings for a deployment. Nothing where
    the backend can't be asked, which ``verify`` tells."""
    backend = _load(config)
    if isinstance(backend, Fault):
        return []
    try:
        found = backend.exposures(config)
    except Exception as error:
        message = f"could not be checked: its exposures() raised {type(error).__name__}"
        return [_fault(config, "W005", message, "That is a fault of the backend itself.")]
    return [
        dataclasses.replace(
            _told(config, _EXPOSURES[each.kind], each),
            source=declared.source_of(config.alias, each.setting),
        )
        for each in found
    ]


_EXPOSURES = {"plaintext": "W005", "unverified": "W006"}


def _told(config: PoolConfig, code: str, problem: Problem) -> Fault:
    return Fault(
        code=code,
        alias=config.alias,
        setting=problem.setting,
        message=problem.message.rstrip("."),
        hint=problem.hint,
    )


def _function(config: PoolConfig, locations: AskedLocations) -> list[Fault]:
    if not isinstance(locations.function, LocationFunction):
        return []
    try:
        locations.function.load()
    except Wrong as wrong:
        hint = "LOCATION is a URL, 'scheme://host', or the dotted path of a function."
        problem = Problem(setting="LOCATION", message=str(wrong), hint=hint)
        return [_told(config, "E006", problem)]
    return []


def _load(config: PoolConfig) -> type[BaseBackend[Any]] | Fault:
    module_name, _, name = config.backend.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] != module_name.partition(".")[0]:
            return _no_driver(config, missing, "")
        message = f"can't be imported: there is no module {missing!r}"
        return _fault(config, "E006", message, "Check the spelling of the dotted path.")
    except Exception as error:
        message = f"can't be imported: {module_name!r} raised {type(error).__name__}: {error}"
        return _fault(config, "E006", config.scrub(message), f"Try `import {module_name}`.")
    backend = getattr(module, name, None)
    if backend is None:
        message = f"can't be imported: module {module_name!r} has no {name!r}"
        return _fault(config, "E006", message, "Check the spelling of the dotted path.")
    if not (isinstance(backend, type) and issubclass(backend, BaseBackend)):
        message = f"names {name!r}, which is no subclass of poolapp.BaseBackend"
        return _fault(config, "E006", message, "A backend is a class derived from BaseBackend.")
    return backend


def _no_driver(config: PoolConfig, driver: str, extra: str) -> Fault:
    extra = extra or _extra_of(driver)
    package = f"'{DISTRIBUTION}[{extra}]'" if extra else driver
    message = f"needs the driver {driver!r}, which is not installed"
    return _fault(config, "E007", message, f"Run `pip install {package}`.")


def _extra_of(driver: str) -> str:
    """The extra of this distribution that brings a driver; ``""`` when none does."""
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    for requirement in requirements:
        found = re.match(r"([\w.-]+).*\bextra\s*==\s*['\"]([\w-]+)['\"]", requirement)
        if found and found[1].replace("-", "_").lower() == driver.lower():
            return found[2]
    return ""


def _scheme(config: PoolConfig, backend: type[BaseBackend[Any]]) -> list[Fault]:
    wrong = sorted({location.scheme for location in config.where()} - set(backend.schemes))
    if not backend.schemes or not wrong:
        return []
    known = " or ".join(f"{scheme}://" for scheme in backend.schemes)
    return [
        Fault(
            code="E008",
            alias=config.alias,
            setting="LOCATION",
            message=f"has the scheme {wrong[0]!r}, which {backend.__name__} does not speak",
            hint=f"A URL of this backend starts with {known}.",
        )
    ]


def _fault(config: PoolConfig, code: str, message: str, hint: str) -> Fault:
    return Fault(code=code, alias=config.alias, setting="BACKEND", message=message, hint=hint)
