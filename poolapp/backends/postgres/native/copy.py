"""``COPY``, as psycopg's cursors have it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg.adapt import PyFormat
from psycopg.pq import Format

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.cursor import Cursor

_IN_MEMORY = 1024 * 1024
"""Bytes that are held; more of them go to a file."""

_BLOCK = 64 * 1024

_IN = re.compile(r"\bFROM\s+STDIN\b", re.IGNORECASE)
_BINARY = re.compile(r"\bBINARY\b", re.IGNORECASE)

_ESCAPES = {
    "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r", "\\": "\\\\",
}  # fmt: skip
_ESCAPED = re.compile("[\b\t\n\v\f\r\\\\]")
_UNESCAPED = re.compile(r"\\(.)")
_MEANT = {escape[1]: character for character, escape in _ESCAPES.items()}


class Copy:
    """``with cursor.copy("COPY ... FROM STDIN") as copy: copy.write_row(...)``, and ``with
    cursor.copy("COPY ... TO STDOUT") as copy: for row in copy.rows():``.

    What is written is sent at the end of the block, in one go, and nothing at all when the block
    is left by an exception. What is read is received at its beginning.
    """

    def __init__(self, cursor: Cursor, statement: str) -> None:
        self.cursor = cursor
        self._statement = statement
        self._writes = _IN.search(statement) is not None
        self._binary = _BINARY.search(statement) is not None
        self._types: list[int] = []
        self._spool: Any = None

    def __enter__(self) -> Self:
        self._spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)
        if not self._writes:
            try:
                self.cursor.copy_done(self._receive)
            except BaseException:
                self._spool.close()
                raise
            self._spool.seek(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._writes and kind is None:
                self._spool.seek(0)
                self.cursor.copy_done(self._send)
        finally:
            self._spool.close()

    async def _receive(self, connection: Any) -> str:
        async def take(data: bytes) -> None:
            self._spool.write(data)

        status = await connection._protocol.copy_out(self._statement, take, None)
        return _text(status)

    async def _send(self, connection: Any) -> str:
        async def blocks() -> AsyncIterator[bytes]:
            while block := self._spool.read(_BLOCK):
                yield block

        status = await connection._protocol.copy_in(
            self._statement, blocks(), None, None, None, None
        )
        return _text(status)

    # -- writing -------------------------------------------------------------------------------

    def write(self, data: str | bytes) -> None:
        """A piece of the data, in the format that the statement names."""
        self._need(writing=True)
        self._spool.write(data.encode() if isinstance(data, str) else data)

    def write_row(self, row: Sequence[Any]) -> None:
        """One record, in the text format."""
        self._need(writing=True, text=True)
        self._spool.write(("\t".join(map(self._written, row)) + "\n").encode())

    def _written(self, value: Any) -> str:
        if value is None:
            return r"\N"
        dumper = self.cursor.transformer.get_dumper(value, PyFormat.TEXT)
        text = bytes(dumper.dump(value)).decode()
        return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)

    # -- reading -------------------------------------------------------------------------------

    def set_types(self, types: Sequence[int | str]) -> None:
        """The types of the columns, for ``rows``: without them they are texts."""
        registry = self.cursor.adapters.types
        self._types = [each if isinstance(each, int) else registry.get_oid(each) for each in types]

    def read(self) -> bytes:
        """The next piece, a line of text or a block of binary data; empty at the end."""
        self._need(writing=False)
        piece: bytes = self._spool.read(_BLOCK) if self._binary else self._spool.readline()
        return piece

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read():
            yield piece

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The records, of the text format."""
        while (row := self.read_row()) is not None:
            yield row

    def read_row(self) -> tuple[Any, ...] | None:
        self._need(writing=False, text=True)
        line = self._spool.readline().decode()
        if not line:
            return None
        return tuple(map(self._read, range(line.count("\t") + 1), line[:-1].split("\t")))

    def _read(self, number: int, text: str) -> Any:
        if text == r"\N":
            return None
        meant = _UNESCAPED.sub(lambda match: _MEANT.get(match[1], match[1]), text)
        if not self._types:
            return meant
        loader = self.cursor.transformer.get_loader(self._types[number], Format.TEXT)
        return loader.load(meant.encode())

    def _need(self, *, writing: bool, text: bool = False) -> None:
        if writing is not self._writes:
            direction = "FROM STDIN" if writing else "TO STDOUT"
            raise psycopg.ProgrammingError(f"this needs a COPY ... {direction}")
        if text and self._binary:
            raise psycopg.NotSupportedError("records of a binary COPY: use write() and read()")


def _text(status: Any) -> str:
    return status.decode() if isinstance(status, bytes) else str(status or "")
