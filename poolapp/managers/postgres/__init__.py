"""Django's QuerySets, run natively on asyncpg."""

from poolapp.managers.postgres.instances import NativeModel
from poolapp.managers.postgres.manager import PostgresManager
from poolapp.managers.postgres.queryset import PostgresQuerySet
from poolapp.managers.postgres.raw import PostgresRawQuerySet

__all__ = ["NativeModel", "PostgresManager", "PostgresQuerySet", "PostgresRawQuerySet"]
