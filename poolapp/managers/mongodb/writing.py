"""One batch of writes: one request, and what became of each of its operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError

from poolapp.core.exceptions import BackendUnavailable
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.store import ItemError, Operation
from poolapp.managers.mongodb.codec import ID, VERSION, Codec, codec_options
from poolapp.managers.mongodb.errors import DUPLICATE, of_server

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

LARGEST_DOCUMENT = 16 * 1024 * 1024
"""Bytes of BSON."""

NOT_FOUND = object()


class Batch:
    """``ordered`` stops at the first failure. With ``keep`` a ``create`` of what exists already is
    told as such without being an error to the server, which would stop, or end a transaction."""

    def __init__(
        self, codec: Codec, what: str, operations: Sequence[Operation], *, ordered: bool, keep: bool
    ) -> None:
        import bson
        import pymongo
        from bson.raw_bson import RawBSONDocument

        self._codec = codec
        self._what = what
        self._operations = operations
        self._ordered = ordered
        self._keep = keep
        self.outcomes: list[ItemError | None] = [None] * len(operations)
        self._requests: list[Any] = []
        self._sent: list[int] = []
        """Indexes of the operations that the requests are of."""
        self._versions: dict[int, int] = {}
        self._ids: dict[int, Any] = {}
        self._bson, self._raw, self._driver = bson, RawBSONDocument, pymongo
        self._codec_options = codec_options()
        for index, operation in enumerate(operations):
            try:
                request = self._request(index, operation)
            except (ValueError, TypeError, OverflowError, Rejected) as error:
                self.outcomes[index] = ItemError(error)
                if ordered:
                    self._not_tried(index)
                    break
            else:
                self._requests.append(request)
                self._sent.append(index)

    async def send(
        self, collection: AsyncCollection[dict[str, Any]], session: AsyncClientSession | None
    ) -> None:
        """Raises the driver's errors: BulkWriteError after ``outcomes`` were set by it."""
        from pymongo.errors import BulkWriteError

        if not self._requests:
            return
        found = await self._deleted(collection, session)
        try:
            result = await collection.bulk_write(
                self._requests, ordered=self._ordered, session=session
            )
        except BulkWriteError as error:
            self._failed(error.details)
            if session is None:  # else the transaction is over, and nothing was written
                await self._settle(collection, session, error.details, found)
            raise
        await self._settle(collection, session, result.bulk_api_result, found)

    # -- requests ------------------------------------------------------------------------------

    def _request(self, index: int, operation: Operation) -> Any:
        driver = self._driver
        if operation.action in ("create", "index"):
            return self._whole(index, operation)
        which = self._which(index, operation)
        if operation.action == "delete":
            return driver.DeleteOne(which)
        changes = self._codec.changes(operation.document)
        self._versions[index] = changes["$set"][VERSION]
        self._encoded(changes)
        return driver.UpdateOne(which, changes)

    def _whole(self, index: int, operation: Operation) -> Any:
        driver = self._driver
        document = self._codec.dump(operation.document)
        self._versions[index] = document[VERSION]
        self._ids[index] = document[ID]
        if operation.action == "index":
            which = self._which(index, operation)
            return driver.ReplaceOne(which, self._encoded(document), upsert=not operation.checked)
        if not self._keep:
            return driver.InsertOne(self._encoded(document))
        self._encoded(document)
        return driver.UpdateOne(
            {ID: {"$eq": document.pop(ID)}}, {"$setOnInsert": document}, upsert=True
        )

    def _which(self, index: int, operation: Operation) -> dict[str, Any]:
        pk = self._ids[index] = self._codec.encode_pk(operation.pk)
        which: dict[str, Any] = {ID: {"$eq": pk}}
        if operation.checked:
            which[VERSION] = {"$eq": operation.version}
        return which

    def _encoded(self, document: dict[str, Any]) -> Any:
        """The document as bytes, so that one that can't be encoded fails alone."""
        try:
            data = self._bson_of(document)
        except self._bson.errors.BSONError as error:
            raise Rejected(f"{self._what}: {error}") from error
        if len(data) > LARGEST_DOCUMENT:
            raise Rejected(
                f"{self._what}: a document of {len(data):,} bytes; MongoDB takes up to "
                f"{LARGEST_DOCUMENT:,}"
            )
        return self._raw(data)

    def _bson_of(self, document: dict[str, Any]) -> bytes:
        try:
            return self._bson.encode(document, codec_options=self._codec_options)
        except OverflowError:
            self._codec.widen(document)
            return self._bson.encode(document, codec_options=self._codec_options)

    # -- outcomes ------------------------------------------------------------------------------

    def _failed(self, details: Mapping[str, Any]) -> None:
        for each in details.get("writeErrors", ()):
            index = self._sent[each["index"]]
            self.outcomes[index] = self._refusal(index, each)
            if self._ordered:
                self._not_tried(index)
        concerns = details.get("writeConcernErrors")
        if concerns:
            said = concerns[0].get("errmsg", "")
            error = BackendUnavailable(
                f"{self._what}: written, but not confirmed by as many members as were asked for: "
                f"{said}"
            )
            for index in self._sent:
                self.outcomes[index] = self.outcomes[index] or ItemError(error)

    def _refusal(self, index: int, said: Mapping[str, Any]) -> ItemError:
        code = said.get("code")
        if code in DUPLICATE and list(said.get("keyPattern") or ()) == [ID]:
            return ItemError(self._exists(index), code)
        if code in DUPLICATE:
            return ItemError(of_server(self._what, code, said.get("errmsg", "")), code)
        return ItemError(Rejected(f"{self._what}: {said.get('errmsg')} (code {code})"), code)

    def _exists(self, index: int) -> IntegrityError:
        return IntegrityError(
            f"{self._what}: there is a document with the primary key {self._ids[index]!r} already"
        )

    def _not_tried(self, index: int) -> None:
        error = Rejected(f"{self._what}: not tried, because operation {index} of the batch failed")
        for later in range(index + 1, len(self._operations)):
            self.outcomes[later] = ItemError(error)

    async def _deleted(
        self, collection: AsyncCollection[dict[str, Any]], session: AsyncClientSession | None
    ) -> dict[Any, Any] | None:
        """The versions of what is to be deleted. Of several deletions the server tells only how
        many of them found something, so it is asked before; of one, that says all."""
        deletions = [each for each in self._sent if self._operations[each].action == "delete"]
        return None if len(deletions) < 2 else await self._now(collection, session, deletions)

    async def _settle(
        self,
        collection: AsyncCollection[dict[str, Any]],
        session: AsyncClientSession | None,
        result: Mapping[str, Any],
        found: dict[Any, Any] | None,
    ) -> None:
        """What became of the operations that are no error to the server."""
        done = [each for each in self._sent if self.outcomes[each] is None]
        upserted = {self._sent[each["index"]] for each in result.get("upserted", ())}
        matching = []
        replaced = 0
        for index in done:
            operation = self._operations[index]
            if operation.action == "create":
                if self._keep and index not in upserted:
                    self.outcomes[index] = ItemError(self._exists(index))
                    replaced += 1
            elif operation.action == "index" and not operation.checked:
                replaced += index not in upserted
            elif operation.action != "delete":
                matching.append(index)
            elif found is not None or not result["nRemoved"]:
                now = found if found is not None else await self._now(collection, session, [index])
                version = now.get(_hashable(self._ids[index]), NOT_FOUND)
                if version is NOT_FOUND or (operation.checked and version != operation.version):
                    self.outcomes[index] = self._absent(index, version)
        if result["nMatched"] < replaced + len(matching):
            await self._look(collection, session, matching)
        for index, version in self._versions.items():
            if self.outcomes[index] is None:
                self._operations[index].version = version

    async def _look(
        self,
        collection: AsyncCollection[dict[str, Any]],
        session: AsyncClientSession | None,
        matching: list[int],
    ) -> None:
        """Some were not there: those that do not have the version that was to be written."""
        found = await self._now(collection, session, matching)
        for index in matching:
            now = found.get(_hashable(self._ids[index]), NOT_FOUND)
            if now is NOT_FOUND or (
                now != self._versions[index] and self._operations[index].checked
            ):
                self.outcomes[index] = self._absent(index, now)

    async def _now(
        self,
        collection: AsyncCollection[dict[str, Any]],
        session: AsyncClientSession | None,
        indexes: list[int],
    ) -> dict[Any, Any]:
        ids = [self._ids[index] for index in indexes]
        cursor = collection.find({ID: {"$in": ids}}, {VERSION: 1}, session=session)
        return {_hashable(each[ID]): each.get(VERSION) async for each in cursor}

    def _absent(self, index: int, now: Any) -> ItemError:
        operation = self._operations[index]
        pk = self._ids[index]
        if not operation.checked:
            return ItemError(Missing(f"{self._what}: there is no document {pk!r}"))
        how = "deleted" if now is NOT_FOUND else "written"
        return ItemError(
            Conflict(f"{self._what}: document {pk!r} was {how} by somebody else since it was read")
        )


def _hashable(pk: Any) -> Any:
    """Equal for equal keys: a Decimal128 is neither hashable nor equal to 1.5 as 1.50."""
    to_decimal = getattr(pk, "to_decimal", None)
    return pk if to_decimal is None else to_decimal()
