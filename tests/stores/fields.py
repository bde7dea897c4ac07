"""Fields that a project might write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import models


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class PointField(models.CharField):  # type: ignore[type-arg]
    """Text in the database, a Point in Python."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 100)
        super().__init__(*args, **kwargs)

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else f"{value.x},{value.y}"

    def from_db_value(self, value: Any, expression: object, connection: object) -> Point | None:
        if value is None:
            return None
        x, y = value.split(",")
        return Point(int(x), int(y))


class ReversedField(models.Field):  # type: ignore[type-arg]
    """Of no type of Django's: it prepares to text."""

    def db_type(self, connection: object) -> str:
        return "text"

    def get_prep_value(self, value: str | None) -> str | None:
        return None if value is None else value[::-1]

    def from_db_value(self, value: Any, expression: object, connection: object) -> str | None:
        return None if value is None else value[::-1]
