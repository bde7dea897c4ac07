import psutil
from django.http import HttpRequest, JsonResponse
from django.urls import path

from poolapp import pools


async def ready(request: HttpRequest) -> JsonResponse:
    pool = pools["prices"]
    upstream = pool._upstream
    everyone = [] if upstream is None else upstream.audience.everyone()
    return JsonResponse(
        {
            "subscribers": len(everyone),
            "dropped": sorted(each.dropped for each in everyone),
            "in_use": pool.in_use,
            "memory": psutil.Process().memory_info().rss,
        }
    )


urlpatterns = [path("ready", ready)]
