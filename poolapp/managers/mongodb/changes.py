"""What happens to a collection, as instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from django.db.models import Model

from poolapp.managers.documents.conditions import ALL, Condition
from poolapp.managers.documents.versions import remember
from poolapp.managers.mongodb.codec import ID, MICROSECONDS, VERSION, codec_options
from poolapp.managers.mongodb.errors import translated
from poolapp.managers.mongodb.matching import Matcher

if TYPE_CHECKING:
    from poolapp.managers.mongodb.store import MongoStore

M = TypeVar("M", bound=Model)

_TOLD = ("insert", "update", "replace", "delete")


@dataclass(frozen=True, slots=True)
class Change(Generic[M]):
    """One change of one document.

    ``instance`` is the whole document: as it was inserted or replaced; of an update as it is when
    the change is told; None for a deletion, and for an update of what is deleted by then.
    ``fields`` are the names of what an update changed, None for other operations. ``token`` is what
    ``awatch(resume_after=...)`` goes on behind.
    """

    operation: Literal["insert", "update", "replace", "delete"]
    pk: Any
    instance: M | None
    fields: frozenset[str] | None
    token: Mapping[str, Any]


class DocumentChanges(Generic[M]):
    """What ``awatch()`` gives: ``async with`` watches, ``async for`` reads; see ``pool.watch()``.

    An interruption is waited out, and the iteration goes on behind the last change that it gave.
    """

    def __init__(
        self, store: MongoStore, condition: Condition, resume_after: Mapping[str, Any] | None
    ) -> None:
        self._store = store
        self._changes = store.pool.watch(
            store.collection,
            _pipeline(store, condition),
            database=store.database,
            resume_after=resume_after,
            codec_options=codec_options(),
            full_document="updateLookup",
        )

    @property
    def resume_token(self) -> Mapping[str, Any] | None:
        """Behind the last change that was given."""
        token: Mapping[str, Any] | None = self._changes.resume_token
        return token

    async def __aenter__(self) -> Self:
        with translated(self._store.what):
            await self._changes.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._changes.__aexit__(kind, error, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change[M]:
        with translated(self._store.what):
            found = await self._changes.__anext__()
        return self._change(found)

    def _change(self, found: Mapping[str, Any]) -> Change[M]:
        store = self._store
        schema, codec = store.schema, store.codec
        operation = found["operationType"]
        held = found.get("fullDocument")
        instance: Any = None
        if held is not None:
            instance = schema.from_document(codec.load(held))
            if (version := codec.version(held)) is not None:
                remember(instance, store, version)
        pk = codec.decode(schema.pk, found["documentKey"][ID])
        return Change(
            operation,
            schema.load(schema.pk, pk),
            instance,
            self._changed(found["updateDescription"]) if operation == "update" else None,
            found["_id"],
        )

    def _changed(self, described: Mapping[str, Any]) -> frozenset[str]:
        names = {*described.get("updatedFields", ()), *described.get("removedFields", ())}
        names |= {each["field"] for each in described.get("truncatedArrays") or ()}
        # 'data.key', and '_us.published' as well as 'published', are of one field.
        steps = [name.split(".") for name in names]
        found = {each[1] if each[0] == MICROSECONDS and each[1:] else each[0] for each in steps}
        return frozenset(found - {VERSION, MICROSECONDS})


def _pipeline(store: MongoStore, condition: Condition) -> list[dict[str, Any]]:
    stages: list[dict[str, Any]] = [{"$match": {"operationType": {"$in": list(_TOLD)}}}]
    if condition != ALL:
        # What is deleted has no document that could be compared.
        query = Matcher(store.codec, "fullDocument.").query(condition)
        stages.append({"$match": {"$or": [{"operationType": {"$eq": "delete"}}, query]}})
    return stages
