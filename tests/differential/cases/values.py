"""Values for every field."""

from __future__ import annotations

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.differential.models import (
    Colour,
    Level,
    Money,
)
from tests.differential.models.kinds import Mood
from tests.differential.worlds import moment


def everything(**more: Any) -> dict[str, Any]:
    return {
        "small": -5,
        "integer": 2**31 - 1,
        "big": -(2**63),
        "positive_small": 3,
        "positive": 4,
        "positive_big": 2**63 - 1,
        "boolean": True,
        "char": "it's 100% \\ ☕",
        "text": "a\nb\t$1",
        "slug": "a-b",
        "email": "a@b.example",
        "url": "https://b.example/%20",
        "date": datetime.date(2024, 2, 29),
        "moment": moment(2024, 3, 31, 1, 30, 0, 5),
        "time": datetime.time(23, 59, 59, 999999),
        "duration": timedelta(days=-1, microseconds=7),
        "decimal": Decimal("-12.340"),
        "float": 1e-7,
        "binary": b"\x00\x01\xff'",
        "ip": "::1",
        "uuid": uuid.UUID(int=99),
        "file": "a/b.txt",
        "path": "/tmp/x",
        "json": {"a": [1, None]},
        "django_json": {"d": Decimal("1.5")},
        "own_json": {"m": Money(5)},
        "colour": Colour.BLUE,
        "level": Level.LOW,
        "money": Money(77),
        "mood": Mood.BAD,
        "loud": "QuIeT",
        **more,
    }


def book(**more: Any) -> dict[str, Any]:
    return {"title": "New", "price": Decimal("9.99"), "pages": 10, **more}
