import os

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path

from poolapp import pools


async def use(request: HttpRequest) -> HttpResponse:
    async with pools["cache"].acquire() as client:
        await client.ping()
    return JsonResponse({"process": os.getpid()})


def use_plainly(request: HttpRequest) -> HttpResponse:
    pools.run(ping)
    return JsonResponse({"process": os.getpid()})


async def ping() -> None:
    await pools["cache"].ping()


async def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("ready", ready),
    path("use", use),
    path("use_plainly", use_plainly),
    path("pools/", include("poolapp.urls")),
]
