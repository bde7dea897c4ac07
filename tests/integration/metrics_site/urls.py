import os

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from poolapp import pools


async def borrow(request: HttpRequest) -> JsonResponse:
    async with pools["default"].acquire() as connection:
        await connection.fetchval("SELECT 1")
    return JsonResponse({"process": os.getpid()})


async def drain(request: HttpRequest) -> JsonResponse:
    pools.drain("default")
    return JsonResponse({"process": os.getpid()})


async def ready(request: HttpRequest) -> JsonResponse:
    """Uses no pool."""
    return JsonResponse({"process": os.getpid()})


urlpatterns = [
    path("borrow", borrow),
    path("drain", drain),
    path("ready", ready),
    path("", include("django_prometheus.urls")),
]
