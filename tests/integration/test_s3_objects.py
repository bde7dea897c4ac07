"""The short cuts of an S3 pool: objects written, read, listed, signed for others."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from poolapp import Lease, Observer, Pool, pools
from tests.buckets import new_bucket, s3_pool
from tests.http_server import Api
from tests.real import eventually

KIB = 1024


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


@pytest.fixture
async def empty(s3_url: str) -> AsyncIterator[Any]:
    """The pool of a bucket of the test's own."""
    async with s3_pool(await new_bucket(s3_url), max_size=4) as pool:
        yield pool


def code(info: pytest.ExceptionInfo[ClientError]) -> str:
    return info.value.response["Error"]["Code"]


class TestWriting:
    async def test_what_is_put_is_got(self, pool: Any) -> None:
        answer = await pool.put("folder/key", b"content")
        assert answer["ETag"]
        assert await pool.get("folder/key") == b"content"

    async def test_content_type_metadata_and_the_drivers_own_parameters(self, pool: Any) -> None:
        await pool.put(
            "key",
            b"{}",
            content_type="application/json",
            metadata={"author": "me"},
            CacheControl="max-age=60",
        )
        head = await pool.head("key")
        assert head["ContentType"] == "application/json"
        assert head["Metadata"] == {"author": "me"}
        assert head["CacheControl"] == "max-age=60"

    @pytest.mark.parametrize(
        "body", [bytearray(b"content"), memoryview(b"content"), io.BytesIO(b"content"), b""]
    )
    async def test_every_kind_of_body(self, pool: Any, body: Any) -> None:
        await pool.put("key", body)
        assert await pool.get("key") == (b"content" if body else b"")

    async def test_a_body_too_large_for_one_write_to_a_socket(self, pool: Any) -> None:
        """aiohttp warns of it, and here warnings are errors."""
        body = bytes(range(256)) * 12 * KIB
        await pool.put("large", body)
        assert await pool.get("large") == body

    async def test_nothing_is_overwritten_that_must_not_be(self, pool: Any) -> None:
        await pool.put("only once", b"first", if_none_match="*")
        with pytest.raises(ClientError) as info:
            await pool.put("only once", b"second", if_none_match="*")
        assert code(info) == "PreconditionFailed"
        assert await pool.get("only once") == b"first"

    async def test_of_many_at_once_exactly_one_creates_it(self, pool: Any) -> None:
        puts = [pool.put("race", b"%d" % number, if_none_match="*") for number in range(10)]
        answers = await asyncio.gather(*puts, return_exceptions=True)
        assert sum(isinstance(each, dict) for each in answers) == 1

    async def test_what_is_deleted_is_gone_and_deleting_again_is_no_error(self, pool: Any) -> None:
        await pool.put("key", b"content")
        await pool.delete("key")
        await pool.delete("key")
        assert not await pool.exists("key")


class TestReading:
    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            ((0, 1), b"0"),
            ((2, 5), b"234"),
            ((7, None), b"789"),
            ((-3, None), b"789"),
            ((8, 100), b"89"),
            (None, b"0123456789"),
        ],
    )
    async def test_a_range_is_start_and_stop(self, pool: Any, span: Any, expected: bytes) -> None:
        await pool.put("digits", b"0123456789")
        assert await pool.get("digits", range=span) == expected
        chunks = [chunk async for chunk in pool.stream("digits", range=span)]
        assert b"".join(chunks) == expected

    @pytest.mark.parametrize("span", [(5, 5), (5, 4), (-5, -1), (-1, 3)])
    async def test_an_impossible_range_is_refused_here(self, pool: Any, span: Any) -> None:
        with pytest.raises(ValueError, match="start < stop"):
            await pool.get("digits", range=span)

    async def test_a_range_behind_the_end_is_the_servers_error(self, pool: Any) -> None:
        await pool.put("digits", b"0123456789")
        with pytest.raises(ClientError) as info:
            await pool.get("digits", range=(20, 30))
        assert code(info) == "InvalidRange"

    async def test_what_is_missing(self, pool: Any) -> None:
        with pytest.raises(ClientError) as info:
            await pool.get("nothing")
        assert code(info) == "NoSuchKey"
        assert await pool.head("nothing") is None
        assert await pool.exists("nothing") is False
        assert (pool.stats().lost, pool.stats().connected) == (0, 1)

    async def test_another_bucket_than_that_of_the_location(self, pool: Any, s3_url: str) -> None:
        async with s3_pool(await new_bucket(s3_url)) as other:
            name = other.backend.bucket
            await other.put("only there", b"other")
            assert await pool.get("only there", bucket=name) == b"other"
            assert not await pool.exists("only there")
            assert [each["Key"] async for each in pool.list(bucket=name)] == ["only there"]

    async def test_a_bucket_that_is_not_there(self, pool: Any) -> None:
        with pytest.raises(ClientError) as info:
            await pool.get("key", bucket="no-such-bucket")
        assert code(info) == "NoSuchBucket"

    async def test_without_any_bucket(self, s3_url: str) -> None:
        async with s3_pool(s3_url) as pool:
            with pytest.raises(ValueError, match="LOCATION names no bucket"):
                await pool.get("key")
            assert pool.in_use == 0
            assert await pool.ping() > 0


class TestStreaming:
    @pytest.fixture
    async def body(self, pool: Any) -> bytes:
        body = bytes(range(256)) * 16 * KIB
        await pool.put("large", body)
        return body

    async def test_in_chunks_of_the_size_asked_for(self, pool: Any, body: bytes) -> None:
        chunks = [chunk async for chunk in pool.stream("large", chunk_size=10_000)]
        assert b"".join(chunks) == body
        assert max(map(len, chunks)) == 10_000
        assert pool.in_use == 0

    async def test_it_holds_a_lease_for_as_long_as_it_is_read(self, pool: Any, body: bytes) -> None:
        async for _ in pool.stream("large"):
            assert pool.in_use == 1
            (lease,) = pool.leases()
            assert "test_s3_objects.py" in lease.site
        assert pool.in_use == 0

    async def test_leaving_early_gives_the_lease_back(self, pool: Any, body: bytes) -> None:
        async for _ in pool.stream("large"):
            break

        async def returned() -> bool:
            return pool.in_use == 0

        await eventually(returned)
        assert pool.stats().sockets.in_use == 0
        assert await pool.get("large", range=(0, 4)) == body[:4]

    async def test_aclosing_gives_it_back_at_once(self, pool: Any, body: bytes) -> None:
        async with contextlib.aclosing(pool.stream("large")) as chunks:
            assert await anext(chunks)
            assert pool.in_use == 1
        assert pool.in_use == 0
        assert pool.stats().sockets.in_use == 0

    async def test_an_error_of_the_reader_gives_it_back(self, pool: Any, body: bytes) -> None:
        with pytest.raises(ZeroDivisionError):
            async with contextlib.aclosing(pool.stream("large")) as chunks:
                async for _ in chunks:
                    raise ZeroDivisionError
        assert pool.in_use == 0

    async def test_a_cancelled_reader_gives_it_back(self, pool: Any, body: bytes) -> None:
        reading = asyncio.Event()

        async def read() -> None:
            async with contextlib.aclosing(pool.stream("large", chunk_size=10)) as chunks:
                async for _ in chunks:
                    reading.set()
                    await asyncio.sleep(0)

        task = asyncio.create_task(read())
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.in_use == 0

    async def test_what_is_missing(self, pool: Any) -> None:
        with pytest.raises(ClientError) as info:
            async for _ in pool.stream("nothing"):
                pass
        assert code(info) == "NoSuchKey"
        assert pool.in_use == 0


class TestListing:
    async def test_a_prefix_is_taken_as_it_is(self, empty: Any) -> None:
        """Scenario 45: what lies under data/ is listed, and nothing of data2/."""
        for key in ("data/1", "data/2/3", "data2/1", "data", "other", "data/[x]*?", "data/%2F+ &"):
            await empty.put(key, b"")

        async def keys(prefix: str) -> list[str]:
            return [each["Key"] async for each in empty.list(prefix)]

        assert await keys("data/") == ["data/%2F+ &", "data/1", "data/2/3", "data/[x]*?"]
        assert await keys("data/[x]") == ["data/[x]*?"]
        assert await keys("data/%2F") == ["data/%2F+ &"]
        assert await keys("none") == []
        assert len(await keys("")) == 7

    async def test_what_is_told_of_each(self, empty: Any) -> None:
        await empty.put("key", b"content")
        (found,) = [each async for each in empty.list()]
        assert (found["Key"], found["Size"]) == ("key", 7)
        assert found["LastModified"].tzinfo is not None

    async def test_page_by_page_and_no_more_than_the_limit(
        self, empty: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("poolapp.backends.s3.listing.MAX_KEYS", 3)
        keys = [f"key{number}" for number in range(8)]
        for key in keys:
            await empty.put(key, b"")
        assert [each["Key"] async for each in empty.list()] == keys
        for limit in (0, 1, 3, 4, 8, 9):
            assert [each["Key"] async for each in empty.list(limit=limit)] == keys[:limit]

    async def test_nothing_is_held_between_pages(self, empty: Any) -> None:
        await empty.put("key", b"")
        async for each in empty.list():
            assert empty.in_use == 0
            await empty.delete(each["Key"])
        assert [each async for each in empty.list()] == []


class TestPresigned:
    async def test_a_stranger_may_do_what_was_signed_for(self, pool: Any) -> None:
        put = await pool.presign("PUT", "up/a key", ContentType="text/plain", expires=60)
        get = await pool.presign("get", "up/a key", ResponseContentType="text/html")
        async with aiohttp.ClientSession() as stranger:
            headers = {"Content-Type": "text/plain"}
            async with stranger.put(put, data=b"content", headers=headers) as answer:
                assert answer.status == 200
            async with stranger.put(put, data=b"x", headers={"Content-Type": "a/b"}) as answer:
                assert answer.status == 403
            async with stranger.get(get) as answer:
                assert (answer.status, await answer.read()) == (200, b"content")
                assert answer.content_type == "text/html"
            async with stranger.get(get.replace("up/a", "up/b")) as answer:
                assert answer.status == 403
        assert await pool.get("up/a key") == b"content"

    async def test_a_form(self, pool: Any) -> None:
        post = await pool.presign_post(
            "form",
            fields={"Content-Type": "text/plain"},
            conditions=[["content-length-range", 1, 10]],
        )

        async def send(content: bytes) -> int:
            form = aiohttp.FormData({**post["fields"]})
            form.add_field("file", content, filename="file")
            async with (
                aiohttp.ClientSession() as stranger,
                stranger.post(post["url"], data=form) as answer,
            ):
                return answer.status

        assert await send(b"content") in (200, 201, 204)
        assert await send(b"content" * 10) in (400, 403)
        assert await pool.get("form") == b"content"
        assert (await pool.head("form"))["ContentType"] == "text/plain"

    @pytest.mark.parametrize("expires", [0, -1, 7 * 24 * 3600 + 1])
    async def test_a_lifetime_that_s3_does_not_allow(self, pool: Any, expires: int) -> None:
        with pytest.raises(ValueError, match="604800"):
            await pool.presign("GET", "key", expires=expires)
        with pytest.raises(ValueError, match="604800"):
            await pool.presign_post("key", expires=expires)

    async def test_a_method_that_nobody_signs_for(self, pool: Any) -> None:
        with pytest.raises(ValueError, match="DELETE, GET, HEAD, PUT"):
            await pool.presign("PATCH", "key")


class Sites(Observer):
    """Where the leases were acquired."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        self.seen.append(lease.site)


class TestLeases:
    async def test_the_line_that_called_is_told(self, pool: Any) -> None:
        sites = Sites()
        pools.observe(sites)
        try:
            await pool.put("key", b"")
            await asyncio.create_task(pool.get("key"))
            await pool.exists("key")
            async for _ in pool.list(limit=1):
                pass
            await pool.upload("key", b"")
            await pool.presign("GET", "key")
        finally:
            pools.unobserve(sites)
        here = "in TestLeases.test_the_line_that_called_is_told"
        assert [site.endswith(here) for site in sites.seen] == [True] * 6

    async def test_no_more_than_max_size_at_once(self, pool: Any) -> None:
        await asyncio.gather(*(pool.put(f"{number}", b"") for number in range(40)))
        stats = pool.stats()
        assert stats.sockets.open <= 4
        assert stats.queued >= 36

    async def test_of_an_alias_with_shared_loops_they_run_on_the_pool_loop(
        self, s3_url: str
    ) -> None:
        async with s3_pool(await new_bucket(s3_url), loops="shared") as pool:
            await pool.put("key", b"content")
            assert await pool.get("key") == b"content"
            assert await pool.exists("key")
            assert [each["Key"] async for each in pool.list()] == ["key"]
            await pool.upload("large", io.BytesIO(b"x" * 6 * KIB * KIB), part_size=5 * KIB * KIB)
            assert pool.stats().acquired == 0
            chunks = [chunk async for chunk in pool.stream("large")]
            assert len(b"".join(chunks)) == 6 * KIB * KIB
            assert pool.stats().acquired == 1


class TestMany:
    async def test_many_are_deleted_at_once_and_those_that_are_missing_are_no_error(
        self, empty: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("poolapp.backends.s3.pool.MAX_KEYS", 3)
        keys = [f"key {number} <&>" for number in range(8)]
        for key in keys:
            await empty.put(key, b"")
        before = empty.stats().acquired
        assert await empty.delete_many([*keys[:7], "missing"]) == []
        assert empty.stats().acquired == before + 3
        assert [each["Key"] async for each in empty.list()] == keys[7:]
        assert await empty.delete_many([]) == []

    async def test_pages_tell_folders_beside_objects(self, empty: Any) -> None:
        for key in ("a/1", "a/2/x", "a/3/y", "a/4", "b"):
            await empty.put(key, b"")
        pages = [page async for page in empty.pages("a/", Delimiter="/", page_size=3)]
        assert len(pages) == 2
        found = [each["Key"] for page in pages for each in page.get("Contents", ())]
        folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
        assert (found, folders) == (["a/1", "a/4"], ["a/2/", "a/3/"])
        (page,) = [page async for page in empty.pages("a/", StartAfter="a/1")]
        assert [each["Key"] for each in page["Contents"]] == ["a/2/x", "a/3/y", "a/4"]

    async def test_fetch_gives_the_bytes_with_what_is_known_of_them(self, pool: Any) -> None:
        await pool.put("fetched", b"content", content_type="text/plain", metadata={"a": "b"})
        answer = await pool.fetch("fetched", range=(1, 4))
        assert (answer["Body"], answer["ContentType"]) == (b"ont", "text/plain")
        assert answer["Metadata"] == {"a": "b"}
        assert pool.in_use == 0

    async def test_uploads_only_over_what_they_know(self, pool: Any) -> None:
        etag = (await pool.put("guarded", b"first"))["ETag"]
        for body in (b"second", bytes(6 * KIB * KIB)):
            written = await pool.upload("guarded", body, if_match=etag, part_size=5 * KIB * KIB)
            with pytest.raises(ClientError) as info:
                await pool.upload("guarded", body, if_match=etag, part_size=5 * KIB * KIB)
            assert code(info) == "PreconditionFailed"
            etag = written["ETag"]

    async def test_a_bucket_is_made_once(self, s3_url: str) -> None:
        async with s3_pool(s3_url) as pool:
            assert await pool.create_bucket("made-once") is True
            assert await pool.create_bucket("made-once") is False

    async def test_the_drivers_rules_are_gone_through_once_for_all_keys(self, pool: Any) -> None:
        asked = []
        async with pool.acquire() as s3:
            rules = s3._ruleset_resolver._provider.ruleset
        evaluate = rules.evaluate
        rules.evaluate = lambda parameters: asked.append(parameters) or evaluate(parameters)
        for number in range(5):
            await pool.put(f"rules{number}", b"")
            await pool.get(f"rules{number}")
            assert [each async for each in pool.list(f"rules{number}")]
        assert len(asked) <= 1

    async def test_only_a_large_body_is_announced_before_it_is_sent(self) -> None:
        announced: dict[str, bool] = {}

        async def answer(request: web.Request) -> web.Response:
            if request.method == "PUT":
                announced[request.path] = "Expect" in request.headers
            return web.Response(headers={"ETag": '"1"'})

        async with Api() as api:
            paths = ("/bucket", "/bucket/small", "/bucket/large")
            api.handlers = dict.fromkeys(paths, answer)
            url = f"http://key:secret@127.0.0.1:{api.port}/bucket?region=us-east-1"
            async with s3_pool(url) as pool:
                await pool.put("small", bytes(4 * KIB))
                await pool.put("large", bytes(KIB * KIB))
        assert announced == {"/bucket/small": False, "/bucket/large": True}
