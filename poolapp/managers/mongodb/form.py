"""How values look in documents: Python's own types where BSON has a type of its own for them."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.utils import timezone

from poolapp.managers.documents.forms import MICROSECOND, PLAIN, Form
from poolapp.managers.documents.kinds import Kind

_MIDNIGHT = time()


class NativeForm(Form):
    """DATETIME is a naive ``datetime`` (in UTC when USE_TZ is on), DATE one at midnight, TIME and
    DURATION are microseconds, BINARY is ``bytes``; all else is as Django prepares it. What BSON has
    no type for, the codec takes apart."""

    unchanged = MappingProxyType(
        {**PLAIN, Kind.FLOAT: float, Kind.DECIMAL: Decimal, Kind.UUID: uuid.UUID}
    )

    def dump(self, kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.DATETIME:
                return _naive(value)
            case Kind.DATE:
                return datetime.combine(value, _MIDNIGHT)
            case Kind.TIME:
                return (
                    (value.hour * 60 + value.minute) * 60 + value.second
                ) * 1_000_000 + value.microsecond
            case Kind.DURATION:
                return value // MICROSECOND
            case Kind.BINARY:
                return bytes(value)
            case Kind.VECTOR:
                return [float(each) for each in value]
            case Kind.TEXT | Kind.KEYWORD | Kind.FILE | Kind.IP:
                if not isinstance(value, str):
                    raise TypeError(
                        f"a field of an unknown type prepares to {type(value).__name__!r}, not to "
                        "text: have its get_internal_type() name the Django field it is like"
                    )
                # Of a subclass (SafeString, an enum) the plain text.
                return str.__str__(value)
        return value

    def load(self, kind: Kind, value: Any) -> Any:
        match kind:
            case Kind.DATETIME:
                return value.replace(tzinfo=UTC) if settings.USE_TZ else value
            case Kind.DATE:
                return date(value.year, value.month, value.day)
            case Kind.TIME:
                return (datetime.min + value * MICROSECOND).time()
            case Kind.DURATION:
                return timedelta(microseconds=value)
        return value


def _naive(value: datetime) -> datetime:
    try:
        if not settings.USE_TZ:
            if timezone.is_aware(value):
                value = timezone.make_naive(value, timezone.get_default_timezone())
            return value
        if value.tzinfo is not UTC:
            if timezone.is_naive(value):
                value = timezone.make_aware(value, timezone.get_default_timezone())
            value = value.astimezone(UTC)
        return value.replace(tzinfo=None)
    except OverflowError as error:
        raise ValueError(f"{value!r} is beyond the years 1 to 9999 in UTC") from error
