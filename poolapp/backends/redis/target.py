"""Where an alias connects to and as whom, read off its URLs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import unquote

from poolapp.core.config import Location, PoolConfig, Secret

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

Kind = Literal["server", "unix", "sentinel", "cluster"]

SCHEMES: Mapping[str, tuple[Kind, bool]] = MappingProxyType(
    {
        "redis": ("server", False),
        "rediss": ("server", True),
        "unix": ("unix", False),
        "redis+sentinel": ("sentinel", False),
        "rediss+sentinel": ("sentinel", True),
        "redis+cluster": ("cluster", False),
        "rediss+cluster": ("cluster", True),
    }
)
"""What stands behind each scheme, and whether it is spoken to by TLS."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What ``target`` gives."""

    kind: Kind
    tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    """Of the server, the Sentinels or some nodes of the cluster."""
    path: str = ""
    """Of the socket's file."""
    service: str = ""
    """What the Sentinels call the primary."""
    db: int | None = None
    username: str | None = None
    password: Secret[str] | None = None
    query: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """The URL's parameters, as redis-py converts them; they are options like any other."""

    def replace(self, **changes: Any) -> Target:
        return dataclasses.replace(self, **changes)


def target(config: PoolConfig) -> Target:
    """Raises ValueError, with no secret in it, for what makes no sense."""
    locations = config.where()
    if not locations:
        raise ValueError("is missing")
    first = locations[0]
    if first.scheme not in SCHEMES:
        raise ValueError(f"has the scheme {first.scheme!r}")
    kind, tls = SCHEMES[first.scheme]
    if any(_but_for_hosts(each) != _but_for_hosts(first) for each in locations[1:]):
        raise ValueError("has URLs that differ in more than their hosts")
    found = Target(
        kind=kind,
        tls=tls,
        username=first.username,
        password=first.password,
        query=_converted(first.query),
    )
    if kind == "unix":
        if first.address or not first.path.strip("/") or len(locations) > 1:
            raise ValueError("must be one path of a socket")
        return found.replace(path=unquote(first.path))
    port = SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    hosts = tuple(
        (unquote(host) or "localhost", number)
        for each in locations
        for host, number in each.hosts(port)
    )
    if kind == "server" and len(hosts) > 1:
        raise ValueError("has more than one server")
    parts = [unquote(part) for part in first.path.strip("/").split("/") if part]
    service = parts.pop(0) if kind == "sentinel" and parts else ""
    if kind == "sentinel" and not service:
        raise ValueError("doesn't name the service that the Sentinels look after")
    db = _database(parts)
    if kind == "cluster" and db:
        raise ValueError("chooses a database, of which a cluster has one only")
    return found.replace(hosts=hosts, service=service, db=None if kind == "cluster" else db)


def _but_for_hosts(location: Location) -> tuple[Any, ...]:
    query = sorted(location.query.items())
    return location.scheme, location.username, location.password, location.path, query


def _database(parts: list[str]) -> int | None:
    if not parts:
        return None
    if len(parts) > 1 or not (parts[0].isascii() and parts[0].isdigit()):
        raise ValueError("has a path that is no number of a database")
    return int(parts[0])


def _converted(query: Mapping[str, str]) -> dict[str, Any]:
    if not query:
        return {}
    from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS

    found: dict[str, Any] = {}
    for name, value in query.items():
        convert = URL_QUERY_ARGUMENT_PARSERS.get(name)
        try:
            found[name] = value if convert is None else convert(value)
        except (TypeError, ValueError):
            raise ValueError(f"has a parameter {name!r} whose value makes no sense") from None
    return found
