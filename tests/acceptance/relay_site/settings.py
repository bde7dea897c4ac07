"""The environment says where the upstream is."""

import os

SECRET_KEY = "for the tests only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "relay_site.urls"
ASGI_APPLICATION = "relay_site.asgi.application"
INSTALLED_APPS = ["daphne", "poolapp"]
MIDDLEWARE: list[str] = []

POOLS = {
    "prices": {
        "BACKEND": "poolapp.backends.websocket.WebSocketBackend",
        "LOCATION": os.environ["RELAY_FEED_URL"],
        "MAX_SIZE": 1,
        "OPTIONS": {"linger": 0, "reconnect": 0.1, "max_size": 2**21, "compression": None},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"poolapp": {"handlers": ["console"], "level": "INFO"}},
}
