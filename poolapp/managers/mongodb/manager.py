"""``MongoManager``: documents of a collection as instances of a model."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.mongodb.queryset import MongoQuerySet
from poolapp.managers.mongodb.store import MongoStore

M = TypeVar("M", bound=Model)


class MongoManager(DocumentManager[M, MongoQuerySet[M]]):
    """``documents = MongoManager(pool="events", collection="articles")``.

    The collection is called like the model (``shop_article``) unless one is given; ``database`` is
    that of the pool's URL unless one is given.
    """

    queryset_class: ClassVar[type[DocumentQuerySet[Model]]] = MongoQuerySet
    server: ClassVar[str] = "MongoDB"
    needs: ClassVar[tuple[str, ...]] = ("atomic", "joined", "watch")

    def __init__(
        self, pool: str, collection: str | None = None, *, database: str | None = None
    ) -> None:
        super().__init__(pool)
        if collection is not None and not _is_collection(collection):
            raise ImproperlyConfigured(
                f"MongoManager: {collection!r} is no name of a collection; it is not empty, has "
                "neither '$' nor NUL, and does not begin with 'system.'"
            )
        self.collection = collection
        self.database = database

    def make_store(self, alias: str) -> MongoStore:
        return MongoStore(self.model, alias, self.collection or self.label(), self.database)


def _is_collection(name: str) -> bool:
    return bool(name) and not {"$", "\x00"} & set(name) and not name.startswith("system.")
