"""Settings under which a moment is another value in Python."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import QuerySet
from django.test import override_settings

WORLDS: dict[str, dict[str, Any]] = {
    "aware": {"USE_TZ": True, "TIME_ZONE": "Europe/Berlin"},
    "naive": {"USE_TZ": False, "TIME_ZONE": "America/Chicago"},
    "database": {"USE_TZ": True, "TIME_ZONE": "UTC", "DATABASE": "Asia/Kathmandu"},
}
"""The last has a ``TIME_ZONE`` of the database's own."""


@contextlib.contextmanager
def world(name: str) -> Iterator[None]:
    """Both sides connect anew: the server is told of the zone by a session's beginning."""
    changed = dict(WORLDS[name])
    mine = connections.settings["default"]
    before = mine["TIME_ZONE"]
    mine["TIME_ZONE"] = changed.pop("DATABASE", before)
    connections.close_all()
    with override_settings(**changed):
        yield
    connections.close_all()
    mine["TIME_ZONE"] = before
    # The wrapper has kept the zone that it computed.
    vars(connections["default"]).pop("timezone", None)
    vars(connections["default"]).pop("timezone_name", None)


def moment(*numbers: int) -> datetime.datetime:
    """A moment of UTC, as it is written in the current world."""
    zone = datetime.UTC if settings.USE_TZ else None
    return datetime.datetime(*numbers, tzinfo=zone)  # type: ignore[misc, arg-type]


def aware_only(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Nothing where moments are naive, which Django lets nobody move to another zone."""
    return rows if settings.USE_TZ else rows.none()
