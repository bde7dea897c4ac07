"""Objects of a bucket as the documents of a model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar

from django.db import DatabaseError, DataError, IntegrityError, ProgrammingError
from django.db.models import Model

from poolapp.core.exceptions import PoolError
from poolapp.core.resilience import repeat_delay
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.forms import Form
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import (
    Document,
    Hit,
    ItemError,
    Operation,
    Store,
    WriteOptions,
)
from poolapp.managers.documents.versions import remember
from poolapp.managers.s3.contents import BodyContents, BytesForm, JsonContents
from poolapp.managers.s3.finding import LISTED, Finder, gathered
from poolapp.managers.s3.keys import Keys
from poolapp.managers.s3.preparing import prepare
from poolapp.managers.s3.refusals import Refused, told
from poolapp.managers.s3.spans import LOOKUPS, Span, spans_of

ATTEMPTS = 10
"""Times that a change is made again because somebody else changed the object meanwhile."""

Answer = dict[str, Any]

ContentType = str | Callable[[Any], str] | None


class S3Store(Store):
    """One object for each instance, below one prefix."""

    name = "S3"
    lookups = LOOKUPS
    form: ClassVar[Form] = BytesForm()
    versioned = True
    meta_ordering = False  # a bucket has its own order, and no other
    batch_size = 100
    concurrency = 2
    page_size = 100

    def __init__(
        self,
        model: type[Model],
        alias: str,
        *,
        prefix: str,
        bucket: str | None,
        body: str | None,
        content_type: ContentType,
    ) -> None:
        super().__init__(model, alias, f"{bucket}/{prefix}" if bucket else prefix)
        self.bucket = bucket
        self.keys = Keys(prefix, self.schema.pk)
        self.contents: JsonContents | BodyContents
        if body is None:
            self.contents = JsonContents(self.schema)
        else:
            self.contents = BodyContents(self.schema, body)
        self._content_type = content_type

    # -- reading -------------------------------------------------------------------------------

    def check(self, selection: Selection) -> None:
        self._spans(selection)

    def _spans(self, selection: Selection) -> list[Span]:
        spans = spans_of(selection.condition, self.keys)
        if selection.backwards:
            self.cannot("list backwards", "order_by('pk')")
        for order in selection.order[:1]:  # what comes after the primary key changes nothing
            if order.field is not self.keys.pk or order.descending:
                self.cannot("sort objects", "order_by('pk'): a bucket lists in the order of keys")
            if not self.keys.is_ordered:
                kind = type(self.keys.pk).__name__
                self.cannot(f"sort by a {kind}", "no order: the keys are not in the values' order")
        return spans

    def _finder(self) -> Finder:
        return Finder(self.pool, self.bucket, self.keys)

    async def pages(self, selection: Selection, size: int) -> AsyncGenerator[Sequence[Hit], None]:
        finder, spans, read = self._finder(), self._spans(selection), self._reader(selection)
        skip, left = selection.low, selection.limit
        if left is not None and not skip:
            size = min(size, left)
        # What is counted, or not read, has to be known to be there; else reading it tells.
        there = skip or read == self._by_key_alone
        names = finder.present(spans, size) if there else finder.candidates(spans, size)
        async with aclosing(names):
            async for some in names:
                wanted, skip = some[skip:], max(0, skip - len(some))
                while wanted and left != 0:
                    now, wanted = wanted[:left], [] if left is None else wanted[left:]
                    found = await gathered(read, now, self.pool.config.max_size)
                    hits = [hit for hit in found if hit is not None]
                    if left is not None:
                        left -= len(hits)
                    if hits:
                        yield hits
                if left == 0:
                    return

    async def count(self, selection: Selection) -> int:
        counted = 0
        names = self._finder().present(self._spans(selection), LISTED)
        async with aclosing(names):
            async for some in names:
                counted += len(some)
                if selection.high is not None and counted >= selection.high:
                    counted = selection.high
                    break
        return max(0, counted - selection.low)

    async def exists(self, selection: Selection) -> bool:
        one = replace(selection, high=selection.low + 1)
        names = self._finder().present(self._spans(one), min(selection.low + 1, LISTED))
        counted = 0
        async with aclosing(names):
            async for some in names:
                counted += len(some)
                if counted > selection.low:
                    return True
        return False

    def _reader(self, selection: Selection) -> Callable[[str], Awaitable[Hit | None]]:
        """How much has to be read of each object for these fields; None is one that is gone."""
        if selection.only is None:
            return self._by_fetching
        wanted = {self.schema.key(field) for field in selection.only}
        if wanted == {self.schema.key(self.keys.pk)}:
            return self._by_key_alone
        heads = isinstance(self.contents, BodyContents) and self.contents.name not in wanted
        read = self._by_head if heads else self._by_fetching

        async def projected(name: str) -> Hit | None:
            hit = await read(name)
            if hit is not None:
                hit.document = {key: hit.document[key] for key in wanted if key in hit.document}
            return hit

        return projected

    async def _by_key_alone(self, name: str) -> Hit | None:
        return Hit({self.schema.key(self.keys.pk): self.keys.value(name)})

    async def _by_head(self, name: str) -> Hit | None:
        head = await self.head(self.keys.prefix + name)
        return None if head is None else self._hit(name, None, head)

    async def _by_fetching(self, name: str) -> Hit | None:
        answer = await self._fetched(self.keys.prefix + name)
        return None if answer is None else self._hit(name, answer["Body"], answer)

    async def head(self, key: str) -> Answer | None:
        """What the server knows of an object, None when there is none."""
        with told(self.alias):
            head: Answer | None = await self._s3.head(key, bucket=self.bucket)
        return head

    async def _fetched(self, key: str) -> Answer | None:
        try:
            with told(self.alias):
                answer: Answer = await self._s3.fetch(key, bucket=self.bucket)
        except Refused as error:
            if error.is_missing:
                return None
            raise
        return answer

    def _hit(self, name: str, body: bytes | None, answer: Answer) -> Hit:
        try:
            document = self.contents.document(body, answer.get("Metadata", {}))
        except ValueError as error:
            raise DataError(
                f"the object {self.keys.prefix + name!r} was not written by this manager: {error}"
            ) from error
        document[self.schema.key(self.keys.pk)] = self.keys.value(name)
        return Hit(document, version=self._version(answer, answer.get("Metadata", {})))

    def _version(self, answer: Answer, metadata: Mapping[str, str]) -> str:
        """Of what was read, or has been written with this metadata."""
        etag: str = answer["ETag"]
        return self.contents.version(etag, metadata)

    def instance(self, name: str, head: Answer) -> Model:
        """Of what stands beside the body, which stays deferred."""
        hit = self._hit(name, None, head)
        instance = self.schema.from_document(hit.document, projected=True)
        remember(instance, self, hit.version)
        return instance

    @property
    def _s3(self) -> Any:
        """The pool, with the short cuts that an S3 pool has."""
        return self.pool

    # -- writing -------------------------------------------------------------------------------

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        outcomes = await gathered(self._outcome, operations, self.pool.config.max_size)
        lost = [each for each in outcomes if each and isinstance(each.error, PoolError)]
        if lost and len(lost) == len(operations):
            raise lost[0].error
        return outcomes

    async def _outcome(self, operation: Operation) -> ItemError | None:
        write = {
            "create": self._create,
            "index": self._index,
            "update": self._update,
            "delete": self._delete,
        }[operation.action]
        try:
            await write(operation, self._key(operation.pk))
        except ProgrammingError:  # without a bucket there is nothing to say of any item
            raise
        except (DatabaseError, PoolError) as error:
            cause = error if isinstance(error, Refused) else error.__cause__
            return ItemError(error, cause.status if isinstance(cause, Refused) else None)
        return None

    def _key(self, pk: Any) -> str:
        try:
            return self.keys.key(pk)
        except ValueError as error:
            raise Rejected(str(error)) from error

    async def _create(self, operation: Operation, key: str) -> None:
        try:
            operation.version = await self._put(key, operation, IfNoneMatch="*")
        except Refused as error:
            if error.is_changed:
                raise IntegrityError(f"there is an object {key!r} already") from error
            raise

    async def _index(self, operation: Operation, key: str) -> None:
        condition = {"IfMatch": await self._etag(key, operation)} if operation.checked else {}
        try:
            operation.version = await self._put(key, operation, **condition)
        except Refused as error:
            raise _conflict(key, error) if operation.checked else error from error

    async def _etag(self, key: str, operation: Operation) -> str:
        """What the server has to be told to write only over this version. Where that is more than
        an ETag, all of it is compared beforehand, and the ETag once more by the server."""
        version: str = operation.version
        if isinstance(self.contents, JsonContents):
            return version
        head = await self.head(key)
        if head is None or self._version(head, head.get("Metadata", {})) != version:
            raise Conflict(_CHANGED.format(key=key))
        etag: str = head["ETag"]
        return etag

    async def _update(self, operation: Operation, key: str) -> None:
        wanted = operation.version if operation.checked else None
        operation.version = await self._change(key, operation.document, wanted)

    async def _delete(self, operation: Operation, key: str) -> None:
        head = await self.head(key)
        if operation.checked:
            if head is None or self._version(head, head.get("Metadata", {})) != operation.version:
                raise Conflict(_CHANGED.format(key=key))
        elif head is None:
            raise Missing(f"there is no object {key!r}")
        condition = {"IfMatch": head["ETag"]} if operation.checked else {}
        try:
            with told(self.alias):
                await self._s3.delete(key, bucket=self.bucket, **condition)
        except Refused as error:
            raise _conflict(key, error) if operation.checked else error from error

    async def _put(self, key: str, operation: Operation, **condition: Any) -> str:
        parts = self.contents.parts(operation.document)
        with told(self.alias):
            answer = await self._s3.put(
                key,
                parts.body,
                bucket=self.bucket,
                content_type=self.content_type(operation.instance),
                metadata=parts.metadata,
                **condition,
            )
        return self._version(answer, parts.metadata)

    async def upload(self, operation: Operation, source: Any, *, create: bool, **how: Any) -> None:
        """Write an object whose body is a stream, and the operation's document beside it."""
        key = self._key(operation.pk)
        assert isinstance(self.contents, BodyContents)
        condition: dict[str, str] = {}
        if create:
            condition = {"if_none_match": "*"}
        elif operation.checked:
            condition = {"if_match": await self._etag(key, operation)}
        metadata = self.contents.metadata(operation.document)
        try:
            with told(self.alias):
                answer = await self._s3.upload(
                    key,
                    source,
                    bucket=self.bucket,
                    content_type=self.content_type(operation.instance),
                    metadata=metadata,
                    **condition,
                    **how,
                )
        except Refused as error:
            if create and error.is_changed:
                raise IntegrityError(f"there is an object {key!r} already") from error
            raise _conflict(key, error) if operation.checked else error from error
        operation.version = self._version(answer, metadata)

    def content_type(self, instance: Model | None) -> str:
        if callable(self._content_type):
            return self._content_type(instance)
        return self._content_type or self.contents.content_type

    async def _change(self, key: str, values: Document, wanted: str | None) -> str:
        """Read an object, change these keys of its document, write it unless somebody else did in
        between: then all over again, or, where a version was ``wanted``, Conflict."""
        for attempt in range(1, ATTEMPTS + 1):
            held = await self._held(key)
            if held is None and wanted is None:
                raise Missing(f"there is no object {key!r}")
            if held is None or wanted not in (None, self._version(held, held["Metadata"])):
                raise Conflict(_CHANGED.format(key=key))
            try:
                return await self._rewrite(key, held, values)
            except Refused as error:
                if not (error.is_changed or error.is_missing):
                    raise
                if wanted is not None or attempt == ATTEMPTS:
                    raise Conflict(_CHANGED.format(key=key)) from error
            await asyncio.sleep(repeat_delay(attempt, random.random))
        raise AssertionError("unreachable")

    async def _held(self, key: str) -> Answer | None:
        """What is needed of an object to change it: not its body, where that is a field."""
        return await (self.head if isinstance(self.contents, BodyContents) else self._fetched)(key)

    async def _rewrite(self, key: str, held: Answer, values: Document) -> str:
        name = key.removeprefix(self.keys.prefix)
        document = {**self._hit(name, held.get("Body"), held).document, **values}
        kept = {header: held[header] for header in _KEPT if held.get(header)}
        condition = {"if_match": held["ETag"], "bucket": self.bucket}
        with told(self.alias):
            if isinstance(self.contents, BodyContents) and self.contents.name not in document:
                # The body stays as it is, and goes through here piece by piece.
                body = self._s3.stream(key, bucket=self.bucket, IfMatch=held["ETag"])
                metadata: Mapping[str, str] = self.contents.metadata(document)
            else:
                parts = self.contents.parts(document)
                body, metadata = parts.body, parts.metadata
            answer = await self._s3.upload(key, body, metadata=metadata, **kept, **condition)
        return self._version(answer, metadata)

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        """Each object is read, and written unless somebody else did in between."""

        async def change(name: str) -> bool:
            try:
                await self._change(self.keys.prefix + name, dict(values), None)
            except Missing:
                return False
            return True

        changed = 0
        names = self._finder().candidates(self._spans(selection), self.page_size)
        async with aclosing(names):
            async for some in names:
                changed += sum(await gathered(change, some, self.pool.config.max_size))
        return changed

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        deleted = 0
        names = self._finder().present(self._spans(selection), LISTED)
        async with aclosing(names):
            async for some in names:
                with told(self.alias):
                    keys = [self.keys.prefix + name for name in some]
                    left = await self._s3.delete_many(keys, bucket=self.bucket)
                if left:
                    first = f"{left[0].get('Key')!r}: {left[0].get('Code')}"
                    raise Rejected(
                        f"{len(left)} of {len(keys)} objects can't be deleted, such as {first}; "
                        f"{deleted + len(keys) - len(left)} are gone"
                    )
                deleted += len(keys)
        return deleted

    async def ensure(self) -> list[str]:
        return await prepare(self)


_CHANGED = "the object {key!r} was changed or deleted since it was read; read it again, and decide"

_KEPT = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType",
)  # fmt: skip
"""Of an object that is changed, beside what the manager writes."""


def _conflict(key: str, error: Refused) -> Exception:
    if error.is_changed or error.is_missing:
        return Conflict(_CHANGED.format(key=key))
    return error
