"""Objects of a bucket as the documents of a model: which there are, and what they hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar

from django.db import DataError
from django.db.models import Model

from poolapp.managers.documents.forms import Form
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Hit, Store
from poolapp.managers.documents.versions import remember
from poolapp.managers.s3.contents import BodyContents, BytesForm, JsonContents
from poolapp.managers.s3.finding import LISTED, Finder, gathered
from poolapp.managers.s3.keys import Keys
from poolapp.managers.s3.refusals import Refused, told
from poolapp.managers.s3.spans import LOOKUPS, Span, spans_of

Answer = dict[str, Any]


class Reading(Store):
    """The half of the store that changes nothing."""

    name = "S3"
    lookups = LOOKUPS
    form: ClassVar[Form] = BytesForm()
    versioned = True
    meta_ordering = False  # a bucket has its own order, and no other
    page_size = 100

    def __init__(
        self,
        model: type[Model],
        alias: str,
        *,
        prefix: str,
        bucket: str | None,
        body: str | None,
    ) -> None:
        super().__init__(model, alias, f"{bucket}/{prefix}" if bucket else prefix)
        self.bucket = bucket
        self.keys = Keys(prefix, self.schema.pk)
        self.contents: JsonContents | BodyContents
        if body is None:
            self.contents = JsonContents(self.schema)
        else:
            self.contents = BodyContents(self.schema, body)
            # A body may be large, and two pages of them are held.
            self.page_size = 20  # type: ignore[misc]

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
        listed = None if left is None else skip + left
        # What is counted, or not read, has to be known to be there; else reading it tells.
        there = skip or read == self._by_key_alone
        find = finder.present if there else finder.candidates
        names = find(spans, size, listed)
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
        names = self._finder().present(self._spans(one), LISTED, selection.low + 1)
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
