"""The live part of the admin's page, for Channels::

    from poolapp.routing import websocket_urlpatterns

    application = ProtocolTypeRouter(
        {"http": ..., "websocket": URLRouter([*websocket_urlpatterns, ...])}
    )

It brings what it needs around it, the session and the check of the page's origin, and asks for the
same permission as the page. Importing this module has the page use it; without it the page polls.
"""

from __future__ import annotations

from channels.auth import AuthMiddlewareStack
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from poolapp import pages
from poolapp.status import PoolStatusConsumer

websocket_urlpatterns = [
    path(
        pages.SOCKET,
        AllowedHostsOriginValidator(AuthMiddlewareStack(PoolStatusConsumer.as_asgi())),
    )
]

pages.Live.is_routed = True
