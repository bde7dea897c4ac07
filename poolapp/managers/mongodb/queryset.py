"""MongoDB's own methods of a QuerySet."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model

from poolapp.managers.documents.bulk import BulkError, BulkResult, OnError
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.mongodb.changes import DocumentChanges

if TYPE_CHECKING:
    from poolapp.managers.mongodb.store import MongoStore

M = TypeVar("M", bound=Model)


class MongoQuerySet(DocumentQuerySet[M]):
    """Like every QuerySet of documents, and: ``ordered()`` and ``awatch()``.

    Inside ``async with pools[alias].atomic()`` all of it is part of the transaction.
    """

    if TYPE_CHECKING:
        _store: MongoStore

    def ordered(self) -> MongoQuerySet[M]:
        """Bulk writes of this one are done one after the other, in the order given, and end at the
        first failure: what came after it is told as not tried. Without it they are done in any
        order, several batches at a time, and each item fails alone."""
        return self._with_extras(ordered=True)

    async def aiterator(
        self, chunk_size: int | None = None, *, prefetch: int = 1
    ) -> AsyncGenerator[M, None]:
        # To read ahead takes another task, and a transaction is of one.
        if prefetch and self._store.pool.block() is not None:
            prefetch = 0
        found = super().aiterator(chunk_size, prefetch=prefetch)
        async with aclosing(found):
            async for each in found:
                yield each

    async def _bulk(
        self, objs: Any, operation: Any, timeout: float | None, **how: Any
    ) -> BulkResult:
        block = self._store.pool.block()
        ordered = bool(self._extras.get("ordered"))
        chosen = self
        if block is not None or ordered:
            how["concurrency"] = 1
            if how.get("ignore_conflicts"):
                chosen = self._with_extras(keep=True)
        if ordered:
            how["on_error"] = _ending(how.get("on_error"))
        bulk = super(MongoQuerySet, chosen)._bulk
        if block is None:
            return await bulk(objs, operation, timeout, **how)
        block.let_helpers_in()
        try:
            return await bulk(objs, operation, timeout, **how)
        finally:
            block.keep_helpers_out()

    def awatch(self, *, resume_after: Mapping[str, Any] | None = None) -> DocumentChanges[M]:
        """``async with Article.documents.awatch() as changes: async for change in changes``: what
        happens to these documents from now on, or since the ``token`` of a change, each with its
        instance (see Change).

        Of a ``filter`` those changes after which the document matches, and every deletion, which
        has no document to compare.
        """
        selection = self.selection()
        if selection.is_sliced or self._row is not None or self._only is not None:
            raise TypeError("awatch() gives whole instances: it goes with filter() alone")
        return DocumentChanges(self._store, selection.condition, resume_after)


def _ending(on_error: OnError | None) -> OnError:
    """What ends a bulk after the caller was told."""

    async def told(failed: Sequence[BulkError]) -> bool:
        if on_error is not None:
            answer = on_error(failed)
            if inspect.isawaitable(answer):
                await answer
        return False

    return told
