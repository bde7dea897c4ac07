"""An object that is written in parts, while its source is still being read."""

from __future__ import annotations

import asyncio
import inspect
import io
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from types import FrameType
from typing import TYPE_CHECKING, Any, BinaryIO

from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    from poolapp.backends.s3.pool import S3Pool

logger = logging.getLogger("poolapp.s3")

MIB = 1024 * 1024

MIN_PART = 5 * MIB
MAX_PARTS = 10_000
"""Limits of S3: bytes of each part but the last, parts of one object."""

_TOLD = (
    "ETag", "ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1",
    "ChecksumSHA256",
)  # fmt: skip
"""What the server said of a part, and wants to hear again when the object is put together."""

Chunk = bytes | bytearray | memoryview

Source = bytes | bytearray | memoryview | BinaryIO | AsyncIterator[bytes] | Any
"""``Any``: whatever has an async ``read(count)``."""


class Upload:
    """One object on its way."""

    def __init__(
        self,
        pool: S3Pool,
        frame: FrameType,
        *,
        bucket: str | None,
        key: str,
        parameters: Mapping[str, Any],
        condition: Mapping[str, Any],
        part_size: int,
        concurrency: int,
    ) -> None:
        if part_size < MIN_PART:
            raise ValueError(f"a part has {MIN_PART} bytes at least, not {part_size}")
        if concurrency < 1:
            raise ValueError(f"at least one part is on its way, not {concurrency}")
        self._pool = pool
        self._frame = frame
        self._bucket = bucket
        self._key = {"Key": key}
        self._parameters = parameters
        self._condition = condition
        self._part_size = part_size
        self._concurrency = concurrency

    async def run(self, source: Source) -> dict[str, Any]:
        async with aclosing(parts_of(source, self._part_size)) as parts:
            first = await anext(parts, None) or io.BytesIO()
            if size_of(first) < self._part_size:
                answer: dict[str, Any] = await self._do(
                    "put_object", self._parameters, self._condition, {"Body": first}
                )
                return answer
            read = [first]
            del first  # and with it the last reference that outlives its being sent
            return await self._in_parts(read, parts)

    def _do(self, operation: str, *parameters: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
        request = {**self._key}
        for each in parameters:
            request.update(each)
        return self._pool._do(
            self._frame,
            lambda s3: getattr(s3, operation)(**self._pool._at(self._bucket, request)),
        )

    async def _in_parts(
        self, read: list[io.BytesIO], rest: AsyncIterator[io.BytesIO]
    ) -> dict[str, Any]:
        # From here on a cancel must not forget what the server remembers, and is paid for: so it
        # does not reach the request that begins.
        beginning = asyncio.create_task(self._do("create_multipart_upload", self._parameters))
        try:
            begun = await asyncio.shield(beginning)
            written = {"UploadId": begun["UploadId"]}
            parts = await self._send_all(written, read, rest)
            answer: dict[str, Any] = await self._do(
                "complete_multipart_upload",
                written,
                self._condition,
                {"MultipartUpload": {"Parts": parts}},
            )
        except BaseException:
            removing = asyncio.create_task(self._remove(beginning))
            _removals.add(removing)
            removing.add_done_callback(_removals.discard)
            await asyncio.shield(removing)
            raise
        return answer

    async def _send_all(
        self,
        written: dict[str, Any],
        read: list[io.BytesIO],
        rest: AsyncIterator[io.BytesIO],
    ) -> list[dict[str, Any]]:
        """Send parts as they come; what the server must be told of them in the end."""
        # Taken before a part is read, given back when it has been sent.
        room = asyncio.Semaphore(self._concurrency)
        sent: list[asyncio.Task[dict[str, Any]]] = []
        await room.acquire()
        try:
            async with asyncio.TaskGroup() as tasks:
                while read:
                    if len(sent) == MAX_PARTS:
                        raise ValueError(
                            f"more than {MAX_PARTS} parts of {self._part_size} bytes: give "
                            "upload() a larger part_size"
                        )
                    sending = tasks.create_task(self._send(written, len(sent) + 1, read.pop()))
                    sending.add_done_callback(lambda _: room.release())
                    sent.append(sending)
                    await room.acquire()
                    async for part in rest:
                        read.append(part)
                        del part
                        break
        except ExceptionGroup as group:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        return [each.result() for each in sent]

    async def _send(self, written: dict[str, Any], number: int, part: io.BytesIO) -> dict[str, Any]:
        numbered = {"PartNumber": number}
        answer = await self._do("upload_part", written, numbered, {"Body": part})
        told = {name: answer[name] for name in _TOLD if name in answer}
        return {**numbered, **told}

    async def _remove(self, beginning: asyncio.Task[dict[str, Any]]) -> None:
        """Have the server forget the parts."""
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        await asyncio.wait([beginning])
        if beginning.cancelled() or beginning.exception() is not None:
            return  # nothing was begun
        written = {"UploadId": beginning.result()["UploadId"]}
        try:
            async with asyncio.timeout(self._pool.config.close_timeout):
                await self._do("abort_multipart_upload", written)
        except (PoolError, BotoCoreError, ClientError, TimeoutError) as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") == "NoSuchUpload":
                return
            logger.warning(
                "Pool %r: the parts of an upload that failed could not be removed (%s); a "
                "lifecycle rule of the bucket can do so",
                self._pool.alias,
                type(error).__name__,
                extra={"alias": self._pool.alias, "event": "upload_left"},
            )


_removals: set[asyncio.Task[None]] = set()
"""A loop keeps only weak references to its tasks."""


async def parts_of(source: Source, size: int) -> AsyncGenerator[io.BytesIO, None]:
    """The source's bytes in parts of ``size``, but for the last, which may be shorter."""
    part = io.BytesIO()
    async with aclosing(_chunks(source, size)) as chunks:
        async for chunk in chunks:
            rest = memoryview(chunk)
            while len(rest) >= (room := size - part.tell()):
                part.write(rest[:room])
                rest = rest[room:]
                full, part = [part], io.BytesIO()
                yield _rewound(full.pop())  # not a name that would keep it while it is sent
            part.write(rest)
    if part.tell():
        yield _rewound(part)


def _rewound(part: io.BytesIO) -> io.BytesIO:
    part.seek(0)
    return part


def size_of(part: io.BytesIO) -> int:
    return part.getbuffer().nbytes


async def _chunks(source: Any, size: int) -> AsyncGenerator[Chunk, None]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield source
    elif hasattr(source, "read"):
        waits = inspect.iscoroutinefunction(source.read)
        while chunk := await (source.read(size) if waits else asyncio.to_thread(source.read, size)):
            yield _bytes(chunk)
    elif hasattr(source, "__aiter__"):
        async for chunk in source:
            yield _bytes(chunk)
    else:
        raise TypeError(
            "upload() takes bytes, a binary file or an async iterator of bytes, "
            f"not {type(source).__name__!r}"
        )


def _bytes(chunk: Any) -> Chunk:
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise TypeError(
            f"upload() was given {type(chunk).__name__!r} to write, which is not bytes; "
            "open a file in binary mode"
        )
    return chunk
