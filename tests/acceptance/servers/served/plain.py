"""An ASGI application as ``startproject`` makes it: nobody tells the pools of the end."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "served.settings")

application = get_asgi_application()
