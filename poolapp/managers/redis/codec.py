"""Values as text whose order is that of the values: what a sorted set can be searched by.

It holds no NUL, and only what UTF-8 has, so that a pool which decodes answers can be used as well.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

from django.db import NotSupportedError

from poolapp.managers.documents.kinds import Kind

NUMBERS = frozenset(
    {Kind.INTEGER, Kind.BIG_INTEGER, Kind.DURATION, Kind.DECIMAL, Kind.FLOAT, Kind.BOOLEAN}
)
"""Kinds whose text is not what is sorted by."""

TEXTS = frozenset(
    {
        Kind.TEXT, Kind.KEYWORD, Kind.FILE, Kind.IP, Kind.UUID, Kind.DATE, Kind.TIME, Kind.DATETIME,
    }
)  # fmt: skip
"""Kinds whose document form is text, in the right order already."""

NULL = b"0"
"""Sorts before every value."""


def encode(kind: Kind, value: Any) -> bytes:
    """A value in document form (see JsonForm), None included, as text without NUL.

    Equal values give equal text, and a smaller value the smaller text. NotSupportedError for a kind
    that has no order.
    """
    if value is None:
        return NULL
    if kind in TEXTS:
        # NUL ends a value, and has to be less than whatever it goes on with.
        text = str(value).encode().replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")
        return b"1" + text
    if kind is Kind.FLOAT:
        return b"1" + _double(float(value))
    if kind in NUMBERS:
        return b"1" + _number(Decimal(int(value) if kind is Kind.BOOLEAN else value))
    raise NotSupportedError(f"Redis can't keep an index of a field of kind {kind.name.lower()}")


def _double(value: float) -> bytes:
    """The bits of an IEEE 754 number, turned so that they sort; NaN after everything."""
    if value != value:
        return b"~"
    (bits,) = struct.unpack(">Q", struct.pack(">d", value + 0.0))  # -0.0 becomes 0.0
    bits ^= (1 << 64) - 1 if bits >> 63 else 1 << 63
    return f"{bits:016x}".encode()


_MIDDLE = 5 * 10**9
"""Of the decimal exponents that there is room for."""


def _number(value: Decimal) -> bytes:
    """The sign, where the first digit stands, the digits."""
    sign, digits, _ = value.as_tuple()
    if not any(digits):
        return b"1"
    place = value.adjusted() + _MIDDLE
    if not 0 <= place < 2 * _MIDDLE:
        raise ValueError(f"{value} is too far from 1 to be indexed")
    text = f"{place:010d}" + "".join(map(str, digits)).rstrip("0")
    if not sign:
        return b"2" + text.encode()
    # Turned round, and ended by what is more than any digit: of -1.5 and -1.55 the longer is less.
    return b"0" + text.translate(_COMPLEMENT).encode() + b"~"


_COMPLEMENT = str.maketrans("0123456789", "9876543210")
