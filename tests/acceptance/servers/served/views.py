"""The ways a view may use a pool."""

import os

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, JsonResponse
from served.work import ask, in_flight

from poolapp import pools


async def from_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await ask())


def by_run(request: HttpRequest) -> HttpResponse:
    return JsonResponse(pools.run(ask))


def by_async_to_sync(request: HttpRequest) -> HttpResponse:
    return JsonResponse(async_to_sync(ask)())


def ready(request: HttpRequest) -> HttpResponse:
    """Uses no pool."""
    return JsonResponse({"process": os.getpid(), "in_flight": len(in_flight)})
