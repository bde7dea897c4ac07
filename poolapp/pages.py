"""The parts of the admin's pages that change by themselves: one template for each, whoever asks."""

from __future__ import annotations

from typing import Any, ClassVar

from django.template.loader import render_to_string
from django.urls import get_script_prefix

from poolapp.core.registry import pools
from poolapp.monitoring.board import Board, board
from poolapp.monitoring.fleet import FleetPicture, fleet

SOCKET = "poolapp/status/"
"""Where the status consumer is, from the site's root; see ``poolapp.routing``."""

PERIODS = (2, 5, 15)
"""Seconds between two looks, of which the browser has its choice."""


def may_see(user: Any) -> bool:
    """Staff with either permission."""
    permitted = user.has_perm("poolapp.view_pool") or user.has_perm("poolapp.change_pool")
    return bool(user.is_active and user.is_staff and permitted)


class Live:
    """What of the page's live part the project has."""

    is_routed: ClassVar[bool] = False
    """Set when ``poolapp.routing`` is imported: without it no browser knocks in vain."""


def found() -> FleetPicture:
    """From plain code, such as a view of the admin."""
    return pools.run(fleet.read)


def context(picture: FleetPicture, alias: str | None = None) -> dict[str, Any]:
    """Of the overview, or of one alias's page; ``pool`` is None for an alias nobody has."""
    shown = board(picture)
    return {
        "board": shown,
        "pool": None if alias is None else shown.alias(alias),
        "socket": get_script_prefix() + SOCKET if Live.is_routed else "",
        "seconds": PERIODS,
    }


def message(picture: FleetPicture, alias: str | None = None) -> dict[str, str]:
    """What a browser that watches gets: the HTML of the part that changes, and what a screen reader
    says. Takes some milliseconds: call it in a thread."""
    shown = context(picture, alias)
    told: Board = shown["board"]
    template = "poolapp/_board.html" if alias is None else "poolapp/_pool.html"
    html = render_to_string(template, shown)
    return {"status": told.status, "announcement": told.announcement, "html": html}
