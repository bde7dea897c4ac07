"""The time zone of a session."""

from __future__ import annotations

from typing import Any


def is_in_zone(connection: Any, zone: str) -> bool:
    """By what the server has last reported; asks nobody."""
    return getattr(connection.get_settings(), "TimeZone", None) == zone


def set_zone(zone: str, *, local: bool = False) -> str:
    """The command; ``local`` to the transaction."""
    literal = "'" + zone.replace("'", "''") + "'"
    return f"SET {'LOCAL ' if local else ''}TimeZone TO {literal}"
