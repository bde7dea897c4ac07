"""What only the backend itself can tell: whether it is there, and likes its settings."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from typing import Any

from poolapp.conf.faults import Fault
from poolapp.core.backend import BaseBackend
from poolapp.core.config import PoolConfig

DISTRIBUTION = "django-poolapp"


def verify(config: PoolConfig) -> list[Fault]:
    """Import the backend and ask it. Nothing connects; whatever goes wrong is a fault."""
    backend = _load(config)
    if isinstance(backend, Fault):
        return [backend]
    if backend.driver and importlib.util.find_spec(backend.driver.partition(".")[0]) is None:
        return [_no_driver(config, backend.driver, backend.extra)]
    try:
        faults = [
            Fault(
                code="E008",
                alias=config.alias,
                setting=problem.setting,
                message=problem.message.rstrip("."),
                hint=problem.hint,
            )
            for problem in backend.problems(config)
        ]
    except Exception as error:
        message = f"could not be checked: its problems() raised {type(error).__name__}"
        return [_fault(config, "E006", message, "That is a fault of the backend itself.")]
    if not any(fault.setting.startswith(("LOCATION", "DATABASE")) for fault in faults):
        faults += _scheme(config, backend)
    return faults


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
