"""Numbers as text that is ordered as the numbers are, whatever their size."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_MIDDLE: Final = 10**19
"""Added to an exponent, so that it is never negative and always has as many digits: a Decimal's
exponent has 18 at the most."""

_COMPLEMENT: Final = str.maketrans("0123456789", "9876543210")
_AFTER_DIGITS: Final = "~"


def sortable(number: Decimal) -> str:
    """The sign; the exponent; the digits without needless zeros. Of a negative number the last two
    by their complements, ended by what is above all digits. Equal numbers have equal texts; NaN is
    above all."""
    if number.is_nan():
        return "4"
    if number.is_infinite():
        return "0" if number < 0 else "3"
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0").rstrip("0")
    if not text:
        return "1z"
    magnitude = f"{_MIDDLE + number.adjusted():020d}{text}"
    return f"1{magnitude.translate(_COMPLEMENT)}{_AFTER_DIGITS}" if sign else f"2{magnitude}"
