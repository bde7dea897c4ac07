"""An object that is open: it is read piece by piece, and nothing of it is kept."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolapp.backends.s3.pool import S3Pool

CHUNK = 256 * 1024
"""Bytes."""

Told = Callable[[], AbstractContextManager[None]]
"""What turns the driver's errors into somebody's own."""


class ObjectReader:
    """``await reader.read(1024)``, ``reader.seek(0)``, ``async for chunk in reader``.

    Holds no connection but while it is read. ``size`` in bytes, ``content_type``, ``etag`` and
    ``head``, all that the server said, are of the moment when it was opened; once the object has
    changed, a read raises ClientError ``PreconditionFailed`` instead of mixing two versions.
    """

    def __init__(
        self,
        pool: S3Pool,
        key: str,
        head: Mapping[str, Any],
        *,
        bucket: str | None = None,
        told: Told = nullcontext,
    ) -> None:
        self.head = head
        self.size: int = head["ContentLength"]
        self.content_type: str = head.get("ContentType", "")
        self.etag: str = head["ETag"]
        self.closed = False
        self._pool = pool
        self._key = key
        self._condition = {"bucket": bucket, "IfMatch": self.etag}
        self._told = told
        self._position = 0

    async def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, or all that are left; ``b""`` at the end."""
        self._check_open()
        stop = self.size if size < 0 else min(self._position + size, self.size)
        if stop <= self._position:
            return b""
        span = (self._position, stop)
        with self._told():
            content: bytes = await self._pool.get(self._key, range=span, **self._condition)
        self._position += len(content)
        return content

    async def chunks(self, chunk_size: int = CHUNK) -> AsyncGenerator[bytes, None]:
        """What is left, in chunks of ``chunk_size`` bytes at the most, all from one request, which
        holds a lease until the iteration ends. Leave it early with ``contextlib.aclosing``."""
        self._check_open()
        if self._position >= self.size:
            return
        span = (self._position, self.size)
        chunks: Any = self._pool.stream(
            self._key, range=span, chunk_size=chunk_size, **self._condition
        )
        with self._told():
            async with aclosing(chunks):
                async for chunk in chunks:
                    self._position += len(chunk)
                    yield chunk

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.chunks()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the next read begins; nothing is asked."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is no position {start + offset} in an object")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the object was closed, and can't be read any more")

    async def close(self) -> None:
        self.closed = True
