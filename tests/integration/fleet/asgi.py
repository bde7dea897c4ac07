import os

from django.core.asgi import get_asgi_application

from poolapp.asgi import PoolLifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

application = PoolLifespan(get_asgi_application())
