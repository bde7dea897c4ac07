"""MongoDB: ``MongoManager``."""

from poolapp.managers.mongodb.changes import Change, DocumentChanges
from poolapp.managers.mongodb.manager import MongoManager
from poolapp.managers.mongodb.queryset import MongoQuerySet
from poolapp.managers.mongodb.transactions import atomic

__all__ = ["Change", "DocumentChanges", "MongoManager", "MongoQuerySet", "atomic"]
