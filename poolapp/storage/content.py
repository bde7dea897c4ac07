"""What is saved: whatever Django's storages take, and what only async code has."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from django.core.files import File

CHUNK = 1024 * 1024
"""Bytes that are read of a file at once, in a thread."""


class Content:
    """Something to save, which may have to be read a second time."""

    def __init__(self, given: Any) -> None:
        """Raises TypeError for what has no bytes."""
        self.given = given
        self._is_async = isinstance(given, AsyncIterable) or inspect.iscoroutinefunction(
            getattr(given, "read", None)
        )
        if not self._is_async and not hasattr(given, "read"):
            raise TypeError(
                "a storage saves a file, or an async iterator of bytes, "
                f"not {type(given).__name__!r}; wrap bytes or text in a ContentFile"
            )

    def rewind(self) -> bool:
        """Go to its start; False where it has none to go back to."""
        seek = None if self._is_async else getattr(self.given, "seek", None)
        if seek is None:
            return False
        try:
            seek(0)
        except (AttributeError, io.UnsupportedOperation):
            return False
        return True

    def source(self) -> Any:
        """For ``upload``: what is in memory as it is, else an iterator that reads in a thread."""
        if self._is_async:
            return self.given
        inner = self.given.file if isinstance(self.given, File) else self.given
        if isinstance(inner, io.BytesIO):
            return inner.getvalue()
        return self._read()

    async def _read(self) -> AsyncGenerator[bytes, None]:
        while chunk := await asyncio.to_thread(self.given.read, CHUNK):
            yield chunk.encode() if isinstance(chunk, str) else chunk
