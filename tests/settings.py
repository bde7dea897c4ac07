"""Settings of the test session. Its servers are started before these are read: see `servers`."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

_postgres = urlsplit(
    # Without servers (unit tests only) nobody connects.
    os.environ.get("POOLAPP_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
)
_elasticsearch = os.environ.get("POOLAPP_ELASTICSEARCH_URL", "http://127.0.0.1:9200")

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "for the tests only"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "poolapp",
    "poolapp.instep",
    "tests.rows.apps.RowsConfig",
    "tests.stores.apps.StoresConfig",
]

MIDDLEWARE = [
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
        "NAME": unquote(_postgres.path.lstrip("/")),
        # The same one: pools of the session lead there as well, and the server is the tests' own.
        "TEST": {"NAME": unquote(_postgres.path.lstrip("/"))},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

POOLS = {
    "default": {
        "BACKEND": "poolapp.backends.postgres.PostgresBackend",
        "DATABASE": "default",
    },
    "search": {
        "BACKEND": "poolapp.backends.elasticsearch.ElasticsearchBackend",
        "LOCATION": [_elasticsearch],
    },
}
