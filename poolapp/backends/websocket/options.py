"""What may be wrong with a WebSocket alias, found without connecting; and its options of ours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from poolapp.backends.hints import option_hint
from poolapp.backends.judging import is_async_function, is_function, is_number, load
from poolapp.core.backend import Problem
from poolapp.core.config import Location, PoolConfig

DEFAULT_PORTS = {"ws": 80, "wss": 443}

RECONNECT = 30.0
"""Seconds between two attempts to connect a subscription again, at the most."""

LINGER = 5.0
"""Seconds that a connection stays open for the next subscriber after the last one has left."""

_ELSEWHERE = {
    "close_code": "the pool says goodbye by itself",
    "compress": "use 'compression'",
    "extra_headers": "use 'additional_headers'",
    "headers": "use 'additional_headers'",
    "heartbeat": "use 'ping_interval'",
    "host": "write the host into LOCATION",
    "loop": "each event loop has a pool of its own",
    "path": "write the path into LOCATION, or give it to subscribe()",
    "port": "write the port into LOCATION",
    "process_exception": "use 'reconnect', the longest wait in seconds between two attempts",
    "read_limit": "use 'max_queue'",
    "reconnect_delays": "use 'reconnect', the longest wait in seconds between two attempts",
    "sock": "one socket can't serve several connections; give the URL as LOCATION",
    "ssl_context": "use 'ssl'",
    "timeout": "use CONNECT_TIMEOUT of the alias",
    "uri": "give the URL as LOCATION",
    "user_agent": "use 'user_agent_header'",
}
"""Names that users of other libraries, and of older versions, reach for."""

_KNOWN = frozenset(
    {
        "additional_headers", "close_timeout", "compression", "create_connection", "extensions",
        "family", "happy_eyeballs_delay", "interleave", "local_addr", "logger", "max_queue",
        "max_size", "open_timeout", "origin", "ping_interval", "ping_timeout", "proto", "proxy",
        "proxy_server_hostname", "proxy_ssl", "server_hostname", "ssl", "ssl_handshake_timeout",
        "ssl_shutdown_timeout", "subprotocols", "user_agent_header", "write_limit",
    }
)  # fmt: skip
"""Of ``websockets.asyncio.client.connect``, and of the loop's ``create_connection`` beneath it.
What is not here is looked up in the installed library, whose import takes a while."""

OWN = frozenset({"init", "linger", "on_connect", "reconnect", "topic_of"})


def problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    if len(locations) != 1:
        yield Problem(
            setting="LOCATION",
            message="is missing" if not locations else "is a list of several URLs",
            hint="Give one URL, such as 'wss://example.com/prices'.",
        )
    for location in locations[:1]:
        yield from _location_problems(location, config)
    yield from _option_problems(config)


def _location_problems(location: Location, config: PoolConfig) -> Iterator[Problem]:
    if location.scheme not in DEFAULT_PORTS:
        yield Problem(
            setting="LOCATION",
            message=f"has the scheme {location.scheme!r}",
            hint="A WebSocket URL starts with 'wss://', or with 'ws://' where nothing is secret.",
        )
        return
    try:
        hosts = location.hosts(DEFAULT_PORTS[location.scheme])
    except ValueError as error:
        yield Problem(
            setting="LOCATION",
            message=f"can't be read: {error}",
            hint="Write 'wss://host:443/path'. Percent-encode '/', '?' and '#' in a password.",
        )
    else:
        if len(hosts) != 1 or not hosts[0][0]:
            yield Problem(
                setting="LOCATION",
                message="must name one host",
                hint="Write 'wss://host/path'; for another server declare another alias.",
            )
    if "#" in location.path:
        yield Problem(
            setting="LOCATION",
            message="has a fragment ('#...'), which a WebSocket URL may not have",
            hint="Remove it, or percent-encode the '#'.",
        )
    if (location.username is None) != (location.password is None):
        yield Problem(
            setting="LOCATION",
            message="has a user without a password, or a password without a user",
            hint="Write 'wss://user:password@host/path'.",
        )
    if location.scheme == "ws" and config.options.get("ssl") is not None:
        yield Problem(
            setting="OPTIONS['ssl']",
            message="does not go with a ws:// URL",
            hint="Write 'wss://' in LOCATION, or remove it.",
        )


def _option_problems(config: PoolConfig) -> Iterator[Problem]:
    for name, value in config.options.items():
        if name in _ELSEWHERE or (name not in _KNOWN | OWN and name not in _driver_options()):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="is not an option of a WebSocket connection",
                hint=option_hint(name, _KNOWN | OWN, _ELSEWHERE),
            )
        elif name in _EXPECTED:
            fits, wanted, hint = _EXPECTED[name]
            if not fits(value):
                yield Problem(setting=f"OPTIONS[{name!r}]", message=f"must be {wanted}", hint=hint)


def _driver_options() -> frozenset[str]:
    try:
        from websockets.asyncio.client import connect
    except ImportError:  # whoever asks reports a missing driver by itself
        return frozenset()
    return frozenset(inspect.signature(connect.__init__).parameters) - {"self", "kwargs"}


# -- reading our own -------------------------------------------------------------------------------


def reconnect_limit(config: PoolConfig) -> float:
    """Seconds between two attempts at the most; 0 when a subscription that is lost stays lost."""
    given = config.options.get("reconnect", RECONNECT)
    return RECONNECT if given is True else float(given or 0)


def hook(config: PoolConfig, name: str) -> Callable[..., Any] | None:
    """A function among the options, which may be given by its dotted path.

    Raises ImportError, AttributeError or ValueError when there is none.
    """
    given = config.options.get(name)
    return None if given is None else load(given)


def _is_async_or_none(value: object) -> bool:
    return value is None or is_async_function(value)


def _is_wait(value: object) -> bool:
    return is_number(value) and value >= 0  # type: ignore[operator]


def _is_wait_or_none(value: object) -> bool:
    return value is None or value is False or _is_wait(value)


_SECONDS = "A number of seconds; None or 0 turns it off."

_EXPECTED: dict[str, tuple[Callable[[object], bool], str, str]] = {
    "init": (
        _is_async_or_none,
        "an async function, or the dotted path of one",
        "Write 'async def init(connection): ...' and give it or its dotted path.",
    ),
    "linger": (_is_wait, "a number of seconds, 0 or more", f"The default is {LINGER:g}."),
    "on_connect": (
        _is_async_or_none,
        "an async function, or the dotted path of one",
        "Write 'async def on_connect(connection, topics): ...' and give it or its dotted path.",
    ),
    "ping_interval": (_is_wait_or_none, "a number of seconds, or None", _SECONDS),
    "ping_timeout": (_is_wait_or_none, "a number of seconds, or None", _SECONDS),
    "reconnect": (
        lambda value: isinstance(value, bool) or _is_wait_or_none(value),
        "a number of seconds, or False",
        "The longest wait between two attempts; 0 or False: a subscription that is lost stays so.",
    ),
    "topic_of": (
        lambda value: value is None or is_function(value),
        "a function, or the dotted path of one",
        "Write 'def topic_of(message): ...' that returns the topic of a message, or None.",
    ),
}
