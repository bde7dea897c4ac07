"""Objects written in parts, from every kind of source, and what is left when that fails."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from poolapp import BackendUnavailable
from tests.buckets import ONCE, address, new_bucket, s3_pool, through
from tests.real import Proxy, eventually

MIB = 1024 * 1024
PART = 5 * MIB
BODY = bytes(range(256)) * 4096 * 11 + b"the end"
"""Two parts and a bit."""


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


async def left_over(pool: Any) -> list[str]:
    """The keys of uploads that were begun and neither completed nor aborted."""
    async with pool.acquire() as s3:
        answer = await s3.list_multipart_uploads(Bucket=pool.backend.bucket)
    return [each["Key"] for each in answer.get("Uploads", ())]


class AsyncFile:
    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    async def read(self, count: int) -> bytes:
        return self._file.read(count)


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: BODY, id="bytes"),
        pytest.param(lambda: memoryview(BODY), id="memoryview"),
        pytest.param(lambda: io.BytesIO(BODY), id="file"),
        pytest.param(lambda: AsyncFile(BODY), id="async file"),
        pytest.param(lambda: pieces(BODY, 100_001), id="small pieces"),
        pytest.param(lambda: pieces(BODY, len(BODY)), id="one piece"),
    ],
)
async def test_every_kind_of_source(pool: Any, source: Any) -> None:
    await pool.upload("large", source(), part_size=PART, content_type="a/b", metadata={"x": "y"})
    assert await pool.get("large") == BODY
    head = await pool.head("large")
    assert (head["ContentType"], head["Metadata"]) == ("a/b", {"x": "y"})
    assert head["ETag"].endswith('-3"'), "it came in three parts"


async def test_a_file_on_disk(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    with path.open("rb") as file:
        await pool.upload("large", file, part_size=PART)
    assert await pool.get("large") == BODY


@pytest.mark.parametrize("size", [0, 1, PART - 1])
async def test_what_fits_into_one_part_is_one_plain_request(pool: Any, size: int) -> None:
    await pool.upload("small", BODY[:size], part_size=PART, metadata={"x": "y"})
    head = await pool.head("small")
    assert "-" not in head["ETag"]
    assert head["Metadata"] == {"x": "y"}
    assert await pool.get("small") == BODY[:size]


@pytest.mark.parametrize("size", [PART, 2 * PART])
async def test_a_last_part_that_is_full(pool: Any, size: int) -> None:
    await pool.upload("full", BODY[:size], part_size=PART)
    assert await pool.get("full") == BODY[:size]


async def test_nothing_is_overwritten_that_must_not_be(pool: Any) -> None:
    await pool.put("taken", b"first")
    for body in (b"second", BODY):
        with pytest.raises(ClientError) as info:
            await pool.upload("taken", body, part_size=PART, if_none_match="*")
        assert info.value.response["Error"]["Code"] == "PreconditionFailed"
    assert await pool.get("taken") == b"first"
    assert await left_over(pool) == []


async def test_each_part_has_a_lease_so_that_others_have_their_turn(bucket_url: str) -> None:
    async with s3_pool(bucket_url, max_size=1) as pool:
        uploading = asyncio.create_task(pool.upload("large", BODY, part_size=PART))
        while not uploading.done():
            await pool.exists("other")
        await uploading
        assert pool.stats().sockets.open == 1


async def test_no_more_is_held_than_the_parts_on_their_way(pool: Any) -> None:
    piece = bytes(MIB)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield piece

    await pool.ping()
    gc.collect()
    tracemalloc.start()
    try:
        await pool.upload("large", endless(), part_size=PART, concurrency=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Two parts, and what the HTTP client has in hand of them.
    assert peak < 3 * PART


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"part_size": PART - 1}, "5242880"), ({"concurrency": 0}, "at least one")],
)
async def test_settings_that_s3_does_not_allow(
    pool: Any, settings: dict[str, int], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        await pool.upload("large", BODY, **settings)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("text", "'str'"),
        (io.StringIO("text"), "binary mode"),
        ([b"a", b"b"], "'list'"),
    ],
)
async def test_a_source_that_has_no_bytes(pool: Any, source: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        await pool.upload("large", source)


async def test_more_parts_than_s3_allows(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poolapp.backends.s3.upload.MAX_PARTS", 2)
    with pytest.raises(ValueError, match="larger part_size"):
        await pool.upload("many", BODY, part_size=PART)
    assert await left_over(pool) == []


class TestFailing:
    async def test_an_error_of_the_source_leaves_nothing(self, pool: Any) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield BODY
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await pool.upload("broken", broken(), part_size=PART)
        assert await left_over(pool) == []
        assert not await pool.exists("broken")
        assert pool.in_use == 0

    @pytest.mark.parametrize("when", ["beginning", "a part", "reading"])
    async def test_a_cancel_leaves_nothing(self, bucket_url: str, when: str) -> None:
        async with Proxy(*address(bucket_url)) as proxy:
            url = through(proxy.port, bucket_url)
            async with s3_pool(url, max_size=4) as pool:
                reading = asyncio.Event()

                async def source() -> AsyncIterator[bytes]:
                    yield BODY[:PART]
                    if when == "a part":
                        proxy.fall_silent()
                    yield BODY[:PART]
                    reading.set()
                    await asyncio.Event().wait()

                await pool.ping()
                if when == "beginning":
                    proxy.fall_silent()
                uploading = asyncio.create_task(pool.upload("left", source(), part_size=PART))
                await (reading if when == "reading" else proxy.swallowed).wait()
                uploading.cancel()
                await asyncio.sleep(0)
                proxy.speak()
                with pytest.raises(asyncio.CancelledError):
                    await uploading
                assert await left_over(pool) == []
                assert pool.in_use == 0

    async def test_a_second_cancel_ends_it_and_the_parts_are_removed_all_the_same(
        self, bucket_url: str
    ) -> None:
        async with (
            Proxy(*address(bucket_url)) as proxy,
            s3_pool(through(proxy.port, bucket_url), max_size=4) as pool,
        ):
            reading = asyncio.Event()

            async def source() -> AsyncIterator[bytes]:
                yield BODY[:PART]
                reading.set()
                await asyncio.Event().wait()

            async def nothing_is_asked() -> bool:
                return pool.in_use == 0

            uploading = asyncio.create_task(pool.upload("left", source(), part_size=PART))
            await reading.wait()
            await eventually(nothing_is_asked)
            proxy.fall_silent()
            uploading.cancel()
            await proxy.swallowed.wait()
            uploading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await uploading
            assert pool.in_use == 1
            proxy.speak()
            await eventually(nothing_is_asked)
            assert await left_over(pool) == []

    async def test_parts_that_can_not_be_removed_are_told_of(
        self, bucket_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with Proxy(*address(bucket_url)) as proxy:
            settings = {"options": ONCE, "acquire_timeout": 0.3, "connect_timeout": 0.2}
            async with s3_pool(through(proxy.port, bucket_url), **settings) as pool:

                async def source() -> AsyncIterator[bytes]:
                    yield BODY[:PART]
                    await proxy.__aexit__()
                    yield BODY[:PART]

                with pytest.raises(BackendUnavailable):
                    await pool.upload("left", source(), part_size=PART)
        (record,) = [each for each in caplog.records if each.name == "poolapp.s3"]
        assert "could not be removed" in record.getMessage()
        assert record.levelno == logging.WARNING
