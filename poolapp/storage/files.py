"""Files of a bucket, open: read by ranges, written in parts, never held whole."""

from __future__ import annotations

import asyncio
import errno
import io
import tempfile
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from django.core.files import File

from poolapp.backends.s3.reader import ObjectReader

if TYPE_CHECKING:
    from poolapp.storage.s3 import S3Storage

    AnyFile = File[Any]
else:
    AnyFile = File

MIB = 1024 * 1024

BUFFER = MIB
"""Bytes that a file, read by sync code, fetches at once."""

IN_MEMORY = 8 * MIB
"""Bytes of a file, written by sync code, before it goes to the disk."""

T = TypeVar("T", bound="ObjectReader | AsyncWriter")


@contextmanager
def told(name: str) -> Iterator[None]:
    """Raises OSError (ESTALE) where a file is not any more what it was when it was opened."""
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _STALE:
            raise
        gone = "The file was changed or deleted since it was opened"
        raise OSError(errno.ESTALE, gone, name) from error


_STALE = frozenset({"404", "412", "InvalidRange", "NoSuchKey", "PreconditionFailed"})


# -- for sync code ---------------------------------------------------------------------------------


class _Ranges(io.RawIOBase):
    """An object as a raw file: each read is a request for that range."""

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        start = self._position
        stop = min(start + len(buffer), self._size)
        if stop <= start:
            return 0
        content = self._fetch(start, stop)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def readall(self) -> bytes:
        content = bytearray(max(0, self._size - self._position))
        return bytes(content[: self.readinto(content)])

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is no position {start + offset} in a file")
        self._position = start + offset
        return self._position


class StoredFile(AnyFile):
    """A file to read. It is fetched by ranges of ``BUFFER`` bytes as they are needed, may be
    sought in, and holds no connection while it is open. One that was changed meanwhile raises
    OSError (ESTALE) instead of mixing two versions."""

    def __init__(self, storage: S3Storage, name: str, mode: str) -> None:
        self._storage = storage
        self.mode = mode
        super().__init__(None, name)
        self._fetch_anew()

    def _fetch_anew(self) -> None:
        assert self.name is not None
        size, fetch = self._storage._reader(self.name)
        self.size = size
        buffered = io.BufferedReader(_Ranges(size, fetch), min(BUFFER, max(size, 1)))
        self.file = buffered if "b" in self.mode else io.TextIOWrapper(buffered, "utf-8")

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Self:
        """From the start again, also when it was closed."""
        if mode not in (None, self.mode):
            self.mode = checked_mode(mode or "")
            if "w" in self.mode:
                raise ValueError("open a file to write by the storage's open()")
            self._fetch_anew()
        elif self.closed:
            self._fetch_anew()
        else:
            self.seek(0)
        return self


class WrittenFile(AnyFile):
    """A file to write, which takes the place of the object when it is closed. A ``with`` block that
    raises leaves the object as it was."""

    def __init__(self, storage: S3Storage, name: str, mode: str) -> None:
        self._storage = storage
        self.mode = mode
        self._spool = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115
        self._open: Any = self._spool if "b" in mode else io.TextIOWrapper(self._spool, "utf-8")
        super().__init__(self._open, name)

    def close(self) -> None:
        if self._spool.closed:
            return
        try:
            self._open.flush()
            self._spool.seek(0)
            self._storage._overwrite(self.name or "", self._spool)
        finally:
            self._open.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._open.close()

    def __del__(self) -> None:
        if not self._spool.closed:
            warnings.warn(
                f"{self.name!r} was not closed, and so not saved", ResourceWarning, 2, self
            )
            self._open.close()


def checked_mode(mode: str) -> str:
    """``"rb"``, ``"r"``, ``"wb"`` or ``"w"``; ValueError for what an object can't do."""
    plain = mode.replace("t", "")
    if plain not in ("rb", "br", "r", "wb", "bw", "w"):
        raise ValueError(
            f"a file of a bucket is opened in mode 'rb', 'r', 'wb' or 'w', not {mode!r}: "
            "an object is read, or written as a whole"
        )
    return plain


# -- for async code --------------------------------------------------------------------------------


class AsyncWriter:
    """A file to write: ``await file.write(chunk)``. It is on its way to the server while it is
    written, in parts, and takes the place of the object when it is closed. An ``async with`` block
    that raises leaves the object as it was, and nothing of the parts."""

    def __init__(self, storage: S3Storage, name: str) -> None:
        self.name = name
        self.closed = False
        # One chunk waits while another is taken over: who writes goes no faster than who sends.
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._sending = asyncio.create_task(storage._aoverwrite(name, self._written()))

    async def _written(self) -> AsyncGenerator[bytes, None]:
        while (chunk := await self._chunks.get()) is not None:
            yield chunk

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Raises what the upload raised, once it has failed."""
        if self.closed:
            raise ValueError("I/O operation on closed file.")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"a file is written in bytes, not {type(data).__name__!r}")
        await self._hand_over(bytes(data))
        return len(data)

    async def _hand_over(self, chunk: bytes | None) -> None:
        handing = asyncio.ensure_future(self._chunks.put(chunk))
        try:
            await asyncio.wait([handing, self._sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            handing.cancel()
        if self._sending.done():
            self._sending.result()

    async def close(self) -> None:
        """Return when the object is there."""
        if self.closed:
            return
        self.closed = True
        try:
            await self._hand_over(None)
            await self._sending
        except BaseException:
            await self._stop()
            raise

    async def abort(self) -> None:
        """Give it up: the object stays as it was."""
        if not self.closed:
            self.closed = True
            await self._stop()

    async def _stop(self) -> None:
        self._sending.cancel()
        await asyncio.wait([self._sending])
        if not self._sending.cancelled():
            self._sending.exception()


class Opening(Generic[T]):
    """What ``aopen`` gives: ``async with storage.aopen(name) as file``, or ``file = await
    storage.aopen(name)`` and ``await file.close()``."""

    def __init__(self, open_it: Callable[[], Awaitable[T]]) -> None:
        self._open_it = open_it
        self._file: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._open_it().__await__()

    async def __aenter__(self) -> T:
        self._file = await self._open_it()
        return self._file

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        if error is not None and isinstance(self._file, AsyncWriter):
            await self._file.abort()
        else:
            await self._file.close()
