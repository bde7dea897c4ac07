"""Numbers beyond what BSON has types for.

BSON has integers of 64 bits and Decimal128, of 34 digits, and orders one among the other. A
DecimalField that declares more digits is held as text that sorts as its numbers do.
"""

from __future__ import annotations

from decimal import Decimal

LONGEST = 34
"""Significant digits of a Decimal128."""

LARGEST = 2**63
"""Of a 64-bit integer, plus one."""

_OFFSET = 5_000_000
"""Added to an exponent, so that it is written without a sign, in seven digits."""

_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_END = "~"


def sortable(number: Decimal) -> str:
    """Text whose order, byte by byte, is that of the numbers.

    ``5`` is zero. A positive number is ``6``, the exponent of its first digit, and its digits
    without the zeros at their end; a negative one is ``4`` and the same with each digit's
    complement to 9, and an end mark above all digits, so that the longer one of two is the smaller.
    """
    if not number.is_finite():
        raise ValueError(f"{number} is no number that can be held")
    if not number:
        return "5"
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    exponent = number.adjusted() + _OFFSET
    if not 0 <= exponent < 2 * _OFFSET:
        raise ValueError(f"the exponent of {number} is too large")
    text = f"{exponent:07}{digits}"
    return f"6{text}" if number > 0 else f"4{text.translate(_COMPLEMENT)}{_END}"


def from_sortable(text: str) -> Decimal:
    """The reverse."""
    if text == "5":
        return Decimal(0)
    negative = text[0] == "4"
    body = text[1:].rstrip(_END).translate(_COMPLEMENT) if negative else text[1:]
    exponent, digits = int(body[:7]) - _OFFSET, body[7:]
    return Decimal((int(negative), tuple(map(int, digits)), exponent - len(digits) + 1))
