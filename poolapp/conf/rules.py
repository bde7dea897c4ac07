"""The keys an alias may have, and what each of them takes."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from poolapp.core.config import Breaker, Location, Options


class Wrong(Exception):
    """A value breaks its rule: what it must be, which part of it, and a hint.

    The message never quotes a text that may be a secret.
    """

    def __init__(
        self, message: str, hint: str = "", *, inside: str = "", unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.inside = inside
        """As in ``"['FAILURES']"``, when it is a part of the value only."""
        self.unknown = unknown
        """Whether it is a key that does not exist."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One key: the field of PoolConfig it fills, and how its value is read."""

    field: str
    read: Callable[[Any], Any]
    """Returns the field's value; raises Wrong."""
    hint: str


def shown(value: object) -> str:
    """A wrong value in words. A text is quoted only when it is as short as a number."""
    if value is None or isinstance(value, bool | int | float):
        text = repr(value)
        return text if len(text) <= 24 else f"a number of {len(text)} digits"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 12 else "a text"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def nearest(name: str, known: Collection[str]) -> str:
    """``"Did you mean 'MAX_SIZE'?"``, or the list of what there is."""
    found = difflib.get_close_matches(name.upper(), [each.upper() for each in known], 1, 0.6)
    for each in known:
        if found and each.upper() == found[0]:
            return f"Did you mean {each!r}?"
    return f"The keys are {', '.join(sorted(known))}."


def whole(at_least: int, *, or_none: bool = False) -> Callable[[Any], Any]:
    def read(value: Any) -> int | None:
        if value is None and or_none:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            none = " or None" if or_none else ""
            raise Wrong(f"must be a whole number of at least {at_least}{none}, not {shown(value)}")
        return value

    return read


def seconds(*, zero: bool) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        good = not isinstance(value, bool) and isinstance(value, int | float)
        try:
            good = good and math.isfinite(value) and (value >= 0 if zero else value > 0)
        except OverflowError:
            good = False
        if not good:
            limit = "at least 0" if zero else "more than 0"
            raise Wrong(f"must be a finite number of seconds, {limit}, not {shown(value)}")
        return float(value)

    return read


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"must be True or False, not {shown(value)}")
    return value


def one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Wrong(f"must be {' or '.join(map(repr, choices))}, not {shown(value)}")
        return value

    return read


def dotted_path(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(f"must be the dotted path of a backend class, not {shown(value)}")
    if "." not in value or not all(part.isidentifier() for part in value.split(".")):
        raise Wrong("is no dotted path of a class")
    return value


def locations(value: Any) -> tuple[Location, ...]:
    """Raises a group of Wrong when several URLs of a list are."""
    if not isinstance(value, list | tuple):
        return (_location(value, ""),)
    if not value:
        raise Wrong("is an empty list")
    found, wrong = [], []
    for number, url in enumerate(value):
        try:
            found.append(_location(url, f"[{number}]"))
        except Wrong as error:
            wrong.append(error)
    if wrong:
        raise ExceptionGroup("LOCATION", wrong)
    return tuple(found)


def _location(url: Any, inside: str) -> Location:
    if not isinstance(url, str):
        raise Wrong(f"must be a URL, as a text, not {shown(url)}", inside=inside)
    try:
        return Location.parse(url.strip())
    except ValueError as error:
        raise Wrong(f"can't be read: {error}", inside=inside) from None


def options(value: Any) -> Options:
    if not isinstance(value, Mapping):
        raise Wrong(f"must be a dictionary, not {shown(value)}")
    for name in value:
        if not isinstance(name, str):
            raise Wrong(f"has a key that is no text but {shown(name)}")
    return Options(value)


BREAKER_KEYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "FAILURES": ("failures", whole(1)),
    "RESET": ("reset", seconds(zero=False)),
}


def breaker(value: Any) -> Breaker | None:
    """Raises a group of Wrong when several of its keys are."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Wrong(f"must be a dictionary or None, not {shown(value)}")
    fields: dict[str, Any] = {}
    wrong = []
    for name, given in value.items():
        inside = f"[{name!r}]"
        if name not in BREAKER_KEYS:
            hint = nearest(str(name), BREAKER_KEYS)
            wrong.append(Wrong("is no key of BREAKER", hint, inside=inside, unknown=True))
            continue
        field, read = BREAKER_KEYS[name]
        try:
            fields[field] = read(given)
        except Wrong as error:
            wrong.append(Wrong(str(error), inside=inside))
    if wrong:
        raise ExceptionGroup("BREAKER", wrong)
    return Breaker(**fields)


_SECONDS = "Times are seconds, as in 5 or 0.5."
_SIZE = "It counts the connections of this process, over all its event loops."

RULES: dict[str, Rule] = {
    "BACKEND": Rule(
        "backend", dotted_path, "For example 'poolapp.backends.postgres.PostgresBackend'."
    ),
    "LOCATION": Rule(
        "locations",
        locations,
        "Give one URL or a list of them: 'scheme://user:password@host:port'.",
    ),
    "MIN_SIZE": Rule("min_size", whole(0), _SIZE),
    "MAX_SIZE": Rule("max_size", whole(1), _SIZE),
    "ACQUIRE_TIMEOUT": Rule(
        "acquire_timeout",
        seconds(zero=True),
        "An acquire never waits without end; 0 means that it tries once.",
    ),
    "MAX_WAITING": Rule("max_waiting", whole(0, or_none=True), "None sets no limit."),
    "CONNECT_TIMEOUT": Rule("connect_timeout", seconds(zero=False), _SECONDS),
    "CHECK_TIMEOUT": Rule("check_timeout", seconds(zero=False), _SECONDS),
    "CLOSE_TIMEOUT": Rule("close_timeout", seconds(zero=True), _SECONDS),
    "MAX_CONNECTING": Rule(
        "max_connecting", whole(1), "It is how many connections may be opened at once."
    ),
    "MAX_LIFETIME": Rule("max_lifetime", seconds(zero=False), _SECONDS),
    "IDLE_TIMEOUT": Rule("idle_timeout", seconds(zero=True), _SECONDS),
    "CHECK_AFTER": Rule("check_after", seconds(zero=True), _SECONDS),
    "LOOPS": Rule("loops", one_of("own", "shared"), "'own' is a pool for each event loop."),
    "PREWARM": Rule("prewarm", flag, "True opens MIN_SIZE connections when the server starts."),
    "LEAK_AFTER": Rule("leak_after", seconds(zero=False), _SECONDS),
    "BREAKER": Rule(
        "breaker", breaker, "For example {'FAILURES': 5, 'RESET': 30}; None is no circuit breaker."
    ),
    "HEALTH_INTERVAL": Rule("health_interval", seconds(zero=False), _SECONDS),
    "OPTIONS": Rule("options", options, "It is handed to the driver as it is."),
}

KEYS = (*RULES, "DATABASE")
"""All keys; ``DATABASE`` is read with Django's own ``DATABASES`` beside it."""
