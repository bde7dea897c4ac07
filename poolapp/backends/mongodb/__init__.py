"""MongoDB, on PyMongo's asynchronous client: ``poolapp.backends.mongodb.MongoBackend``."""

from poolapp.backends.mongodb.backend import MongoBackend
from poolapp.backends.mongodb.changes import Changes
from poolapp.backends.mongodb.pool import MongoPool

__all__ = ["Changes", "MongoBackend", "MongoPool"]
