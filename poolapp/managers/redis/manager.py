"""The manager that a model declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from django.db.models import Model

from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.redis.queryset import RedisQuerySet, checked_ttl
from poolapp.managers.redis.store import RedisStore

M = TypeVar("M", bound=Model)


class RedisManager(DocumentManager[M, RedisQuerySet[M]]):
    """``hot = RedisManager(pool="cache", ttl=60, indexes=["author", "published"])``.

    Each instance is a hash of its own, under ``{prefix}:d:`` and the primary key; ``prefix`` is the
    model's label unless given. ``ttl`` is in seconds from the last write, None for ever. Documents
    are found and sorted by the primary key, and by each field that ``indexes`` names.
    """

    queryset_class: ClassVar[type[RedisQuerySet[Any]]] = RedisQuerySet
    server = "Redis or Valkey"
    needs = ("execute", "publish", "pipeline")

    def __init__(
        self,
        pool: str,
        *,
        prefix: str | None = None,
        ttl: float | None = None,
        indexes: Sequence[str] = (),
    ) -> None:
        super().__init__(pool)
        self._prefix = prefix
        self._ttl = checked_ttl(ttl)
        self._indexes = tuple(indexes)

    def make_store(self, alias: str) -> RedisStore:
        prefix = self.label() if self._prefix is None else self._prefix
        return RedisStore(self.model, alias, prefix, self._ttl, self._indexes)
