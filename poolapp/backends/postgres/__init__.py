"""PostgreSQL, on asyncpg's connections: ``poolapp.backends.postgres.PostgresBackend``."""

from poolapp.backends.postgres.backend import PostgresBackend
from poolapp.backends.postgres.notifications import Notification, Notifications
from poolapp.backends.postgres.pool import PostgresPool, atomic

__all__ = ["Notification", "Notifications", "PostgresBackend", "PostgresPool", "atomic"]
