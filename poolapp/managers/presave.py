"""What a field does to its value when an instance is saved."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import DateField, DateTimeField, Field, TimeField

_CLOCKS: Final = tuple(each.pre_save for each in (DateField, DateTimeField, TimeField))
"""These set the time it is where they are told to, and else do nothing."""


def sets_the_time(field: Field[Any, Any]) -> bool:
    """Whether it is one of Django's clocks, and told to set the time it is."""
    return type(field).pre_save in _CLOCKS and bool(
        field.auto_now or field.auto_now_add  # type: ignore[attr-defined]
    )


def only_reads(field: Field[Any, Any]) -> bool:
    """Whether the attribute is taken as it is."""
    return type(field).pre_save in (Field.pre_save, *_CLOCKS) and not sets_the_time(field)
