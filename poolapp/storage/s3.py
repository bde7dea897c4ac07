"""The storage itself: each thing once for sync and once for async code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urljoin

from django.conf import settings
from django.core.files import File
from django.core.files.storage import InvalidStorageError, Storage
from django.core.files.utils import validate_file_name
from django.utils import timezone
from django.utils.deconstruct import deconstructible
from django.utils.encoding import filepath_to_uri

from poolapp.backends.s3.pool import S3Pool
from poolapp.backends.s3.reader import ObjectReader
from poolapp.core.registry import pools
from poolapp.storage.checks import fault_of
from poolapp.storage.content import Content
from poolapp.storage.files import (
    AsyncWriter,
    Opening,
    StoredFile,
    WrittenFile,
    checked_mode,
    told,
)
from poolapp.storage.names import content_type_of, key_of, normal

Head = dict[str, Any]

_TAKEN = frozenset({"ConditionalRequestConflict", "PreconditionFailed"})
"""What S3 answers when an object is there, or is just being made, that must not be overwritten."""


@deconstructible(path="poolapp.storage.S3Storage")
class S3Storage(Storage):
    """Files as objects of a bucket, on the connections of an alias.

    The sync methods run on the process's own pool loop (``pools.run``) and raise PoolError where an
    event loop runs, which they would block; there are async twins of all of them (``asave``,
    ``aopen``, ``adelete``, ``aexists``, ``asize``, ``aurl``, ``alistdir``, ``aget_modified_time``,
    ``aget_available_name``), which use no thread but to read a file of the caller's.

    ``pool`` is the alias; ``bucket`` another one than that of its LOCATION; ``prefix`` a folder for
    all files of this storage; ``base_url`` the public URL of that folder, without which ``url``
    signs one that is good for ``expires`` seconds; ``overwrite`` whether a file of the same name is
    replaced instead of another name being found; ``parameters`` the driver's parameters of each
    write, such as ``{"CacheControl": "max-age=86400"}``.

    An outage raises BackendUnavailable (or PoolTimeout), never FileNotFoundError; what the server
    has against a request, the driver's ``ClientError``; a name that leads out of the prefix,
    SuspiciousFileOperation; a wrong alias, InvalidStorageError.
    """

    def __init__(
        self,
        *,
        pool: str,
        bucket: str | None = None,
        prefix: str = "",
        base_url: str | None = None,
        expires: int = 3600,
        overwrite: bool = False,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self._alias = pool
        self._bucket = bucket
        self.prefix = f"{folder}/" if (folder := normal(prefix)) else ""
        self.base_url = None if base_url is None else base_url.rstrip("/") + "/"
        self._expires = expires
        self._overwrites = overwrite
        self._parameters = dict(parameters or {})
        self._is_sound = False

    # -- the pool ------------------------------------------------------------------------------

    @property
    def _pool(self) -> S3Pool:
        if not self._is_sound:
            wrong, hint = fault_of(self._alias)
            if wrong:
                raise InvalidStorageError(f"A {type(self).__name__} {wrong}. {hint}")
            self._is_sound = True
        pool = pools[self._alias]
        assert isinstance(pool, S3Pool)
        return pool

    def _key(self, name: str) -> str:
        return key_of(self.prefix, name)

    async def _head(self, name: str) -> Head:
        head = await self._pool.head(self._key(name), bucket=self._bucket)
        if head is None:
            raise FileNotFoundError(f"There is no file {name!r} in the storage.")
        return head

    # -- reading -------------------------------------------------------------------------------

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        mode = checked_mode(mode)
        if "w" in mode:
            self._key(name)
            return WrittenFile(self, name, mode)
        return StoredFile(self, name, mode)

    def aopen(self, name: str, mode: str = "rb") -> Opening[Any]:
        """``async with storage.aopen(name) as file``: an ObjectReader, or with mode ``"wb"`` an
        AsyncWriter. FileNotFoundError when there is nothing to read."""
        writes = "w" in checked_mode(mode)
        if "b" not in mode:
            raise ValueError(f"aopen() gives bytes: its mode is 'rb' or 'wb', not {mode!r}")
        self._key(name)
        return Opening(partial(self._awriter if writes else self._areader, name))

    async def _areader(self, name: str) -> ObjectReader:
        head = await self._head(name)
        key = self._key(name)
        return self._pool.reader(key, head, bucket=self._bucket, told=partial(told, name))

    async def _awriter(self, name: str) -> AsyncWriter:
        return AsyncWriter(self, name)

    def _reader(self, name: str) -> tuple[int, Any]:
        """The size of a file, and how sync code fetches a range of it."""
        head = pools.run(self._head, name)

        def fetch(start: int, stop: int) -> bytes:
            return pools.run(self._fetch, name, head["ETag"], (start, stop))

        return head["ContentLength"], fetch

    async def _fetch(self, name: str, etag: str, span: tuple[int, int]) -> bytes:
        with told(name):
            content: bytes = await self._pool.get(
                self._key(name), bucket=self._bucket, range=span, IfMatch=etag
            )
        return content

    # -- writing -------------------------------------------------------------------------------

    def _save(self, name: str, content: Any) -> str:
        given = Content(content)
        while not pools.run(self._write, name, given, overwrite=self._overwrites):
            name = _Names(self, name).get_available_name(name)
        return normal(name)

    async def asave(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        """Write a file, and return the name it was given.

        ``content`` is what ``save`` takes, read in a thread unless it is in memory; or something
        with an async ``read``, or an async iterator of bytes, which is sent while it comes. That
        can't be read twice: FileExistsError when another file took the name meanwhile.
        """
        name = getattr(content, "name", None) if name is None else name
        if not name:
            raise ValueError("asave() needs a name: the content has none")
        validate_file_name(name, allow_relative_path=True)
        name = await self.aget_available_name(name, max_length=max_length)
        validate_file_name(name, allow_relative_path=True)
        given = Content(content)
        while not await self._write(name, given, overwrite=self._overwrites):
            name = _Names(self, name).get_available_name(name, max_length=max_length)
        return normal(name)

    def _overwrite(self, name: str, content: Any) -> None:
        pools.run(self._aoverwrite, name, content)

    async def _aoverwrite(self, name: str, content: Any) -> None:
        await self._write(name, Content(content), overwrite=True)

    async def _write(self, name: str, content: Content, *, overwrite: bool) -> bool:
        """False when there is a file of that name by now, which must stay."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        content.rewind()
        parameters = {"content_type": content_type_of(name, content.given), **self._parameters}
        if "ContentType" in self._parameters:
            del parameters["content_type"]
        try:
            await self._pool.upload(
                self._key(name),
                content.source(),
                bucket=self._bucket,
                if_none_match=None if overwrite else "*",
                **parameters,
            )
        except ClientError as error:
            if overwrite or _code(error) not in _TAKEN:
                raise
            if not content.rewind():
                raise FileExistsError(
                    f"A file {name!r} was made while this one was sent, which can't be read again."
                ) from error
            return False
        return True

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        if self._overwrites:
            return not (max_length and len(name) > max_length)
        return not (max_length and len(name) > max_length) and not pools.run(self._is_file, name)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        if self._overwrites:
            return f"{file_root}{file_ext}"
        return super().get_alternative_name(file_root, file_ext)

    async def aget_available_name(self, name: str, max_length: int | None = None) -> str:
        """As ``get_available_name``."""
        search = _Names(self)
        while True:
            found = search.get_available_name(name, max_length=max_length)
            if self._overwrites or not await self._is_file(found):
                return found
            search.taken.add(found)

    def delete(self, name: str) -> None:
        """That there is no such file is no error."""
        pools.run(self.adelete, name)

    async def adelete(self, name: str) -> None:
        """The same."""
        if not name:
            raise ValueError("delete() needs a name")
        await self._pool.delete(self._key(name), bucket=self._bucket)

    # -- asking --------------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name, or anything in a folder of that name; the storage
        itself is always there."""
        return pools.run(self.aexists, name)

    async def aexists(self, name: str) -> bool:
        """The same."""
        folder = normal(name)
        if not folder or await self._is_file(name):
            return True
        async for page in self._pool.pages(f"{self._key(name)}/", bucket=self._bucket, page_size=1):
            return bool(page.get("Contents"))
        return False

    async def _is_file(self, name: str) -> bool:
        return await self._pool.exists(self._key(name), bucket=self._bucket)

    def size(self, name: str) -> int:
        """In bytes; FileNotFoundError when there is no such file."""
        return pools.run(self.asize, name)

    async def asize(self, name: str) -> int:
        """The same."""
        return int((await self._head(name))["ContentLength"])

    def get_modified_time(self, name: str) -> datetime:
        """When it was last written; aware when USE_TZ is on. FileNotFoundError when there is no
        such file."""
        return pools.run(self.aget_modified_time, name)

    async def aget_modified_time(self, name: str) -> datetime:
        """The same."""
        moment: datetime = (await self._head(name))["LastModified"]
        return moment if settings.USE_TZ else timezone.make_naive(moment)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """The names of the folders and of the files directly in a folder. That there is no such
        folder is no error: a bucket has none."""
        return pools.run(self.alistdir, path)

    async def alistdir(self, path: str) -> tuple[list[str], list[str]]:
        """The same."""
        folder = normal(path)
        prefix = f"{self.prefix}{folder}/" if folder else self.prefix
        folders, files = [], []
        async for page in self._pool.pages(prefix, bucket=self._bucket, Delimiter="/"):
            folders += [each["Prefix"][len(prefix) : -1] for each in page.get("CommonPrefixes", ())]
            files += [each["Key"][len(prefix) :] for each in page.get("Contents", ())]
        # What other tools make to show an empty folder has the folder's name alone.
        return [name for name in folders if name], [name for name in files if name]

    # -- URLs ----------------------------------------------------------------------------------

    def url(self, name: str | None, *, expires: int | None = None, **parameters: Any) -> str:
        """Below ``base_url``, or else signed for a GET, for ``expires`` seconds.

        ``parameters`` are the driver's, and signed too:
        ``ResponseContentDisposition="attachment"``.
        """
        if self._is_public(expires, parameters):
            return self._public_url(name)
        return pools.run(self.aurl, name, expires=expires, **parameters)

    async def aurl(self, name: str | None, *, expires: int | None = None, **parameters: Any) -> str:
        """The same."""
        if self._is_public(expires, parameters):
            return self._public_url(name)
        return await self._pool.presign(
            "GET",
            self._key(name or ""),
            bucket=self._bucket,
            expires=self._expires if expires is None else expires,
            **parameters,
        )

    def _is_public(self, expires: int | None, parameters: Mapping[str, Any]) -> bool:
        return self.base_url is not None and expires is None and not parameters

    def _public_url(self, name: str | None) -> str:
        path = filepath_to_uri(name)
        return urljoin(self.base_url or "", path.lstrip("/") if path else path)


class _Names(Storage):
    """Django's way from a name that is taken to another, with the answers known beforehand."""

    def __init__(self, storage: S3Storage, *taken: str) -> None:
        self._storage = storage
        self.taken = set(taken)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        return name not in self.taken and not (max_length and len(name) > max_length)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        return self._storage.get_alternative_name(file_root, file_ext)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
