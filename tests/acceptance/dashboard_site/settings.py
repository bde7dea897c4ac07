"""The environment says where the stores are."""

import os
from urllib.parse import unquote, urlsplit

_postgres = urlsplit(os.environ["DASHBOARD_POSTGRES_URL"])

SECRET_KEY = "for the tests only"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "dashboard_site.urls"
ASGI_APPLICATION = "dashboard_site.asgi.application"
STATIC_URL = "/static/"

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "poolapp",
]

MIDDLEWARE = [
    "poolapp.middleware.holders",
    "dashboard_site.policy.strict",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _postgres.hostname,
        "PORT": _postgres.port,
        "USER": unquote(_postgres.username or ""),
        "PASSWORD": unquote(_postgres.password or ""),
        "NAME": _postgres.path.lstrip("/"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

POOLS = {
    "default": {
        "BACKEND": "poolapp.backends.postgres.PostgresBackend",
        "DATABASE": "default",
        "MAX_SIZE": 4,
        "LEAK_AFTER": float(os.environ.get("DASHBOARD_LEAK_AFTER", "60")),
        "ACQUIRE_TIMEOUT": 600,
    },
    "cache": {
        "BACKEND": "poolapp.backends.redis.RedisBackend",
        "LOCATION": os.environ["DASHBOARD_REDIS_URL"],
        "MAX_SIZE": 5,
    },
}
POOLAPP = {"FLEET": "cache", "FLEET_NAME": os.environ["DASHBOARD_FLEET"]}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
