"""Which Redis the fleet meets at."""

from __future__ import annotations

import dataclasses

from django.conf import settings


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """What ``POOLAPP`` says of the fleet."""

    alias: str
    """Of ``POOLS``: a Redis."""
    name: str
    """Sets fleets apart that share one Redis."""

    def key(self, kind: str) -> str:
        """All keys have one hash tag, so that they lie on one server of a cluster."""
        return f"{{poolapp:{self.name}}}:{kind}"


def place() -> Place | None:
    """None when no fleet is configured, or wrongly: `manage.py check` tells that."""
    own = getattr(settings, "POOLAPP", None)
    if not isinstance(own, dict):
        return None
    alias, name = own.get("FLEET"), own.get("FLEET_NAME", "default")
    if not isinstance(alias, str) or not isinstance(name, str):
        return None
    return Place(alias, name)
