"""How a value of each kind looks inside a store."""

from __future__ import annotations

import base64
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from poolapp.managers.documents.kinds import Kind

MICROSECOND = timedelta(microseconds=1)


class Form(ABC):
    """Both ways between what Django prepares for a database and what a store holds. None never
    gets here, and arrays come element by element."""

    @abstractmethod
    def dump(self, kind: Kind, value: Any) -> Any:
        """What the store holds for a value as the field's ``get_prep_value`` returns it.

        Two values that are equal must look equal. TypeError or ValueError for one that the store
        can't hold.
        """

    unchanged: Mapping[Kind, type] = MappingProxyType({})
    """The kinds of which a value of exactly this type is held as it is."""

    @abstractmethod
    def load(self, kind: Kind, value: Any) -> Any:
        """What a database would give for it: the exact reverse of ``dump``."""


PLAIN: Mapping[Kind, type] = MappingProxyType(
    {
        Kind.TEXT: str,
        Kind.KEYWORD: str,
        Kind.BOOLEAN: bool,
        Kind.INTEGER: int,
        Kind.BIG_INTEGER: int,
    }
)
"""What every store holds as Python does."""


class JsonForm(Form):
    """Of JSON's own types, and ordered right as text where it is text.

    ======== =========================================================================
    DATETIME ``2024-02-29T12:00:00.000000Z``, in UTC; without the Z when USE_TZ is off
    DATE     ``2024-02-29``
    TIME     ``12:00:00.000000``
    DURATION microseconds
    DECIMAL  ``"1.5"``: text without an exponent and without needless zeros
    FLOAT    a number; ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` as text
    UUID     ``"8f14e45f-ceea-467f-a5d3-0d1c0e3a9f10"``
    BINARY   base64
    ======== =========================================================================
    """

    unchanged = PLAIN

    def dump(self, kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.DATETIME:
                return dump_datetime(value)
            case Kind.DATE:
                return value.isoformat()
            case Kind.TIME:
                return value.isoformat(timespec="microseconds")
            case Kind.DURATION:
                return value // MICROSECOND
            case Kind.DECIMAL:
                return dump_decimal(value)
            case Kind.FLOAT:
                return value if math.isfinite(value) else _NAMES[str(value)]
            case Kind.UUID:
                return str(value)
            case Kind.BINARY:
                return base64.b64encode(value).decode("ascii")
            case Kind.VECTOR:
                return [float(each) for each in value]
            case Kind.TEXT | Kind.KEYWORD | Kind.FILE | Kind.IP:
                if not isinstance(value, str):
                    raise TypeError(
                        f"a field of an unknown type prepares to {type(value).__name__!r}, not to "
                        "text: have its get_internal_type() name the Django field it is like"
                    )
                return value
        return value

    def load(self, kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.DATETIME:
                return load_datetime(value)
            case Kind.DATE:
                return date.fromisoformat(value)
            case Kind.TIME:
                return time.fromisoformat(value)
            case Kind.DURATION:
                return value * MICROSECOND
            case Kind.DECIMAL:
                return Decimal(value)
            case Kind.FLOAT:
                return float(value)
            case Kind.UUID:
                return UUID(value)
            case Kind.BINARY:
                return base64.b64decode(value)
        return value


_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def dump_datetime(value: datetime) -> str:
    if settings.USE_TZ:
        if timezone.is_naive(value):
            value = timezone.make_aware(value, timezone.get_default_timezone())
        value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds") + "Z"
    if timezone.is_aware(value):
        value = timezone.make_naive(value, timezone.get_default_timezone())
    return value.isoformat(timespec="microseconds")


def load_datetime(text: str) -> datetime:
    value = datetime.fromisoformat(text)
    if settings.USE_TZ and timezone.is_naive(value):
        return timezone.make_aware(value, timezone.get_default_timezone())
    if not settings.USE_TZ and timezone.is_aware(value):
        return timezone.make_naive(value, timezone.get_default_timezone())
    return value


def dump_decimal(value: Decimal) -> str:
    """The same text for equal numbers: ``1.50`` is ``1.5``, ``-0`` is ``0``."""
    if not value:
        return "0"
    if abs(value.adjusted()) > _LONGEST:
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
        # Not normalize(): that would round to the context's precision.
        return str(Decimal((sign, digits[: len(digits) - zeros], exponent + zeros)))
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


_LONGEST = 1000
"""Digits before an exponent is written after all."""
