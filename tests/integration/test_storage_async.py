"""The async twins of Django's storage: on the caller's own loop, in streams, without threads."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from poolapp import PoolError
from poolapp.storage import S3Storage
from tests.buckets import ONCE, address, new_bucket, s3_pool, through
from tests.real import Proxy

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


_number = iter(range(10**6))


@pytest.fixture
def storage(pool: Any) -> S3Storage:
    """Below a prefix of the test's own."""
    return S3Storage(pool=pool.alias, prefix=f"async{next(_number)}")


async def pieces(count: int, size: int = MIB) -> AsyncIterator[bytes]:
    piece = bytes(size)
    for _ in range(count):
        yield piece


async def content_of(storage: S3Storage, name: str) -> bytes:
    async with storage.aopen(name) as file:
        content: bytes = await file.read()
    return content


class TestSaving:
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (lambda: ContentFile(b"bytes"), b"bytes"),
            (lambda: ContentFile("täxt"), "täxt".encode()),
            (lambda: io.BytesIO(b"file"), b"file"),
            (lambda: SimpleUploadedFile("x", b"upload"), b"upload"),
            (lambda: pieces(2, 3), bytes(6)),
        ],
    )
    async def test_what_is_saved_is_read(
        self, storage: S3Storage, content: Any, expected: bytes
    ) -> None:
        name = await storage.asave("folder/name.txt", content())
        assert name == "folder/name.txt"
        assert await storage.aexists(name)
        assert await storage.asize(name) == len(expected)
        assert await content_of(storage, name) == expected

    async def test_the_name_may_be_the_contents_own(self, storage: S3Storage) -> None:
        assert await storage.asave(None, ContentFile(b"", name="own.txt")) == "own.txt"
        with pytest.raises(ValueError, match="needs a name"):
            await storage.asave(None, pieces(1))

    async def test_a_stream_is_never_held(self, pool: Any, storage: S3Storage) -> None:
        await pool.ping()
        gc.collect()
        tracemalloc.start()
        try:
            await storage.asave("large", pieces(60))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 50 * MIB
        assert await storage.asize("large") == 60 * MIB

    async def test_files_saved_at_once_under_one_name_are_all_there(
        self, storage: S3Storage
    ) -> None:
        names = await asyncio.gather(
            *(storage.asave("race.txt", ContentFile(b"%d" % n)) for n in range(8))
        )
        assert len(set(names)) == 8
        found = [await content_of(storage, name) for name in names]
        assert found == [b"%d" % n for n in range(8)]

    async def test_a_stream_whose_name_is_taken_meanwhile_is_told(self, storage: S3Storage) -> None:
        async def slow() -> AsyncIterator[bytes]:
            await storage.asave("x", ContentFile(b"theirs"))
            yield b"mine"

        with pytest.raises(FileExistsError, match="'x'"):
            await storage.asave("x", slow())
        assert await content_of(storage, "x") == b"theirs"

    async def test_a_name_that_is_taken_is_left_alone(self, storage: S3Storage) -> None:
        await storage.asave("a.txt", ContentFile(b"1"))
        second = await storage.asave("a.txt", ContentFile(b"2"), max_length=13)
        assert second != "a.txt"
        assert len(second) <= 13
        assert await content_of(storage, "a.txt") == b"1"

    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
    async def test_a_name_that_leads_out_is_suspicious(self, storage: S3Storage, name: str) -> None:
        for ask in (
            lambda: storage.asave(name, ContentFile(b"")),
            lambda: storage.adelete(name),
            lambda: storage.aexists(name),
            lambda: storage.asize(name),
            lambda: storage.aurl(name),
            lambda: storage.alistdir(name),
        ):
            with pytest.raises(SuspiciousFileOperation):
                await ask()
        with pytest.raises(SuspiciousFileOperation):
            storage.aopen(name)


class TestOpening:
    async def test_a_file_is_read_piece_by_piece(self, pool: Any, storage: S3Storage) -> None:
        await storage.asave("digits.txt", ContentFile(b"0123456789"))
        async with storage.aopen("digits.txt") as file:
            assert (file.size, file.content_type, pool.in_use) == (10, "text/plain", 0)
            assert await file.read(3) == b"012"
            assert [chunk async for chunk in file.chunks(4)] == [b"3456", b"789"]
            file.seek(8)
            assert [chunk async for chunk in file] == [b"89"]
        file = await storage.aopen("digits.txt")
        assert await file.read() == b"0123456789"
        await file.close()

    async def test_a_file_is_sent_while_it_is_written(self, pool: Any, storage: S3Storage) -> None:
        await storage.asave("x", ContentFile(b"old"))
        async with storage.aopen("x", "wb") as file:
            for _ in range(20):
                assert await file.write(bytes(MIB)) == MIB
            assert await content_of(storage, "x") == b"old"
            with pytest.raises(TypeError, match="'str'"):
                await file.write("text")
        assert await storage.asize("x") == 20 * MIB
        with pytest.raises(ValueError, match="closed"):
            await file.write(b"")
        await file.close()

    async def test_a_block_that_raises_writes_nothing(self, pool: Any, storage: S3Storage) -> None:
        with pytest.raises(ZeroDivisionError):
            async with storage.aopen("x", "wb") as file:
                await file.write(bytes(9 * MIB))
                raise ZeroDivisionError
        assert not await storage.aexists("x")
        async with pool.acquire() as s3:
            answer = await s3.list_multipart_uploads(Bucket=pool.backend.bucket)
        assert not answer.get("Uploads")

    async def test_an_upload_that_fails_is_told_to_who_writes(self, bucket_url: str) -> None:
        async with Proxy(*address(bucket_url)) as proxy:
            settings = {"options": ONCE, "acquire_timeout": 2.0, "connect_timeout": 2.0}
            async with s3_pool(through(proxy.port, bucket_url), **settings) as pool:
                storage = S3Storage(pool=pool.alias)
                await pool.ping()
                file = await storage.aopen("x", "wb")
                await proxy.__aexit__()
                with pytest.raises(PoolError):
                    for _ in range(30):
                        await file.write(bytes(MIB))
                with pytest.raises(PoolError):
                    await file.close()
                for ask in (storage.aexists, storage.asize, storage.adelete):
                    with pytest.raises(PoolError):
                        await ask("x")

    async def test_a_file_that_changes_while_it_is_read_is_an_error(
        self, pool: Any, storage: S3Storage
    ) -> None:
        await storage.asave("x", ContentFile(b"old"))
        async with storage.aopen("x") as file:
            async with storage.aopen("x", "wb") as other:
                await other.write(b"new")
            for read in (file.read, lambda: anext(file.chunks())):
                with pytest.raises(OSError, match="changed or deleted"):
                    await read()

    async def test_what_is_missing(self, storage: S3Storage) -> None:
        for ask in (storage.asize, storage.aget_modified_time, lambda name: storage.aopen(name)):
            with pytest.raises(FileNotFoundError, match="'none'"):
                await ask("none")
        assert await storage.aexists("none") is False
        await storage.adelete("none")
        with pytest.raises(ValueError, match="needs a name"):
            await storage.adelete("")

    @pytest.mark.parametrize("mode", ["r", "w", "a", "r+b"])
    async def test_modes(self, storage: S3Storage, mode: str) -> None:
        with pytest.raises(ValueError, match="mode"):
            storage.aopen("x", mode)


class TestAsking:
    async def test_folders_urls_and_times(self, storage: S3Storage) -> None:
        for name in ("a/1", "a/b/2", "3"):
            await storage.asave(name, ContentFile(b"content"))
        assert await storage.alistdir("") == (["a"], ["3"])
        assert await storage.alistdir("a") == (["b"], ["1"])
        assert await storage.aexists("a/b")
        moment = await storage.aget_modified_time("3")
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
        with override_settings(USE_TZ=False):
            assert (await storage.aget_modified_time("3")).tzinfo is None
        url = await storage.aurl("a/1", expires=60)
        async with aiohttp.ClientSession() as stranger, stranger.get(url) as answer:
            assert await answer.read() == b"content"
        await storage.adelete("a/1")
        assert await storage.alistdir("a") == (["b"], [])

    async def test_a_public_url_asks_nobody(self, pool: Any) -> None:
        storage = S3Storage(pool=pool.alias, base_url="https://cdn.example.com/media")
        assert await storage.aurl("ä.txt") == "https://cdn.example.com/media/%C3%A4.txt"
        assert storage.url("ä.txt") == await storage.aurl("ä.txt")
        assert pool.stats().acquired == 0

    async def test_sync_methods_say_that_they_would_block_the_loop(
        self, storage: S3Storage
    ) -> None:
        with pytest.raises(PoolError, match="aurl"):
            storage.url("x")
        with pytest.raises(PoolError, match="aexists"):
            storage.exists("x")
        await asyncio.to_thread(storage.save, "x", ContentFile(b""))
        assert await storage.aexists("x")

    async def test_another_bucket_than_that_of_the_location(self, pool: Any, s3_url: str) -> None:
        async with s3_pool(await new_bucket(s3_url)) as other:
            storage = S3Storage(pool=pool.alias, bucket=other.backend.bucket)
            name = await storage.asave("there", ContentFile(b"x"))
            assert await other.get("there") == await content_of(storage, name) == b"x"

    async def test_everything_is_given_back(self, pool: Any, storage: S3Storage) -> None:
        await storage.asave("large", pieces(4))
        async with contextlib.aclosing((await storage.aopen("large")).chunks(1024)) as chunks:
            await anext(chunks)
            assert pool.in_use == 1
        assert pool.in_use == 0
