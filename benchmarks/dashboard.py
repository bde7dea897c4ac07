"""The admin's page of a large fleet: how long it takes to make, and how long it holds up a loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable

import django
from django.conf import settings
from django.test.utils import override_settings
from django.urls import include, path

from benchmarks.fleet_pictures import fleet_picture
from benchmarks.measure import Goal, Lab, Row

SERVICES = ()

ALIASES, LOOPS, WORKERS = 8, 4, 16

NAMES = ("poolapp_pool_change",)
urlpatterns = [
    path(
        "admin/",
        include(
            (
                [path("<str:alias>/", lambda request, alias: None, name=each) for each in NAMES],
                "admin",
            )
        ),
    )
]

PAGE = override_settings(
    ROOT_URLCONF="benchmarks.dashboard",
    TEMPLATES=[
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
    ],
)


async def run(lab: Lab) -> None:
    if not settings.configured:
        settings.configure(INSTALLED_APPS=["poolapp"], POOLS={})
        django.setup()
    from poolapp import pages

    lab.report.goals["dashboard.page_ms"] = Goal("<=", 200.0)
    title = f"The page of {ALIASES} aliases x {LOOPS} loops x {WORKERS} workers"
    section = lab.report.section(title)
    seconds: list[float] = []
    gaps: list[float] = []
    others: list[float] = []
    sizes: list[float] = []
    with PAGE:
        picture = fleet_picture(ALIASES, LOOPS, WORKERS)
        pages.message(picture)  # its templates are compiled once
        for _ in range(lab.effort.rounds):
            started = time.perf_counter()
            message = pages.message(picture)
            seconds.append(time.perf_counter() - started)
            sizes.append(len(message["html"]))
            gaps.append(await _longest_gap(asyncio.to_thread(pages.message, picture)))
            others.append(await _longest_gap(asyncio.to_thread(_compute, seconds[-1])))
    rows = (
        ("the overview, ms", "dashboard.page_ms", _ms(seconds), "ms"),
        ("its HTML, kB", "dashboard.page_kb", [each / 1000 for each in sizes], "kB"),
        ("a loop waits while a thread makes it, ms", "dashboard.loop_ms", _ms(gaps), "ms"),
        ("while any thread computes, ms", "dashboard.any_thread_ms", _ms(others), "ms"),
    )
    for label, key, values, unit in rows:
        section.rows.append(Row(label, lab.report.add(key, values, unit)))


def _ms(seconds: list[float]) -> list[float]:
    return [each * 1000 for each in seconds]


def _compute(seconds: float) -> None:
    """Hold the interpreter's lock for as long as it lets one."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def _longest_gap(work: Awaitable[object]) -> float:
    """Seconds for which the running loop did not turn meanwhile."""
    longest = 0.0

    async def turn() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now

    turning = asyncio.create_task(turn())
    await work
    turning.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await turning
    return longest
