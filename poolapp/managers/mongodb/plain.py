"""JSON values in BSON: every key is a plain key, and every whole number is exact."""

from __future__ import annotations

import re
from typing import Any

from poolapp.managers.mongodb.numbers import LARGEST

HUGE = "%int"
"""The one key of what stands for a whole number of more digits than Decimal128 has."""

_SPECIAL = re.compile(r"%(?=24|2E|00|25|int\Z)|\A%\Z|\.|\x00|\A\$|\A\Z")
_ESCAPES = {"%": "%25", ".": "%2E", "\x00": "%00", "$": "%24", "": "%"}
_ESCAPED = re.compile(r"%(?:24|2E|00|25)|\A%\Z")
_ORIGINALS = {escape: text for text, escape in _ESCAPES.items()}


def escaped(key: str) -> str:
    """A key without ``.`` and NUL that neither is empty nor begins with ``$``: servers refuse
    those, or take them for paths and operators. All other keys stay as they are."""
    if _SPECIAL.search(key) is None:
        return key
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], key)


def original(key: str) -> str:
    """The reverse."""
    if "%" not in key:
        return key
    return _ESCAPED.sub(lambda found: _ORIGINALS[found[0]], key)


def dump_json(value: Any) -> Any:
    """Keys escaped and sorted, so that equal objects are equal to a server that compares them key
    by key; TypeError for what is no JSON."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return value if -LARGEST <= value < LARGEST else _dump_huge(value)
    if isinstance(value, dict):
        return {escaped(key): dump_json(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [dump_json(each) for each in value]
    raise TypeError(f"{type(value).__name__!r} is no type of JSON")


def load_json(value: Any) -> Any:
    """The reverse."""
    if isinstance(value, dict):
        if len(value) == 1 and HUGE in value:
            return int(value[HUGE])
        return {original(key): load_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [load_json(each) for each in value]
    if value is None or isinstance(value, str | bool | float):
        return value
    # BSON's integers of 64 bits come as a class of the driver's own.
    return int(value) if isinstance(value, int) else int(value.to_decimal())


def _dump_huge(value: int) -> Any:
    from bson import Decimal128

    text = str(value)
    try:
        return Decimal128(text)
    except ArithmeticError:
        return {HUGE: text}
