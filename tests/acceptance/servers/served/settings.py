"""The environment says where the servers are and what to call ourselves there."""

import os

NAME = os.environ["SERVED_NAME"]
"""What PostgreSQL and Valkey know the connections by."""
MAX_SIZE = 4
CLOSE_TIMEOUT = float(os.environ.get("SERVED_CLOSE_TIMEOUT", "10"))

SECRET_KEY = "for the tests only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "served.urls"
WSGI_APPLICATION = "served.wsgi.application"
ASGI_APPLICATION = os.environ.get("SERVED_ASGI", "served.asgi.application")

INSTALLED_APPS = [*filter(None, [os.environ.get("SERVED_DAPHNE")]), "poolapp", "served"]
MIDDLEWARE: list[str] = []

POOLS = {
    "default": {
        "BACKEND": "poolapp.backends.postgres.PostgresBackend",
        "LOCATION": os.environ["SERVED_POSTGRES_URL"],
        "MAX_SIZE": MAX_SIZE,
        "ACQUIRE_TIMEOUT": 60,
        "CLOSE_TIMEOUT": CLOSE_TIMEOUT,
        "LOOPS": os.environ.get("SERVED_LOOPS", "own"),
        "OPTIONS": {"server_settings": {"application_name": NAME}},
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"poolapp": {"handlers": ["console"], "level": "INFO"}},
}
