"""What may be wrong with a PostgreSQL alias, found without connecting."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from ssl import CERT_NONE, SSLContext
from typing import Any

from poolapp.backends.hints import option_hint
from poolapp.backends.judging import is_async_function, is_count, is_positive
from poolapp.core.backend import Exposure, Problem
from poolapp.core.config import Location, PoolConfig

OWN = frozenset({"init"})
"""Options of ours; all others are the driver's."""

_ELSEWHERE = {
    "connect_timeout": "CONNECT_TIMEOUT of the alias bounds a connect",
    "dsn": "give the URL as LOCATION",
    "loop": "each event loop has a pool of its own",
    "max_inactive_connection_lifetime": "use IDLE_TIMEOUT of the alias",
    "max_queries": "use MAX_LIFETIME of the alias",
    "max_size": "use MAX_SIZE of the alias",
    "min_size": "use MIN_SIZE of the alias",
    "reset": "a connection that may have been changed is reset by the pool itself",
    "setup": "use 'init', which is called once for each new connection",
    "sslmode": "use 'ssl', or ?sslmode= in LOCATION",
    "application_name": "put it into 'server_settings', or ?application_name= in LOCATION",
    "search_path": "put it into 'server_settings'",
}
"""Names that users of other pools and drivers reach for."""

_LIBPQ_ONLY = frozenset(
    {
        "channel_binding", "connect_timeout", "fallback_application_name", "gssdelegation",
        "gssencmode", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle",
        "keepalives_interval", "load_balance_hosts", "replication", "require_auth", "requirepeer",
        "sslcertmode", "sslcompression", "sslcrldir", "sslsni", "tcp_user_timeout",
    }
)  # fmt: skip
"""What libpq understands in a URL and asyncpg would send to the server as a setting of its."""


def problems(config: PoolConfig) -> Iterator[Problem]:
    locations = config.where()
    if len(locations) != 1:
        yield Problem(
            setting="LOCATION",
            message="is missing" if not locations else "is a list of several URLs",
            hint="Give one URL, such as 'postgresql://user:password@host:5432/name'; several hosts "
            "stand in it with commas between them.",
        )
    for location in locations[:1]:
        yield from _location_problems(location)
    yield from _option_problems(config.options)


def _location_problems(location: Location) -> Iterator[Problem]:
    if location.scheme not in ("postgres", "postgresql"):
        yield Problem(
            setting="LOCATION",
            message=f"has the scheme {location.scheme!r}",
            hint="A PostgreSQL URL starts with 'postgresql://'.",
        )
    try:
        hosts(location)
    except ValueError as error:
        yield Problem(
            setting="LOCATION",
            message=f"can't be read: {error}",
            hint="Several hosts are written 'host1:5432,host2:5432', a socket's folder "
            "'postgresql:///name?host=/run/postgresql'. Percent-encode '/', '?' and '#' in a "
            "password.",
        )
    driver = _driver_parameters()
    for name in location.query:
        if name in _LIBPQ_ONLY:
            yield Problem(
                setting="LOCATION",
                message=f"has the parameter {name!r}, which libpq knows and asyncpg doesn't",
                hint="Remove it; CONNECT_TIMEOUT of the alias bounds a connect."
                if name == "connect_timeout"
                else "Remove it.",
            )
        elif name in driver - _IN_QUERY:
            yield Problem(
                setting="LOCATION",
                message=f"has the parameter {name!r}, which is no parameter of a URL",
                hint=f"Move it to OPTIONS[{name!r}].",
            )


_IN_QUERY = frozenset(
    {
        "database", "gsslib", "host", "krbsrvname", "passfile", "password", "port", "service",
        "target_session_attrs", "user",
    }
)  # fmt: skip
"""Of the driver's parameters, those it reads from a URL."""


def hosts(location: Location) -> list[tuple[str, int]]:
    """The servers that may be tried, in their order; none where the driver looks for them itself
    (a service file, ``PGHOST``, the usual sockets). Raises ValueError for a bad port."""
    query = location.query
    if location.address:
        found = location.hosts(_port(query.get("port", "5432")))
    elif query.get("host"):
        names = query["host"].split(",")
        ports = [_port(port) for port in query.get("port", "5432").split(",")]
        if len(ports) == 1:
            ports *= len(names)
        if len(ports) != len(names):
            raise ValueError("there must be one port, or as many ports as hosts")
        found = list(zip(names, ports, strict=True))
    else:
        return []
    if not all(host for host, _ in found):
        raise ValueError("a host's name is empty")
    return found


def require_files(location: Location) -> None:
    """Raises ValueError for a client certificate or key that is not there: the driver's own error
    does not say what it misses."""
    for name in ("sslcert", "sslkey"):
        path = location.query.get(name)
        if path and not Path(path).exists():
            raise ValueError(f"there is no file {path!r} ({name})")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _option_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    known = _driver_parameters() - {"dsn", "loop"} | OWN
    for name, value in options.items():
        if name not in known:
            yield Problem(
                setting=f"OPTIONS[{name!r}]",
                message="is not an option of asyncpg.connect()",
                hint=option_hint(name, known, _ELSEWHERE),
            )
        elif name in _EXPECTED and value is not None:
            fits, wanted = _EXPECTED[name]
            if not fits(value):
                yield Problem(
                    setting=f"OPTIONS[{name!r}]",
                    message=f"must be {wanted}",
                    hint=f"It is {type(value).__name__!r} now, or out of range."
                    if name != "init"
                    else "Write 'async def init(connection): ...' and give it or its dotted path.",
                )


def exposures(config: PoolConfig) -> Iterator[Exposure]:
    """What ``sslmode`` leaves open, as asyncpg reads it."""
    for location in config.where():
        ssl = config.options.get("ssl")
        where = "OPTIONS['ssl']"
        if ssl is None:
            ssl, where = location.query.get("sslmode"), "LOCATION"
        if ssl is None:
            ssl = os.environ.get("PGSSLMODE", "prefer")
        password = location.password is not None or config.options.get("password") is not None
        if ssl in _MAY_BE_PLAIN:
            if password and not location.is_local:
                mode = ssl or "disable"
                yield Exposure(
                    kind="plaintext",
                    setting=where,
                    message=f"sends a password to another host with sslmode {mode!r}, which "
                    + ("never encrypts" if mode == "disable" else "may do without encryption"),
                    hint="Use sslmode=verify-full, with the authority's file as sslrootcert.",
                )
        elif ssl == "require":
            # As libpq does, asyncpg verifies where it is given an authority.
            if "sslrootcert" not in location.query and "PGSSLROOTCERT" not in os.environ:
                yield Exposure(
                    kind="unverified",
                    setting=where,
                    message="has sslmode 'require', which encrypts and verifies nothing",
                    hint="Use sslmode=verify-full, with the authority's file as sslrootcert.",
                )
        elif isinstance(ssl, SSLContext) and ssl.verify_mode == CERT_NONE:
            yield Exposure(
                kind="unverified",
                setting=where,
                message="is a context that verifies no certificate",
                hint="Make it by ssl.create_default_context(cafile=...).",
            )


_MAY_BE_PLAIN = (False, "disable", "allow", "prefer")


def _driver_parameters() -> frozenset[str]:
    try:
        import asyncpg
    except ImportError:  # whoever asks reports a missing driver by itself
        return frozenset()
    return frozenset(inspect.signature(asyncpg.connect).parameters)


def _is_settings(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, str) for each in [*value, *value.values()]
    )


_EXPECTED: dict[str, tuple[Callable[[object], bool], str]] = {
    "command_timeout": (is_positive, "a number of seconds above 0"),
    "init": (is_async_function, "an async function, or the dotted path of one"),
    "max_cacheable_statement_size": (is_count, "a number of bytes, 0 or more"),
    "max_cached_statement_lifetime": (is_count, "a number of seconds, 0 or more"),
    "server_settings": (_is_settings, "a dict of strings to strings"),
    "statement_cache_size": (is_count, "a number of statements, 0 or more"),
}
