import os

from django.core.asgi import get_asgi_application

from poolapp.asgi import PoolLifespan

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "metrics_site.settings")

application = PoolLifespan(get_asgi_application())

from poolapp.monitoring import prometheus  # noqa: E402 - Django has to be set up first
from poolapp.monitoring.fleet import timing  # noqa: E402

# No test waits for the next time.
prometheus.PERIOD = 0.1
timing.INTERVAL = 0.2
