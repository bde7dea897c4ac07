"""The kinds of entries."""

from __future__ import annotations

from typing import Final

from django.db import models


class Kind(models.TextChoices):
    MODULE = "module", "module"
    CLASS = "class", "class"
    EXCEPTION = "exception", "exception"
    FUNCTION = "function", "function"
    METHOD = "method", "method"
    PROPERTY = "property", "property"


PLURALS: Final = {
    Kind.MODULE: "modules",
    Kind.CLASS: "classes",
    Kind.EXCEPTION: "exceptions",
    Kind.FUNCTION: "functions",
    Kind.METHOD: "methods",
    Kind.PROPERTY: "properties",
}
