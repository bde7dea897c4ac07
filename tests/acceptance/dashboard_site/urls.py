"""The admin, and views that hold connections as long as the test says."""

import asyncio

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from poolapp import pools

HELD = []
WAITING = []


async def ready(request: HttpRequest) -> HttpResponse:
    await pools["cache"].execute("PING")
    return HttpResponse("ok")


async def hold(request: HttpRequest, count: int) -> HttpResponse:
    for _ in range(count):
        lease = await pools["default"].acquire()
        HELD.append(lease)
    return HttpResponse("held")


async def wait(request: HttpRequest, count: int) -> HttpResponse:
    """Ask for more than there are."""
    acquire = pools["default"].acquire
    WAITING.extend(asyncio.ensure_future(acquire()._acquire()) for _ in range(count))
    return HttpResponse("waiting")


async def release(request: HttpRequest) -> HttpResponse:
    for each in WAITING:
        each.cancel()
    WAITING.clear()
    while HELD:
        HELD.pop().release()
    return HttpResponse("released")


async def work(request: HttpRequest, count: int) -> HttpResponse:
    for _ in range(count):
        await pools["default"].fetchval("SELECT 1")
    return HttpResponse("worked")


urlpatterns = [
    path("ready", ready),
    path("hold/<int:count>", hold, name="hold"),
    path("wait/<int:count>", wait, name="wait"),
    path("release", release),
    path("work/<int:count>", work, name="work"),
    path("admin/", admin.site.urls),
]
