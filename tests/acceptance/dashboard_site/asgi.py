import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard_site.settings")
django_application = get_asgi_application()

from poolapp.asgi import PoolLifespan  # noqa: E402 - Django has to be set up first
from poolapp.routing import websocket_urlpatterns  # noqa: E402

application = PoolLifespan(
    ProtocolTypeRouter(
        {
            "http": ASGIStaticFilesHandler(django_application),
            "websocket": URLRouter(websocket_urlpatterns),
        }
    )
)
