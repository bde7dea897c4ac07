"""The keys an alias may have, and what each of them takes."""

from __future__ import annotations

import dataclasses
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from poolapp.conf import written
from poolapp.conf.wrong import Wrong, nearest, shown
from poolapp.core.asked import AskedLocations
from poolapp.core.config import Breaker, Location, Options
from poolapp.core.exceptions import ConfigurationError


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One key: the field of PoolConfig it fills, and how its value is read."""

    field: str
    read: Callable[[Any], Any]
    """Returns the field's value; raises Wrong."""
    hint: str
    written: Callable[[str], Any] = written.number
    """What a text of the environment or of a file stands for; raises Wrong."""


def whole(at_least: int, *, or_none: bool = False) -> Callable[[Any], Any]:
    def read(value: Any) -> int | None:
        if value is None and or_none:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            none = " or None" if or_none else ""
            raise Wrong(f"must be a whole number of at least {at_least}{none}, not {shown(value)}")
        return value

    return read


def seconds(*, zero: bool, or_none: bool = False) -> Callable[[Any], float | None]:
    def read(value: Any) -> float | None:
        if value is None and or_none:
            return None
        good = not isinstance(value, bool) and isinstance(value, int | float)
        try:
            good = good and math.isfinite(value) and (value >= 0 if zero else value > 0)
        except OverflowError:
            good = False
        if not good:
            limit = ("at least 0" if zero else "more than 0") + (", or None" if or_none else "")
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
    if not _is_dotted(value):
        raise Wrong("is no dotted path of a class")
    return value


def _is_dotted(text: str) -> bool:
    return "." in text and all(part.isidentifier() for part in text.split("."))


@dataclasses.dataclass(frozen=True, slots=True)
class LocationFunction:
    """A function that ``LOCATION`` holds, or names by its dotted path, instead of URLs.

    Raises ConfigurationError when what it returns is no URL and no list of URLs.
    """

    given: Callable[[], Any] | str

    def __call__(self) -> tuple[Location, ...]:
        try:
            function = self.load()
        except Wrong as wrong:
            raise ConfigurationError(f"LOCATION {wrong}") from None
        answer = function()
        try:
            return urls(answer)
        except* Wrong as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            error = ConfigurationError(f"LOCATION: what {self}() returned {first}")
        raise error

    def load(self) -> Callable[[], Any]:
        """The function; raises Wrong when the path leads to none."""
        function = self.given
        if isinstance(function, str):
            try:
                function = pkgutil.resolve_name(function)
            except Exception as error:
                kind = type(error).__name__
                raise Wrong(f"names {function!r}, which can't be imported ({kind})") from None
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise Wrong(f"names {self}, which is no plain function")
        return function

    def __str__(self) -> str:
        if isinstance(self.given, str):
            return self.given
        name = getattr(self.given, "__qualname__", type(self.given).__qualname__)
        return f"{self.given.__module__}.{name}"


def locations(value: Any) -> tuple[Location, ...] | AskedLocations:
    """Raises a group of Wrong when several URLs of a list are."""
    if callable(value):
        function = LocationFunction(value)
        function.load()
        return AskedLocations(function)
    if isinstance(value, str) and _is_dotted(value):
        # Imported when it is first needed: it may be of an app that is not there yet.
        return AskedLocations(LocationFunction(value))
    return urls(value)


def urls(value: Any) -> tuple[Location, ...]:
    """One URL or a list of them."""
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
        "backend",
        dotted_path,
        "For example 'poolapp.backends.postgres.PostgresBackend'.",
        written.plain,
    ),
    "LOCATION": Rule(
        "locations",
        locations,
        "Give one URL, 'scheme://user:password@host:port', a list of them, or a function that "
        "returns them.",
        written.urls,
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
    "LOOPS": Rule(
        "loops", one_of("own", "shared"), "'own' is a pool for each event loop.", written.plain
    ),
    "PREWARM": Rule(
        "prewarm", flag, "True opens MIN_SIZE connections when the server starts.", written.flag
    ),
    "LEAK_AFTER": Rule("leak_after", seconds(zero=False), _SECONDS),
    "BREAKER": Rule(
        "breaker",
        breaker,
        "For example {'FAILURES': 5, 'RESET': 30}; None is no circuit breaker.",
        written.breaker,
    ),
    "HEALTH_INTERVAL": Rule(
        "health_interval",
        seconds(zero=False, or_none=True),
        "Times are seconds, as in 5 or 0.5; None: health is judged without probes.",
    ),
    "FLEET_MAX": Rule(
        "fleet_max",
        whole(1, or_none=True),
        "It counts the connections of all worker processes together; None sets no limit.",
    ),
    "OPTIONS": Rule("options", options, "It is handed to the driver as it is.", written.mapping),
}

KEYS = (*RULES, "DATABASE")
"""All keys; ``DATABASE`` is read with Django's own ``DATABASES`` beside it."""
