"""A database of the proof's own, which the alias ``default`` leads to meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.management import create_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.signals import get_citext_oids, get_hstore_oids
from django.db import connection, connections
from django.test import override_settings
from psycopg import sql

EXTENSIONS = ("btree_gist", "citext", "hstore", "pg_trgm", "unaccent")


@contextlib.contextmanager
def installed(*packages: str) -> Iterator[None]:
    """Have these apps, and ``django.contrib.postgres``, among the INSTALLED_APPS."""
    wanted = [*settings.INSTALLED_APPS, "django.contrib.postgres", *packages]
    with override_settings(INSTALLED_APPS=list(dict.fromkeys(wanted))):
        yield


@contextlib.contextmanager
def database(name: str) -> Iterator[None]:
    """A new database of this name, of the server of ``DATABASES["default"]``."""
    mine = connections.settings["default"]
    before = mine["NAME"]
    with outside() as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    _move(mine, name)
    try:
        with outside() as admin:
            for extension in EXTENSIONS:
                admin.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
        yield
    finally:
        _move(mine, before)
        with outside() as admin:
            # What the native side has open is closed when its loop ends.
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _move(mine: dict[str, Any], name: str) -> None:
    connections.close_all()
    mine["NAME"] = name
    # What was learned of the other database.
    for cache in (get_hstore_oids, get_citext_oids):
        cache.cache_clear()
    ContentType.objects.clear_cache()


def outside() -> psycopg.Connection[Any]:
    """A connection beside both sides, in autocommit."""
    mine = connections.settings["default"]
    named = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password"}
    return psycopg.connect(
        **{theirs: mine[ours] for ours, theirs in named.items() if mine[ours]},
        dbname=mine["NAME"],
        autocommit=True,
    )


def create_tables(*packages: str) -> None:
    """Those of the managed models of these apps, and what generic relations need."""
    configs = [each for each in apps.get_app_configs() if each.name in packages]
    created = [ContentType]
    for config in configs:
        created += config.get_models()
    with connection.schema_editor() as editor:
        for model in created:
            if model._meta.managed and not model._meta.proxy:
                editor.create_model(model)
    for config in configs:
        create_contenttypes(config, verbosity=0)


def digest() -> sql.Composed:
    """A statement that gives what stands in each table, in short."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
    part = "SELECT {}, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t"
    parts = [sql.SQL(part).format(each, sql.Identifier(each)) for each in sorted(names)]
    return sql.SQL(" UNION ALL ").join(parts)


def restart_sequences(admin: psycopg.Connection[Any]) -> None:
    """Both sides are to give the same keys, and a rollback does not bring a sequence back."""
    admin.execute("SELECT setval(oid::regclass, 10000, false) FROM pg_class WHERE relkind = 'S'")
