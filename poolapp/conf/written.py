"""Values that are written as texts, in the environment or in a file."""

from __future__ import annotations

import json
import re
from typing import Any

from poolapp.conf.wrong import Wrong

_NOTHING = {"none", "null"}
_FLAGS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}

_BETWEEN_URLS = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.\-]*://)")
"""A comma in front of a scheme; other commas stand between the hosts of one URL."""

# What can't be read stays the text it is, so that the setting's own rule says what it takes.


def plain(text: str) -> str:
    return text


def number(text: str) -> Any:
    """A number, or ``none``."""
    if text.lower() in _NOTHING:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def flag(text: str) -> Any:
    """``true``, ``on``, ``yes``, ``1`` and their opposites, in any case."""
    return {**_FLAGS, "1": True, "0": False}.get(text.lower(), text)


def urls(text: str) -> Any:
    """A URL; several as a JSON list, or with commas between them."""
    if text.startswith("["):
        return parsed(text)
    found = _BETWEEN_URLS.split(text)
    return found if len(found) > 1 else text


def mapping(text: str) -> Any:
    """A JSON object, or ``none``."""
    return None if text.lower() in _NOTHING else parsed(text)


def breaker(text: str) -> Any:
    """The same; its keys in any case."""
    return upper(mapping(text))


def option(text: str) -> Any:
    """A flag, a number, ``none``, a JSON list or object, or else a text."""
    if text.startswith(("[", "{")):
        return parsed(text)
    return _FLAGS[text.lower()] if text.lower() in _FLAGS else number(text)


def upper(value: Any) -> Any:
    """A mapping whose keys may be written small."""
    if not isinstance(value, dict):
        return value
    return {str(name).upper(): each for name, each in value.items()}


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        # The error's own text names a place, and quotes nothing.
        raise Wrong(f"is no JSON: {error}") from None
