"""All worker processes of all hosts, by way of a Redis: ``POOLAPP = {"FLEET": "cache"}``."""

from __future__ import annotations

from poolapp.monitoring.fleet.looking import Fleet
from poolapp.monitoring.fleet.orders import VERBS
from poolapp.monitoring.fleet.shapes import Answer, FleetPicture, ServerLimit
from poolapp.monitoring.health import monitor

__all__ = ["VERBS", "Answer", "Fleet", "FleetPicture", "ServerLimit", "fleet", "order", "read"]

fleet = Fleet(monitor)
"""The process's own."""

read = fleet.read
order = fleet.order
