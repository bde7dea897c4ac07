"""Whether what ``@in_step`` names is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from poolapp.conf.wrong import nearest
from poolapp.instep.declaring import declared
from poolapp.managers.documents.manager import DocumentManager


def check_declared(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for model, names in declared().items():
        there = [
            name
            for base in model.__mro__
            for name, each in vars(base).items()
            if isinstance(each, DocumentManager)
        ]
        found += [
            Error(
                f"@in_step: {model._meta.label} has no document manager {name!r}",
                hint=nearest(name, there),
                obj=model,
                id="poolapp.E030",
            )
            for name in names
            if name not in there
        ]
    return found
