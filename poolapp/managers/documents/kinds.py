"""What a model's field is to a store that knows nothing of Django."""

from __future__ import annotations

import functools
from enum import Enum, auto
from typing import Any

from django.db import NotSupportedError
from django.db.models import Field


class Kind(Enum):
    """What a store has to know of a field to map, index and compare it."""

    TEXT = auto()
    KEYWORD = auto()
    INTEGER = auto()
    """Within 32 bits with sign, as far as the field's own validators go."""
    BIG_INTEGER = auto()
    FLOAT = auto()
    DECIMAL = auto()
    BOOLEAN = auto()
    DATE = auto()
    TIME = auto()
    DATETIME = auto()
    DURATION = auto()
    UUID = auto()
    IP = auto()
    BINARY = auto()
    JSON = auto()
    FILE = auto()
    ARRAY = auto()
    """Of what, says ``kind_of(field.base_field)``."""
    VECTOR = auto()
    """A list of floats to search by similarity."""


_KINDS = {
    "AutoField": Kind.INTEGER,
    "BigAutoField": Kind.BIG_INTEGER,
    "SmallAutoField": Kind.INTEGER,
    "IntegerField": Kind.INTEGER,
    "SmallIntegerField": Kind.INTEGER,
    "BigIntegerField": Kind.BIG_INTEGER,
    "PositiveIntegerField": Kind.INTEGER,
    "PositiveSmallIntegerField": Kind.INTEGER,
    "PositiveBigIntegerField": Kind.BIG_INTEGER,
    "FloatField": Kind.FLOAT,
    "DecimalField": Kind.DECIMAL,
    "BooleanField": Kind.BOOLEAN,
    "DateField": Kind.DATE,
    "TimeField": Kind.TIME,
    "DateTimeField": Kind.DATETIME,
    "DurationField": Kind.DURATION,
    "UUIDField": Kind.UUID,
    "GenericIPAddressField": Kind.IP,
    "BinaryField": Kind.BINARY,
    "JSONField": Kind.JSON,
    "HStoreField": Kind.JSON,
    "FileField": Kind.FILE,
    "ImageField": Kind.FILE,
    "FilePathField": Kind.KEYWORD,
    "CharField": Kind.KEYWORD,
    "SlugField": Kind.KEYWORD,
    "TextField": Kind.TEXT,
    "ArrayField": Kind.ARRAY,
    "VectorField": Kind.VECTOR,
}

TEXTS = frozenset({Kind.TEXT, Kind.KEYWORD, Kind.FILE, Kind.IP})
"""Kinds that look-ups such as ``contains`` are for."""

INTEGERS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER})


@functools.cache
def kind_of(field: Field[Any, Any]) -> Kind:
    """The kind of a concrete field, by its ``get_internal_type()``; of a relation that of the
    field it points to.

    A field of one's own that has no internal type of Django's, and no base class with one, counts
    as KEYWORD: its ``get_prep_value`` has to return text. Raises NotSupportedError for ranges and
    for composite keys.
    """
    if field.remote_field is not None:
        return kind_of(field.target_field)  # type: ignore[attr-defined]
    if getattr(field, "generated", False):
        return kind_of(field.output_field)  # type: ignore[attr-defined]
    name = field.get_internal_type()
    if name.endswith("RangeField") or name == "CompositePrimaryKey":
        raise NotSupportedError(
            f"{field} is a {name}, which a document can't hold; use two fields, or a JSONField"
        )
    return _KINDS.get(name, Kind.KEYWORD)
