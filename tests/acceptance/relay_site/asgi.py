import asyncio
import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.sessions import SessionMiddlewareStack
from django.core.asgi import get_asgi_application
from django.urls import path

from poolapp.asgi import PoolLifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "relay_site.settings")
django_application = get_asgi_application()

from poolapp.consumers import PooledUpstreamMixin  # noqa: E402 - Django has to be set up first


class Prices(PooledUpstreamMixin):
    upstream = "prices"
    limit = 100

    async def __call__(self, *args: Any) -> None:
        try:
            await super().__call__(*args)
        except asyncio.CancelledError:
            print("a consumer was cancelled", flush=True)
            raise


application = PoolLifespan(
    ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": SessionMiddlewareStack(URLRouter([path("prices", Prices.as_asgi())])),
        }
    )
)
