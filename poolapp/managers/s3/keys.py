"""From a primary key to the key of its object, and back.

A key is the prefix and the primary key, percent-encoded: whatever a primary key holds, it is one
name, directly below the prefix, and never a path. No two values share a key. Integers have leading
zeros, so that the order of the keys is theirs.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, unquote

from django.db.models import Field

from poolapp.managers.documents.forms import JsonForm
from poolapp.managers.documents.kinds import INTEGERS, TEXTS, Kind, kind_of

MAX_KEY = 1024
"""Bytes of a key: S3's own limit."""

DIGITS = 20
"""Of an integer: enough for 64 bits, and for any duration in microseconds."""

EMPTY = "%"
"""The name of the empty text, which no other value has."""

LAST = "\x7f"
"""Behind every character of a name."""

ORDERED = TEXTS | INTEGERS | {Kind.UUID, Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DURATION}
"""Kinds whose keys are in the order of the values; that of texts is the order of their encoded
names, as a database has that of its collation."""

_NUMBERS = INTEGERS | {Kind.DURATION}
_TEXTS = TEXTS | {Kind.UUID, Kind.DATE, Kind.TIME, Kind.DATETIME, Kind.DECIMAL}


class Keys:
    """The keys of one model below one prefix. Values are those of a document; a name is a key
    without the prefix."""

    def __init__(self, prefix: str, pk: Field[Any, Any]) -> None:
        self.prefix = prefix
        self.pk = pk
        self.kind = kind_of(pk)
        self.is_ordered = self.kind in ORDERED
        self.is_text = self.kind in TEXTS

    def key(self, value: Any) -> str:
        """Raises ValueError for a value that no key can hold."""
        name = self.name(value)
        length = len(self.prefix.encode()) + len(name)
        if length > MAX_KEY:
            raise ValueError(
                f"field {self.pk.name!r}: {str(value)[:40]!r}... is a key of {length} bytes; "
                f"S3 allows {MAX_KEY}"
            )
        return self.prefix + name

    def name(self, value: Any) -> str:
        if self.kind in _NUMBERS:
            if abs(value) >= 10**DIGITS:
                raise ValueError(
                    f"field {self.pk.name!r}: {value} has more than {DIGITS} digits, which is what "
                    "a key has room for"
                )
            # A negative number by what it is above the smallest: so -2 is before -1.
            return f"{value:0{DIGITS}d}" if value >= 0 else f"-{10**DIGITS + value:0{DIGITS}d}"
        return encoded(self._text(value)) or EMPTY

    def bound(self, value: Any) -> str:
        """As ``name``, but for a comparison: a number too large is behind every name."""
        if self.kind in _NUMBERS and abs(value) >= 10**DIGITS:
            return LAST if value > 0 else ""
        return self.name(value)

    def value(self, name: str) -> Any:
        """The reverse of ``name``; None for a name that is no such value's, and so not ours."""
        try:
            value = self._value(name)
            return value if value is not None and self.name(value) == name else None
        except (ValueError, TypeError, OverflowError):
            return None

    def _text(self, value: Any) -> str:
        if self.kind in _TEXTS:
            return str(value)
        if self.kind is Kind.BINARY:
            return base64.b64encode(value).decode()
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    def _value(self, name: str) -> Any:
        if self.kind in _NUMBERS:
            number = int(name.removeprefix("-"))
            return number - 10**DIGITS if name.startswith("-") else number
        text = "" if name == EMPTY else unquote(name, errors="surrogatepass")
        if self.kind is Kind.BINARY:
            return base64.b64decode(text, validate=True)
        if self.kind not in _TEXTS:
            return json.loads(text)
        return text if self.is_text else _FORM.dump(self.kind, _FORM.load(self.kind, text))


_FORM = JsonForm()


def encoded(text: str) -> str:
    """Letters, digits, ``-``, ``_``, ``~`` and ``.`` as they are, all else percent-encoded, and a
    leading dot as well: a name is never ``..``. What begins a text begins its encoding."""
    name = quote(text, safe="", errors="surrogatepass")
    return "%2E" + name[1:] if name.startswith(".") else name
