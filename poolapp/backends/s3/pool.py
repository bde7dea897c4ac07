"""The short cuts of an S3 pool: one request on whatever seat of the client is free."""

from __future__ import annotations

import io
import sys
from collections.abc import (
    AsyncIterator,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import nullcontext
from types import FrameType
from typing import Any, BinaryIO

from poolapp.backends.s3.listing import MAX_KEYS, Listing
from poolapp.backends.s3.reader import ObjectReader, Told
from poolapp.backends.s3.requests import Answer, Request
from poolapp.backends.s3.signing import Signing
from poolapp.backends.s3.upload import MIB, Source, Upload
from poolapp.core.lease import Lease

Span = tuple[int, int | None]

_NO_CONSTRAINT = frozenset({"us-east-1", "aws-global", "auto"})
"""Regions that are not named when a bucket is made."""


class S3Pool(Listing, Signing):
    """``put``, ``get``, ``fetch``, ``reader``, ``stream``, ``head``, ``exists``, ``delete``,
    ``delete_many``, ``list``, ``pages``, ``upload``, ``create_bucket``, ``presign`` and
    ``presign_post``, each on a client that is borrowed for just that request.

    ``bucket`` is that of LOCATION unless given; ``parameters`` are the driver's own
    (``CacheControl="max-age=60"``). They raise what ``acquire`` raises; BackendUnavailable, caused
    by the driver's error, when the server can't be reached or the connection is lost, so that
    nobody knows whether a write took effect; and for whatever the server has against the request
    the driver's ``botocore.exceptions.ClientError``. That an object is missing is only ever said by
    the server.
    """

    def put(
        self,
        key: str,
        body: bytes | bytearray | memoryview | BinaryIO,
        *,
        bucket: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_none_match: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, Answer]:
        """Write an object in one request, 5 GiB at the most; the driver's answer.

        ``if_none_match="*"`` refuses to overwrite: ClientError ``PreconditionFailed``. A file is
        read on the event loop: ``upload`` reads it elsewhere.
        """
        request = {
            "Key": key,
            "Body": _sendable(body),
            "ContentType": content_type,
            "Metadata": metadata,
            "IfNoneMatch": if_none_match,
            **parameters,
        }
        return self._do(sys._getframe(1), lambda s3: s3.put_object(**self._at(bucket, request)))

    def get(
        self,
        key: str,
        *,
        bucket: str | None = None,
        range: Span | None = None,  # noqa: A002 - the header's own name
        **parameters: Any,
    ) -> Coroutine[Any, Any, bytes]:
        """The object's bytes, or those of a ``range``.

        ``range`` is ``(start, stop)`` in bytes, without ``stop`` itself; ``(start, None)`` is all
        from ``start`` on, ``(-count, None)`` the last ``count``. Raises ClientError ``NoSuchKey``
        when there is no such object, ``InvalidRange`` when it ends before ``start``.
        """
        request = {"Key": key, "Range": _header(range), **parameters}
        return self._get(sys._getframe(1), bucket, request)

    async def _get(self, frame: FrameType, bucket: str | None, request: Request) -> bytes:
        content: bytes = (await self._fetch(frame, bucket, request))["Body"]
        return content

    def fetch(
        self,
        key: str,
        *,
        bucket: str | None = None,
        range: Span | None = None,  # noqa: A002
        **parameters: Any,
    ) -> Coroutine[Any, Any, Answer]:
        """The object's bytes as ``"Body"``, with all that the server says of it, which is of the
        same moment: ``ETag``, ``Metadata``, ``ContentType``, ... Raises what ``get`` raises."""
        request = {"Key": key, "Range": _header(range), **parameters}
        return self._fetch(sys._getframe(1), bucket, request)

    def _fetch(
        self, frame: FrameType, bucket: str | None, request: Request
    ) -> Coroutine[Any, Any, Answer]:
        async def read(s3: Any) -> Answer:
            answer: Answer = await s3.get_object(**self._at(bucket, request))
            body = answer["Body"]
            try:
                answer["Body"] = await body.read()
            finally:
                body.close()
            return answer

        return self._do(frame, read)

    def reader(
        self, key: str, head: Answer, *, bucket: str | None = None, told: Told = nullcontext
    ) -> ObjectReader:
        """The object, of which ``head`` told, to be read piece by piece."""
        return ObjectReader(self, key, head, bucket=bucket, told=told)

    async def stream(
        self,
        key: str,
        *,
        bucket: str | None = None,
        chunk_size: int = 256 * 1024,
        range: Span | None = None,  # noqa: A002
        **parameters: Any,
    ) -> AsyncIterator[bytes]:
        """The object in chunks of ``chunk_size`` bytes at the most, none of which is kept.

        A lease is held until the iteration ends, or is left: then the connection, on which the
        rest would still come, is dropped. Leave it for certain, and at once, with
        ``contextlib.aclosing``. Always on the caller's own loop. Raises what ``get`` raises.
        """
        request = {"Key": key, "Range": _header(range), **parameters}
        lease = Lease(self, None, True, sys._getframe(1))
        client = await lease.__aenter__()
        try:
            body = (await client.get_object(**self._at(bucket, request)))["Body"]
            try:
                while chunk := await body.read(chunk_size):
                    yield chunk
            finally:
                body.close()
        except BaseException as error:
            lease.release(error)
            self._raise_if_lost(client, error)
            raise
        lease.release()

    def head(
        self, key: str, *, bucket: str | None = None, **parameters: Any
    ) -> Coroutine[Any, Any, Answer | None]:
        """What the server knows of an object (``ContentLength``, ``ContentType``, ``ETag``,
        ``LastModified``, ``Metadata``, ...), None when it says that there is none."""
        return self._head(sys._getframe(1), bucket, {"Key": key, **parameters})

    async def _head(self, frame: FrameType, bucket: str | None, request: Request) -> Answer | None:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            answer: Answer = await self._do(
                frame, lambda s3: s3.head_object(**self._at(bucket, request))
            )
        except ClientError as error:
            # The answer to a HEAD has no body, and so no code but the status.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        return answer

    def exists(
        self, key: str, *, bucket: str | None = None, **parameters: Any
    ) -> Coroutine[Any, Any, bool]:
        """Whether there is such an object; False only when the server says so."""
        return self._exists(sys._getframe(1), bucket, {"Key": key, **parameters})

    async def _exists(self, frame: FrameType, bucket: str | None, request: Request) -> bool:
        return await self._head(frame, bucket, request) is not None

    def delete(
        self, key: str, *, bucket: str | None = None, **parameters: Any
    ) -> Coroutine[Any, Any, Answer]:
        """Delete an object; that there is none is no error to S3. The driver's answer."""
        request = {"Key": key, **parameters}
        return self._do(sys._getframe(1), lambda s3: s3.delete_object(**self._at(bucket, request)))

    def delete_many(
        self, keys: Iterable[str], *, bucket: str | None = None, **parameters: Any
    ) -> Coroutine[Any, Any, Sequence[Answer]]:
        """Delete objects, 1000 in a request; that one is missing is no error to S3.

        What the server refused to delete: ``{"Key": ..., "Code": ..., "Message": ...}``.
        """
        return self._delete_many(sys._getframe(1), list(keys), bucket, parameters)

    async def _delete_many(
        self, frame: FrameType, keys: Sequence[str], bucket: str | None, parameters: Request
    ) -> Sequence[Answer]:
        refused: list[Answer] = []
        request = {**parameters}
        for start in range(0, len(keys), MAX_KEYS):
            named = [{"Key": key} for key in keys[start : start + MAX_KEYS]]
            request["Delete"] = {"Objects": named, "Quiet": True}
            answer = await self._do(
                frame, lambda s3: s3.delete_objects(**self._at(bucket, request))
            )
            refused += answer.get("Errors", ())
        return refused

    def upload(
        self,
        key: str,
        source: Source,
        *,
        bucket: str | None = None,
        part_size: int = 8 * MIB,
        concurrency: int = 4,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        if_none_match: str | None = None,
        if_match: str | None = None,
        **parameters: Any,
    ) -> Coroutine[Any, Any, Answer]:
        """Write an object of any size, in parts; the driver's answer to the last request.

        ``source`` is bytes, a binary file (read in a thread), something with an async ``read``, or
        an async iterator of bytes. ``concurrency`` parts of ``part_size`` bytes (5 MiB at least,
        S3's own limit) are on their way at once, each on a lease of its own, and no more than those
        are held in memory. What fits into one part is one plain request. ``if_none_match="*"``
        refuses to write over anything, ``if_match=etag`` over anything but that. On an error or a
        cancel the parts already written are removed; where even that fails, ``poolapp.s3`` logs it.
        """
        upload = Upload(
            self,
            sys._getframe(1),
            bucket=bucket,
            key=key,
            parameters={"ContentType": content_type, "Metadata": metadata, **parameters},
            condition={"IfNoneMatch": if_none_match, "IfMatch": if_match},
            part_size=part_size,
            concurrency=concurrency,
        )
        return upload.run(source)

    def create_bucket(
        self, bucket: str | None = None, **parameters: Any
    ) -> Coroutine[Any, Any, bool]:
        """Make the bucket, in the region of the client, unless it is there and one's own; whether
        it was made."""
        return self._create_bucket(sys._getframe(1), bucket, parameters)

    async def _create_bucket(
        self, frame: FrameType, bucket: str | None, parameters: Request
    ) -> bool:
        from botocore.exceptions import ClientError

        async def create(s3: Any) -> None:
            region = s3.meta.region_name
            place = {"CreateBucketConfiguration": {"LocationConstraint": region}}
            chosen = {} if region in _NO_CONSTRAINT else place
            await s3.create_bucket(**self._at(bucket, {**chosen, **parameters}))

        async def is_there(s3: Any) -> None:
            await s3.head_bucket(**self._at(bucket, {}))

        try:
            await self._do(frame, is_there)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        else:
            return False
        try:
            await self._do(frame, create)
        except ClientError as error:
            if error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou":
                return False
            raise
        return True


def _sendable(body: Any) -> Any:
    """The body as the driver wants it: aiohttp warns of more than 1 MiB of bytes, which it would
    hand to the socket in one piece."""
    if isinstance(body, memoryview):
        body = bytes(body)
    if isinstance(body, bytes | bytearray) and len(body) > MIB:
        return io.BytesIO(body)
    return body


def _header(span: Span | None) -> str | None:
    if span is None:
        return None
    start, stop = span
    if stop is None:
        return f"bytes={start}" if start < 0 else f"bytes={start}-"
    if not 0 <= start < stop:
        raise ValueError(f"a range is (start, stop) with 0 <= start < stop, not {span}")
    return f"bytes={start}-{stop - 1}"
