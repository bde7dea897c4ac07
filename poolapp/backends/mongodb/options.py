"""What an alias says to the driver."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlencode

from poolapp.core.config import PoolConfig

_LONGEST_APPNAME = 128
"""Bytes; the driver refuses more."""


def arguments(config: PoolConfig) -> tuple[str, dict[str, Any]]:
    """The URL, without user and password, and the keyword arguments of the driver's client."""
    (location,) = config.where()
    query = urlencode(location.query)
    url = f"{location.scheme}://{location.address}{location.path or '/'}"
    given = {name.lower() for name in (*config.options, *location.query)}
    defaults = _defaults(config).items()
    options = {name: value for name, value in defaults if name.lower() not in given}
    options |= config.options
    if location.username is not None:
        options["username"] = location.username
    if location.password is not None:
        options["password"] = location.password.reveal()
    return f"{url}?{query}" if query else url, options


def _defaults(config: PoolConfig) -> dict[str, Any]:
    """What the settings of the alias mean to the driver. Its sockets are as many as there are
    seats, so that whoever holds a lease never queues for one."""
    appname = f"poolapp:{config.alias}:{os.getpid()}".encode()[:_LONGEST_APPNAME]
    connect_ms = round(config.connect_timeout * 1000)
    return {
        "appname": appname.decode(errors="ignore"),
        "connectTimeoutMS": connect_ms,
        "maxConnecting": config.max_connecting,
        "maxIdleTimeMS": round(config.idle_timeout * 1000),
        "maxPoolSize": config.max_size,
        "minPoolSize": config.min_size,
        "serverSelectionTimeoutMS": connect_ms,
        "waitQueueTimeoutMS": max(1, round(config.acquire_timeout * 1000)),
    }


def loads_authorities(config: PoolConfig) -> bool:
    """Whether making the client loads certificates, as for TLS."""
    (location,) = config.where()
    names = (*config.options, *location.query)
    return location.scheme == "mongodb+srv" or any(
        name.lower().startswith(("tls", "ssl")) for name in names
    )
