"""``DATABASE``: where to connect to, from Django's own ``DATABASES``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from poolapp.conf.wrong import Wrong, nearest, shown
from poolapp.core.config import Location, Secret
from poolapp.databases import vendor_of, zone_of

SAME_IN_A_URL = (
    "options", "passfile", "service", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
    "sslpassword", "sslrootcert", "ssl_max_protocol_version", "ssl_min_protocol_version",
    "target_session_attrs",
)  # fmt: skip
"""Those of ``DATABASES[...]['OPTIONS']`` that say where and how to connect: libpq's names."""


@dataclasses.dataclass(frozen=True, slots=True)
class DatabaseLocation:
    """Reads ``DATABASES`` anew at each call, since a test run renames the database in place.

    It reads the dictionary that all of Django's connections of that alias share. Asking for
    ``connections[alias]`` would make a connection object for each task that asks.
    """

    alias: str

    def __call__(self) -> tuple[Location, ...]:
        return (location_of(connections.settings[self.alias]),)


def location_of(settings: Mapping[str, Any]) -> Location:
    """Where an entry of ``DATABASES`` leads to."""
    options = settings.get("OPTIONS") or {}
    query = {name: str(options[name]) for name in SAME_IN_A_URL if options.get(name)}
    query |= _session(settings, options)
    host, port = str(settings.get("HOST") or ""), str(settings.get("PORT") or "")
    address = ",".join(_addresses(host, port))
    if host.startswith("/"):
        address, query["host"] = "", host
    if port and not address:
        query["port"] = port
    password = settings.get("PASSWORD")
    return Location(
        scheme="postgresql",
        username=str(settings.get("USER") or "") or None,
        password=Secret(str(password)) if password else None,
        address=address,
        # As it would stand in a URL, whose path the backend decodes.
        path=f"/{quote(str(settings['NAME']), safe='')}" if settings.get("NAME") else "",
        query=MappingProxyType(query),
    )


def _session(settings: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """What Django sets in each session that it opens. Here it is asked for with the connection, so
    that a reset goes back to it."""
    found = {"TimeZone": zone_of(settings), "role": options.get("assume_role")}
    return {name: str(value) for name, value in found.items() if value}


def _addresses(host: str, port: str) -> Iterator[str]:
    """``HOST`` and ``PORT`` may each hold several, separated by commas; one port is for all."""
    ports = port.split(",")
    for number, each in enumerate(host.split(",") if host else ()):
        name = f"[{each}]" if each.count(":") > 1 and not each.startswith("[") else each
        own = ports[number] if len(ports) > 1 and number < len(ports) else ports[0]
        yield f"{name}:{own}" if own else name


def database(value: Any) -> DatabaseLocation:
    """The rule of ``DATABASE``; raises Wrong."""
    if not isinstance(value, str):
        raise Wrong(f"must be an alias of DATABASES, not {shown(value)}")
    try:
        known: Mapping[str, Any] = connections.settings
    except ImproperlyConfigured:
        raise Wrong("can't be used, because DATABASES itself is wrong") from None
    if value not in known:
        hint = nearest(value, known).replace("The keys are", "DATABASES has")
        raise Wrong(f"names {value!r}, which DATABASES does not have", hint)
    vendor = vendor_of(str(known[value].get("ENGINE", "")))
    if vendor != "postgresql":
        raise Wrong(
            f"names {value!r}, which is no PostgreSQL database but {vendor!r}",
            "Only a PostgreSQL database is pooled by DATABASE; for another server give LOCATION.",
        )
    return DatabaseLocation(value)
