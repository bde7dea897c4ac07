"""What the options of an HTTP alias are called, and what may be wrong with them, found without
connecting."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from poolapp.backends.hints import option_hint
from poolapp.backends.judging import is_count, is_number
from poolapp.core.backend import Problem
from poolapp.core.config import Location, PoolConfig

DEFAULT_PORTS = {"http": 80, "https": 443}

OURS = frozenset(
    {"auth", "ca_file", "cert_file", "check_path", "key_file", "max_body", "retries", "timeout"}
)
"""Not passed on as they are."""

_CONNECTOR = frozenset(
    {
        "dns_cache_max_size", "enable_cleanup_closed", "family", "force_close",
        "happy_eyeballs_delay", "interleave", "keepalive_timeout", "limit", "limit_per_host",
        "local_addr", "resolver", "socket_factory", "ssl", "ssl_shutdown_timeout",
        "timeout_ceil_threshold", "ttl_dns_cache", "use_dns_cache",
    }
)  # fmt: skip

_SESSION = frozenset(
    {
        "auto_decompress", "cookie_jar", "cookies", "fallback_charset_resolver", "headers",
        "json_serialize", "json_serialize_bytes", "max_field_size", "max_headers", "max_line_size",
        "middlewares", "proxy", "proxy_auth", "raise_for_status", "read_bufsize", "request_class",
        "requote_redirect_url", "response_class", "skip_auto_headers", "trace_configs",
        "trust_env", "version", "ws_response_class",
    }
)  # fmt: skip
"""Options of today's driver. What is not here is looked up in the installed one, whose import
takes a fifth of a second."""

_ELSEWHERE = {
    "base_url": "give the URL as LOCATION",
    "ca_certs": "use 'ca_file'",
    "cert": "use 'cert_file' and 'key_file'",
    "client_cert": "use 'cert_file'",
    "client_key": "use 'key_file'",
    "conn_timeout": "use the setting CONNECT_TIMEOUT",
    "connect_timeout": "use the setting CONNECT_TIMEOUT",
    "connector": "give the connector's own options here, beside the session's",
    "connector_owner": "remove it: the pool owns the connector",
    "fingerprint": "use 'ssl', with an aiohttp.Fingerprint",
    "loop": "remove it: there is a session for each event loop",
    "max_connections": "use the setting MAX_SIZE",
    "max_retries": "use 'retries'",
    "read_timeout": "use 'timeout'",
    "ssl_context": "use 'ssl'",
    "url": "give the URL as LOCATION",
    "verify": "use 'ssl': False",
    "verify_ssl": "use 'ssl': False",
}
"""What the driver has given up or the pool decides, and the names of other clients."""

_TLS_FILES = ("ca_file", "cert_file", "key_file")


def problems(config: PoolConfig) -> Iterator[Problem]:
    yield from _location_problems(config)
    for name, value in config.options.items():
        yield from _option_problems(name, value)
    yield from _conflicts(config)


def connector_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are the TCPConnector's."""
    return {name: value for name, value in options.items() if _is_connectors(name)}


def session_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are the ClientSession's."""
    return {
        name: value
        for name, value in options.items()
        if name not in OURS and not _is_connectors(name)
    }


def _is_connectors(name: str) -> bool:
    known = name in _CONNECTOR or name in _SESSION or name in OURS
    return name in _CONNECTOR or (not known and name in _driver_options()[0])


def _driver_options() -> tuple[Collection[str], Collection[str]]:
    """Of the installed driver: the connector's, the session's."""
    try:
        from aiohttp import ClientSession, TCPConnector
    except ImportError:  # whoever asks reports a missing driver by itself
        return (), ()
    return inspect.signature(TCPConnector).parameters, inspect.signature(ClientSession).parameters


def credentials(config: PoolConfig) -> tuple[str, str] | None:
    """The user and the password, of LOCATION or ``auth``."""
    (location,) = config.where()
    if location.username is None and location.password is None:
        given = config.options.get("auth")
        return None if given is None else (given[0], given[1])
    password = location.password
    return location.username or "", "" if password is None else password.reveal()


# -- LOCATION ----------------------------------------------------------------------------------


def _location_problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    if len(locations) != 1:
        yield _location(
            "is missing" if not locations else "is a list of several URLs",
            "Give one URL, such as 'https://api.example.com/v2'; a session has one base URL.",
        )
    for location in locations:
        if location.scheme not in DEFAULT_PORTS:
            yield _location(
                f"has the scheme {location.scheme!r}",
                "An HTTP URL starts with 'https://' or 'http://'.",
            )
        if location.query:
            yield _location(
                f"has the parameters {', '.join(map(repr, location.query))} in the URL",
                "Give 'params' with each request. Options of the session go to OPTIONS.",
            )
        yield from _host_problems(location)


def _host_problems(location: Location) -> Iterator[Problem]:
    try:
        hosts = location.hosts(DEFAULT_PORTS.get(location.scheme, 80))
    except ValueError as error:
        yield _location(
            f"can't be read: {error}",
            "Write 'https://host:443'. Percent-encode '/', '?' and '#' in a password.",
        )
        return
    if len(hosts) > 1:
        yield _location("names several hosts", "Give one; declare an alias for each of them.")
    elif not hosts[0][0]:
        yield _location("has no host", "Write 'https://api.example.com'.")


def _location(message: str, hint: str) -> Problem:
    return Problem(setting="LOCATION", message=message, hint=hint)


# -- OPTIONS -----------------------------------------------------------------------------------


def _option_problems(name: str, value: Any) -> Iterator[Problem]:
    if name in _EXPECTED:
        is_good, expected = _EXPECTED[name]
        if not is_good(value):
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message=f"is of the type {type(value).__name__!r}, or out of range",
                hint=f"It must be {expected}.",
            )
    known = OURS | _CONNECTOR | _SESSION
    if name in known:
        return
    if name not in _ELSEWHERE and any(name in each for each in _driver_options()):
        return
    yield Problem(
        setting=f"OPTIONS[{name!r}]",
        message="is not an option of aiohttp's TCPConnector or ClientSession",
        hint=option_hint(name, known, _ELSEWHERE),
    )


def _conflicts(config: PoolConfig) -> Iterator[Problem]:
    options = config.options
    files = [name for name in _TLS_FILES if name in options]
    if files and options.get("ssl", True) is not True:
        yield Problem(
            setting="OPTIONS['ssl']",
            message=f"excludes {' and '.join(map(repr, files))}",
            hint="Load the files into the SSLContext, or leave 'ssl' out.",
        )
    if "key_file" in options and "cert_file" not in options:
        yield Problem(
            setting="OPTIONS['key_file']",
            message="needs 'cert_file'",
            hint="Name the file of the client's certificate, too.",
        )
    if options.get("force_close") and options.get("keepalive_timeout") is not None:
        yield Problem(
            setting="OPTIONS['keepalive_timeout']",
            message="excludes 'force_close'",
            hint="Remove one of them.",
        )
    limit: Any = options.get("limit")
    if is_count(limit) and 0 < limit < config.max_size:
        yield Problem(
            setting="OPTIONS['limit']",
            message=f"is below MAX_SIZE, which is {config.max_size}",
            hint="Who holds a lease would still wait for a socket: set MAX_SIZE alone.",
        )
    if options.get("cookies") and options.get("cookie_jar") is None:
        yield Problem(
            setting="OPTIONS['cookies']",
            message="would be forgotten: the session keeps no cookies",
            hint="Send them as a header, or set 'cookie_jar': aiohttp.CookieJar.",
        )
    signs_in = [
        f"the user in LOCATION ({each.shown})"
        for each in config.where()
        if each.username is not None
    ]
    signs_in += ["'auth'"] if options.get("auth") is not None else []
    headers = options.get("headers")
    if isinstance(headers, Mapping) and any(
        str(each).lower() == "authorization" for each in headers
    ):
        signs_in.append("the header 'Authorization'")
    if len(signs_in) > 1:
        yield Problem(
            setting="OPTIONS",
            message=f"signs in in more than one way: {' and '.join(signs_in)}",
            hint="Keep one of them.",
        )


def _is_timeout(value: Any) -> bool:
    return (is_number(value) and value > 0) or hasattr(value, "sock_read")


def _is_keepalive(value: Any) -> bool:
    return value is None or (is_number(value) and value >= 0)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) >= 2
        and all(isinstance(each, str) for each in value)
    )


def _is_file(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_headers(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _is_factory(value: object) -> bool:
    # What has been made belongs to the loop on which it was made.
    return callable(value)


_A_FILE = "the path of a file in PEM format"
_A_FACTORY = "a class or function that makes one, called for each event loop"

_EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "auth": (_is_pair, "a pair of strings: the user and the password"),
    "ca_file": (_is_file, _A_FILE),
    "cert_file": (_is_file, _A_FILE),
    "check_path": (lambda value: isinstance(value, str), "a path on the server, such as '/health'"),
    "cookie_jar": (_is_factory, _A_FACTORY),
    "headers": (_is_headers, "a dict of strings to strings"),
    "keepalive_timeout": (_is_keepalive, "a number of seconds, or None"),
    "key_file": (_is_file, _A_FILE),
    "limit": (is_count, "a whole number; 0 is no limit"),
    "limit_per_host": (is_count, "a whole number; 0 is no limit"),
    "max_body": (lambda value: is_count(value) and value != 0, "a number of bytes above 0"),
    "resolver": (_is_factory, _A_FACTORY),
    "retries": (is_count, "a whole number; 0 repeats nothing"),
    "timeout": (_is_timeout, "a number of seconds above 0, or an aiohttp.ClientTimeout"),
}
