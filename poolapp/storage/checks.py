"""What is wrong with the storages on aliases of POOLS. Nothing is made, and nothing connects."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from poolapp.backends.s3 import S3Backend
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.registry import pools


def fault_of(alias: Any) -> tuple[str, str]:
    """What is wrong with a storage on this alias, and what to do; ``("", "")`` when nothing is."""
    try:
        config = pools.config(alias)
    except (ConfigurationError, TypeError) as error:
        return f"can't use its pool: {error}", "'pool' names an S3 alias of POOLS."
    kind = import_string(config.backend) if "." in config.backend else object
    if issubclass(kind, S3Backend):
        return "", ""
    return (
        f"has a pool, {alias!r}, that is no S3 alias",
        "Name an alias of POOLS whose BACKEND is 'poolapp.backends.s3.S3Backend'.",
    )


def check_storages(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A system check of ``STORAGES``."""
    from poolapp.storage.s3 import S3Storage

    found: list[CheckMessage] = []
    for name, declared in settings.STORAGES.items():
        try:
            kind = import_string(declared["BACKEND"])
        except (ImportError, KeyError, TypeError):  # Django says so when it is used
            continue
        if not (isinstance(kind, type) and issubclass(kind, S3Storage)):
            continue
        wrong, hint = _fault(kind, declared.get("OPTIONS") or {})
        if wrong:
            message = f"STORAGES[{name!r}] {wrong}."
            found.append(Error(message, hint=hint, obj="STORAGES", id="poolapp.E021"))
    return found


def _fault(kind: type, options: dict[str, Any]) -> tuple[str, str]:
    signature = inspect.signature(kind.__init__)  # type: ignore[misc]
    if any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
        unknown = "" if "pool" in options else "missing a required argument: 'pool'"
    else:
        unknown = ""
        try:
            signature.bind(None, **options)
        except TypeError as error:
            unknown = str(error)
    if unknown:
        return f"has other OPTIONS than it takes: {unknown}", "See the parameters of S3Storage."
    return fault_of(options["pool"]) if "pool" in options else ("", "")
