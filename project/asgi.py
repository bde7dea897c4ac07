"""The ASGI application: Django behind Channels' router, with the pools' lifespan around both."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

http = get_asgi_application()

# These need the settings and the apps above.
from poolapp.asgi import PoolLifespan  # noqa: E402
from poolapp.routing import websocket_urlpatterns  # noqa: E402
from project.live import LiveConsumer  # noqa: E402

# The demo has no front server and no collectstatic step, so it serves its own static files.
application = PoolLifespan(
    ProtocolTypeRouter(
        {
            "http": ASGIStaticFilesHandler(http),
            "websocket": AllowedHostsOriginValidator(
                URLRouter([path("live", LiveConsumer.as_asgi()), *websocket_urlpatterns])
            ),
        }
    )
)
