"""The ASGI application: Django behind Channels' router, with the pools' lifespan around both."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

http = get_asgi_application()

from poolapp.asgi import PoolLifespan  # noqa: E402  needs the settings and the apps above

# The demo has no front server and no collectstatic step, so it serves its own static files.
application = PoolLifespan(ProtocolTypeRouter({"http": ASGIStaticFilesHandler(http)}))
