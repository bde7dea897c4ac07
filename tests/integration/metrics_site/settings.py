"""The environment says where the servers are."""

import os

NAME = os.environ["METRICS_NAME"]
"""What PostgreSQL knows the connections by."""
MAX_SIZE = 3

SECRET_KEY = "for the tests only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "metrics_site.urls"
ASGI_APPLICATION = "metrics_site.asgi.application"
INSTALLED_APPS = ["django_prometheus", "poolapp"]
MIDDLEWARE: list[str] = []

POOLS = {
    "default": {
        "BACKEND": "poolapp.backends.postgres.PostgresBackend",
        "LOCATION": os.environ["METRICS_POSTGRES_URL"],
        "MAX_SIZE": MAX_SIZE,
        "ACQUIRE_TIMEOUT": 60,
        "OPTIONS": {"server_settings": {"application_name": NAME}},
    },
    "cache": {
        "BACKEND": "poolapp.backends.redis.RedisBackend",
        "LOCATION": os.environ["METRICS_REDIS_URL"],
    },
}
POOLAPP = {"FLEET": "cache", "FLEET_NAME": NAME}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"poolapp": {"handlers": ["console"], "level": "INFO"}},
}
