"""Managers beside the ORM: one model is the schema for every store. Importing this imports no
driver."""

from poolapp.managers.documents import BulkError, BulkResult, Conflict, Missing, Rejected
from poolapp.managers.elasticsearch import ElasticsearchManager
from poolapp.managers.mongodb import MongoManager
from poolapp.managers.postgres import (
    NativeModel,
    PostgresManager,
    PostgresQuerySet,
    PostgresRawQuerySet,
)
from poolapp.managers.redis import RedisManager
from poolapp.managers.s3 import S3Manager

__all__ = [
    "BulkError",
    "BulkResult",
    "Conflict",
    "ElasticsearchManager",
    "Missing",
    "MongoManager",
    "NativeModel",
    "PostgresManager",
    "PostgresQuerySet",
    "PostgresRawQuerySet",
    "RedisManager",
    "Rejected",
    "S3Manager",
]
