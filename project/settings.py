"""Settings of the demo project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from poolapp.devservices import urls
from poolapp.devservices.folders import default_folder, make_folder
from project.keyfile import read_or_create

BASE_DIR = Path(__file__).resolve().parent.parent
DEVSERVICES_DIR = default_folder()  # the servers' data, and this project's secrets and logs
make_folder(DEVSERVICES_DIR)

DEBUG = os.environ.get("DJANGO_DEBUG", "") in {"1", "true", "yes"}
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or read_or_create(DEVSERVICES_DIR / "secret-key")
ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    *filter(None, os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(",")),
]

INSTALLED_APPS = [
    "daphne",  # first: it brings the asynchronous `runserver`
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "channels",
    "django_prometheus",
    "poolapp",
    "poolapp.instep",
    "poolapp.devservices",
    "project",
]

# All but our own are needed by the admin only.
MIDDLEWARE = [
    "poolapp.middleware.holders",
    "django.middleware.security.SecurityMiddleware",
    "project.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
WSGI_APPLICATION = "project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- the stores ----------------------------------------------------------------------------------
# Where they are is known once `manage.py devservices up` has started them, or from POOLAPP_*_URL.
# Until then the usual ports stand in, so that commands which need no store work.

SERVERS = urls()


def _database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "NAME": parts.path.lstrip("/") or "postgres",
    }


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _named(url: str, database: str) -> str:
    """The URL of a server with a database's name; the user's own name and password stay."""
    parts = urlsplit(url)
    if parts.path.strip("/"):
        return url
    query = parts.query or ("authSource=admin" if parts.username else "")
    return parts._replace(path=f"/{database}", query=query).geturl()


S3 = SERVERS.get("s3", "http://127.0.0.1:8333")
FEED = SERVERS.get("feed", "ws://127.0.0.1:8765/")
DATABASES = {
    "default": _database(SERVERS.get("postgres", "postgresql://postgres@127.0.0.1:5432/postgres"))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# What a page can do without is not waited for as long as PostgreSQL is.
PATIENCE = {"ACQUIRE_TIMEOUT": 2, "CONNECT_TIMEOUT": 2}

POOLS = {
    "default": {
        "BACKEND": "poolapp.backends.postgres.PostgresBackend",
        "DATABASE": "default",
        "MAX_SIZE": 10,
    },
    "search": {
        "BACKEND": "poolapp.backends.elasticsearch.ElasticsearchBackend",
        "LOCATION": [SERVERS.get("elasticsearch", "http://127.0.0.1:9200")],
        "MAX_SIZE": 50,
    },
    "media": {
        "BACKEND": "poolapp.backends.s3.S3Backend",
        "LOCATION": f"{S3}/stdlib?region=us-east-1",
        **PATIENCE,
        "MAX_SIZE": 20,
    },
    "web": {
        "BACKEND": "poolapp.backends.http.HttpBackend",
        "LOCATION": _without_user(S3),
        **PATIENCE,
        "MAX_SIZE": 20,
    },
    "cache": {
        "BACKEND": "poolapp.backends.redis.RedisBackend",
        "LOCATION": SERVERS.get("redis", "redis://127.0.0.1:6379/0"),
        **PATIENCE,
        "MAX_SIZE": 20,
    },
    "live": {
        "BACKEND": "poolapp.backends.websocket.WebSocketBackend",
        "LOCATION": FEED,
        **PATIENCE,
        "MAX_SIZE": 2,
    },
    "announce": {
        "BACKEND": "poolapp.backends.websocket.WebSocketBackend",
        "LOCATION": f"{FEED}publish",
        **PATIENCE,
        "MAX_SIZE": 2,
    },
    "notes": {
        "BACKEND": "poolapp.backends.mongodb.MongoBackend",
        "LOCATION": _named(SERVERS.get("mongodb", "mongodb://127.0.0.1:27017"), "stdlib"),
        **PATIENCE,
        "MAX_SIZE": 10,
    },
}

POOLAPP = {"FLEET": "cache"}

CACHES = {
    "default": {"BACKEND": "poolapp.cache.RedisCache", "LOCATION": "cache", "KEY_PREFIX": "stdlib"}
}

# --- the worker ----------------------------------------------------------------------------------
# Celery's queue and its results are where the cache is. `project.celery` reads these.

CELERY_BROKER_URL = CELERY_RESULT_BACKEND = POOLS["cache"]["LOCATION"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "stdlib"
CELERY_TASK_TRACK_STARTED = True
# A thread of ASGI lives as long as a request: without it each would open connections of its own.
CELERY_RESULT_BACKEND_THREAD_SAFE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False  # LOGGING is for the worker as well

# --- the rest ------------------------------------------------------------------------------------

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "/static/"

SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "short": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "short"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # Its own handlers would mail administrators and write each line twice.
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        "daphne": {"level": "INFO"},
        "celery": {"level": "INFO"},
        "poolapp": {"level": "INFO"},
        "project": {"level": "INFO"},
    },
}
