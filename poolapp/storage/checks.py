"""What is wrong with the storages on aliases of POOLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.files.storage import InvalidStorageError, storages

from poolapp.storage.s3 import S3Storage


def check_storages(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A system check of ``STORAGES``."""
    found: list[CheckMessage] = []
    for name in settings.STORAGES:
        try:
            storage = storages[name]
        except InvalidStorageError:  # Django says so when it is used
            continue
        if isinstance(storage, S3Storage):
            wrong, hint = storage.fault()
            if wrong:
                message = f"STORAGES[{name!r}] {wrong}."
                found.append(Error(message, hint=hint, obj="STORAGES", id="poolapp.E021"))
    return found
