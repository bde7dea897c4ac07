"""What only objects can do: their bodies as streams, and URLs for others."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from django.db.models import Model

from poolapp.managers.documents.exceptions import Conflict
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.documents.writing import fill_in, operation_of
from poolapp.managers.s3.contents import BodyContents
from poolapp.managers.s3.refusals import Refused, told
from poolapp.managers.s3.store import S3Store

M = TypeVar("M", bound=Model)

MIB = 1024 * 1024


class S3QuerySet(DocumentQuerySet[M]):
    """``which`` is an instance, or a primary key; filters mean nothing to these methods."""

    @asynccontextmanager
    async def aopen(self, which: Any) -> AsyncIterator[tuple[M, Any]]:
        """``async with files.aopen(pk) as (instance, body)``: the instance without its body, and an
        ObjectReader of that (``await body.read(1024)``, ``async for chunk in body``, ``body.seek``,
        ``body.size``), which holds no connection but while it is read.

        The model's DoesNotExist when there is no such object; Conflict when it has changed since.
        """
        store, _ = self._body("aopen")
        key = self._key(which)
        head = await store.head(key)
        if head is None:
            raise self._no_such(key)

        @contextmanager
        def reading() -> Iterator[None]:
            try:
                with told(store.alias):
                    yield
            except Refused as error:
                if error.is_changed or error.is_missing:
                    raise Conflict(f"the object {key!r} has changed since it was opened") from error
                raise

        pool: Any = store.pool
        reader = pool.reader(key, head, bucket=store.bucket, told=reading)
        try:
            instance: Any = store.instance(key.removeprefix(store.keys.prefix), head)
            yield instance, reader
        finally:
            await reader.close()

    async def adownload(
        self,
        which: Any,
        *,
        chunk_size: int = 256 * 1024,
        range: tuple[int, int | None] | None = None,  # noqa: A002 - the header's own name
    ) -> AsyncGenerator[bytes, None]:
        """The body in chunks of ``chunk_size`` bytes at the most, none of which is kept; ``range``
        is start and stop. Holds a lease until it ends: leave it early with ``contextlib.aclosing``.

        The model's DoesNotExist when there is no such object. Where the objects hold JSON, that.
        """
        store = self._objects
        key = self._key(which)
        pool: Any = store.pool
        chunks = pool.stream(key, bucket=store.bucket, chunk_size=chunk_size, range=range)
        try:
            with told(store.alias):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        yield chunk
        except Refused as error:
            if error.is_missing:
                raise self._no_such(key) from error
            raise

    async def aupload(
        self,
        instance: M,
        source: Any,
        *,
        force_insert: bool = False,
        if_unchanged: bool = False,
        part_size: int = 8 * MIB,
        concurrency: int = 4,
    ) -> None:
        """Write an instance whose body is a stream: bytes, a binary file (read in a thread),
        something with an async ``read``, or an async iterator of bytes. At most ``concurrency``
        parts of ``part_size`` bytes are held in memory; on an error nothing is left of them.

        ``force_insert`` and ``if_unchanged`` as in ``asave``. What the instance had as its body
        is deferred afterwards.
        """
        if force_insert and if_unchanged:
            raise ValueError("force_insert does not go with if_unchanged")
        store, body = self._body("aupload")
        beside = [each for each in store.schema.fields if each is not body.field]
        if missing := instance.get_deferred_fields() - {body.name}:
            raise ValueError(
                f"this {type(instance).__name__} has deferred fields "
                f"({', '.join(sorted(missing))}), which the object would lose"
            )
        await fill_in(instance, beside)
        operation = operation_of(store, "update", instance, only=beside, checked=if_unchanged)
        await store.upload(
            operation, source, create=force_insert, part_size=part_size, concurrency=concurrency
        )
        instance.__dict__.pop(body.name, None)
        self._written(operation)

    async def apresign(
        self, which: Any, method: str = "GET", *, expires: int = 3600, **parameters: Any
    ) -> str:
        """A URL with which anybody may ``GET``, ``PUT``, ``HEAD`` or ``DELETE`` the object for
        ``expires`` seconds. The server is not asked whether there is one.

        ``parameters`` are the driver's, and signed too: ``ContentType="image/png"`` of a PUT,
        ``ResponseContentDisposition="attachment"`` of a GET.
        """
        store = self._objects
        pool: Any = store.pool
        url: str = await pool.presign(
            method, self._key(which), bucket=store.bucket, expires=expires, **parameters
        )
        return url

    # -- which ---------------------------------------------------------------------------------

    @property
    def _objects(self) -> S3Store:
        assert isinstance(self._store, S3Store)
        return self._store

    def _body(self, method: str) -> tuple[S3Store, BodyContents]:
        store = self._objects
        if not isinstance(store.contents, BodyContents):
            store.cannot(
                f"{method} an object that is JSON as a whole", "S3Manager(..., body='field')"
            )
        return store, store.contents

    def _key(self, which: Any) -> str:
        """ValueError for a primary key that no object can have."""
        store = self._objects
        pk = which.pk if isinstance(which, Model) else which
        value = store.schema.dump(store.schema.pk, pk)
        if value is None:
            raise ValueError(f"{which!r} has no primary key, and so no object")
        return store.keys.key(value)

    def _no_such(self, key: str) -> Exception:
        missing: Exception = self.model.DoesNotExist(  # type: ignore[attr-defined]
            f"there is no object {key!r}"
        )
        return missing
