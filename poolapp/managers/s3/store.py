"""Objects of a bucket as the documents of a model: how they are written, and over what."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from django.db import DatabaseError, IntegrityError, ProgrammingError
from django.db.models import Model

from poolapp.core.exceptions import PoolError
from poolapp.core.resilience import repeat_delay
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Document, ItemError, Operation, WriteOptions
from poolapp.managers.s3.contents import BodyContents, JsonContents
from poolapp.managers.s3.finding import LISTED, gathered
from poolapp.managers.s3.preparing import prepare
from poolapp.managers.s3.reading import Answer, Reading
from poolapp.managers.s3.refusals import Refused, told

ATTEMPTS = 10
"""Times that a change is made again because somebody else changed the object meanwhile."""

ContentType = str | Callable[[Any], str] | None


class S3Store(Reading):
    """One object for each instance, below one prefix."""

    batch_size = 100
    concurrency = 2

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
        super().__init__(model, alias, prefix=prefix, bucket=bucket, body=body)
        self._content_type = content_type

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
