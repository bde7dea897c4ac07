"""The tables of these models, in the session's database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection


@contextlib.contextmanager
def tables() -> Iterator[None]:
    """Made anew, and gone at the end. Called where no loop runs."""
    ContentType.objects.clear_cache()
    models = list(apps.get_app_config("rows").get_models())
    if ContentType._meta.db_table not in connection.introspection.table_names():
        models.insert(0, ContentType)
    drop(models)
    with connection.schema_editor() as editor:
        for model in models:
            editor.create_model(model)
    try:
        yield
    finally:
        drop(models)
        ContentType.objects.clear_cache()
        connection.close()


def drop(models: list[type]) -> None:
    names = [table for model in models for table in names_of(model)]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {', '.join(names)} CASCADE")


def names_of(model: type) -> list[str]:
    joined = [field.m2m_db_table() for field in model._meta.local_many_to_many]
    return [connection.ops.quote_name(name) for name in (model._meta.db_table, *joined)]


def emptying() -> str:
    """A statement that leaves them empty, and their sequences at the start."""
    models = apps.get_app_config("rows").get_models()
    names = [table for model in models for table in names_of(model)]
    return f"TRUNCATE {', '.join(names)} RESTART IDENTITY CASCADE"
