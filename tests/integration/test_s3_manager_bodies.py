"""Objects whose body is a field: streams, metadata, URLs for others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, NotSupportedError

from poolapp.managers import Conflict, Rejected, S3Manager
from tests.buckets import new_bucket, s3_pool
from tests.stores.models import Article, Everything, bind
from tests.stores.models_s3 import Memo, Photo

MIB = 1024 * 1024
MOMENT = datetime(2024, 2, 29, 12, 30, 0, 123456, UTC)


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


_number = iter(range(10**6))


def manager(pool: Any, model: Any = Photo, *, body: str | None = "data", **settings: Any) -> Any:
    """Below a prefix of the test's own."""
    return bind(S3Manager(pool.alias, f"body{next(_number)}/", body=body, **settings), model)


@pytest.fixture
def photos(pool: Any) -> Any:
    return manager(pool)


async def pieces(count: int, size: int = MIB) -> AsyncIterator[bytes]:
    piece = bytes(size)
    for _ in range(count):
        yield piece


def key_of(manager: Any, pk: Any) -> str:
    store = manager.store()
    return str(store.keys.key(store.schema.dump(store.schema.pk, pk)))


class TestWhatIsWhere:
    async def test_the_field_is_the_body_and_the_others_are_metadata(
        self, pool: Any, photos: Any
    ) -> None:
        photo = await photos.acreate(
            name="a/b",
            data=b"\x89PNG\x00",
            caption='  "été"\r\nX-Evil: 1 \u2028😀 ',
            taken_at=MOMENT,
            thumbnail=b"\x00\xff",
            width=None,
        )
        answer = await pool.fetch(key_of(photos, "a/b"))
        assert answer["Body"] == b"\x89PNG\x00"
        assert answer["ContentType"] == "application/octet-stream"
        assert answer["Metadata"]["taken-at"] == '"2024-02-29T12:30:00.123456Z"'
        assert all(value.isascii() for value in answer["Metadata"].values())
        found = await photos.aget(pk="a/b")
        for field in Photo._meta.concrete_fields:
            assert getattr(found, field.attname) == getattr(photo, field.attname)

    @pytest.mark.parametrize("data", [None, b"", b"x"])
    async def test_no_body_and_an_empty_one_are_told_apart(self, photos: Any, data: Any) -> None:
        await photos.acreate(name="x", data=data)
        assert (await photos.aget(pk="x")).data == data
        assert await photos.filter(pk="x").aupdate(caption="changed") == 1
        found = await photos.aget(pk="x")
        assert (found.data, found.caption) == (data, "changed")

    @pytest.mark.parametrize("text", [None, "", "Grüße\r\n\x00 😀", "\ud800 alone"])
    async def test_a_text_is_a_body_as_well(self, pool: Any, text: Any) -> None:
        memos = manager(pool, Memo, body="text")
        await memos.acreate(id=1, text=text, title="T")
        found = await memos.aget(pk=1)
        assert (found.text, found.title) == (text, "T")
        head = await pool.head(key_of(memos, 1))
        assert head["ContentType"] == "text/plain; charset=utf-8"

    async def test_content_types_fixed_and_by_the_instance(self, pool: Any) -> None:
        for content_type in ("image/jpeg", lambda photo: f"image/{photo.mime}"):
            photos = manager(pool, content_type=content_type)
            await photos.acreate(name="x", data=b"", mime="jpeg")
            assert (await pool.head(key_of(photos, "x")))["ContentType"] == "image/jpeg"
            await photos.aupload(Photo(name="y", mime="jpeg"), b"")
            assert (await pool.head(key_of(photos, "y")))["ContentType"] == "image/jpeg"

    async def test_more_than_the_metadata_s3_takes_is_rejected_with_the_fields_name(
        self, pool: Any, photos: Any
    ) -> None:
        for write in (
            photos.acreate(name="x", data=b"", caption="é" * 400),
            photos.aupload(Photo(name="x", caption="x" * 2048), b""),
        ):
            with pytest.raises(Rejected, match=r"2048; the longest is 'caption' with \d+.*JSON"):
                await write
        assert not await photos.aexists()
        await photos.acreate(name="x", data=b"")
        with pytest.raises(Rejected, match="'caption'"):
            await photos.all().aupdate(caption="x" * 2048)
        plain = manager(pool, body=None)
        await plain.acreate(name="x", data=b"", caption="é" * 4000)
        assert (await plain.aget(pk="x")).caption == "é" * 4000

    @pytest.mark.parametrize(
        ("model", "body", "told"),
        [
            (Photo, "none", "no field 'none'.*data"),
            (Photo, "name", "can't be the body"),
            (Photo, "width", "BinaryField, a TextField or a CharField"),
            (Everything, "json", "can't be the body"),
        ],
    )
    def test_what_can_be_no_body(self, model: Any, body: str, told: str) -> None:
        with pytest.raises(ImproperlyConfigured, match=told):
            bind(S3Manager("media", "x", body=body), model).store()


class TestProjections:
    async def test_without_the_body_nothing_of_it_is_read(self, pool: Any, photos: Any) -> None:
        await photos.acreate(name="x", data=bytes(MIB), caption="c", width=3)
        (row,) = [row async for row in photos.values("name", "caption")]
        assert row == {"name": "x", "caption": "c"}
        found = await photos.defer("data").aget(pk="x")
        assert found.get_deferred_fields() == {"data"}
        found.width = 4
        with pytest.raises(ValueError, match="deferred fields"):
            await photos.asave(found)
        await photos.asave(found, update_fields=["width"], if_unchanged=True)
        again = await photos.aget(pk="x")
        assert (again.width, again.data) == (4, bytes(MIB))

    async def test_a_large_body_stays_where_it_is_when_the_rest_changes(
        self, pool: Any, photos: Any
    ) -> None:
        await photos.aupload(Photo(name="x", caption="old"), pieces(40))
        gc.collect()
        tracemalloc.start()
        try:
            assert await photos.all().aupdate(caption="new") == 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 39 * MIB
        async with photos.aopen("x") as (photo, body):
            assert (photo.caption, body.size) == ("new", 40 * MIB)

    async def test_a_change_of_the_metadata_alone_is_a_conflict_too(self, photos: Any) -> None:
        """An ETag is the same after it."""
        await photos.acreate(name="x", data=b"body", caption="old")
        mine, theirs = await photos.aget(pk="x"), await photos.aget(pk="x")
        theirs.caption = "theirs"
        await photos.asave(theirs, if_unchanged=True)
        mine.caption = "mine"
        for write in (
            photos.asave(mine, if_unchanged=True),
            photos.asave(mine, update_fields=["caption"], if_unchanged=True),
            photos.aupload(mine, b"body", if_unchanged=True),
            photos.aremove(mine, if_unchanged=True),
        ):
            with pytest.raises(Conflict):
                await write
        assert (await photos.aget(pk="x")).caption == "theirs"
        theirs.width = 3
        await photos.asave(theirs, update_fields=["width"], if_unchanged=True)
        await photos.asave(theirs, if_unchanged=True)
        await photos.aremove(theirs, if_unchanged=True)

    async def test_bodies_written_by_several_at_once_lose_nothing_beside_them(
        self, photos: Any
    ) -> None:
        await photos.acreate(name="x", data=b"body", caption="c")
        await asyncio.gather(*(photos.all().aupdate(data=b"%d" % n) for n in range(5)))
        found = await photos.aget(pk="x")
        assert (found.caption, found.data) in [("c", b"%d" % n) for n in range(5)]


class TestStreams:
    async def test_a_body_goes_up_and_comes_down_without_being_held(
        self, pool: Any, photos: Any
    ) -> None:
        await pool.ping()
        gc.collect()
        tracemalloc.start()
        try:
            await photos.aupload(
                Photo(name="film", caption="c"), pieces(60), part_size=5 * MIB, concurrency=2
            )
            size = 0
            async for chunk in photos.adownload("film"):
                assert len(chunk) <= 256 * 1024
                size += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert size == 60 * MIB
        assert peak < 20 * MIB
        assert (await photos.defer("data").aget(pk="film")).caption == "c"

    @pytest.mark.parametrize("source", [b"body", io.BytesIO(b"body"), pieces(1, 4)])
    async def test_every_kind_of_source(self, photos: Any, source: Any) -> None:
        photo = Photo(name="x", data=b"not this")
        await photos.aupload(photo, source)
        assert photo.get_deferred_fields() == {"data"}
        assert photo._state.adding is False
        assert len((await photos.aget(pk="x")).data) == 4

    async def test_uploads_create_and_check_as_saves_do(self, photos: Any) -> None:
        await photos.aupload(Photo(name="x"), b"first", force_insert=True)
        with pytest.raises(IntegrityError, match="already"):
            await photos.aupload(Photo(name="x"), b"second", force_insert=True)
        mine = await photos.aget(pk="x")
        theirs = await photos.defer("data").aget(pk="x")
        await photos.aupload(theirs, b"theirs", if_unchanged=True)
        await photos.aupload(theirs, b"again", if_unchanged=True)
        with pytest.raises(Conflict):
            await photos.aupload(mine, b"mine", if_unchanged=True)
        assert (await photos.aget(pk="x")).data == b"again"
        with pytest.raises(ValueError, match="deferred fields \\(caption"):
            await photos.aupload(await photos.only("width").aget(pk="x"), b"")

    async def test_a_source_that_breaks_leaves_what_was_there(self, photos: Any) -> None:
        await photos.acreate(name="x", data=b"old")

        async def broken() -> AsyncIterator[bytes]:
            yield bytes(6 * MIB)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await photos.aupload(Photo(name="x"), broken(), part_size=5 * MIB)
        assert (await photos.aget(pk="x")).data == b"old"

    async def test_an_open_body_is_read_piece_by_piece(self, pool: Any, photos: Any) -> None:
        await photos.acreate(name="x", data=b"0123456789", caption="digits")
        async with photos.aopen("x") as (photo, body):
            assert (photo.pk, photo.caption) == ("x", "digits")
            assert photo.get_deferred_fields() == {"data"}
            assert (body.size, pool.in_use) == (10, 0)
            assert await body.read(4) == b"0123"
            assert body.tell() == 4
            assert body.seek(-3, io.SEEK_END) == 7
            assert await body.read() == b"789"
            assert await body.read() == b""
            body.seek(2)
            assert [chunk async for chunk in body.chunks(5)] == [b"23456", b"789"]
            assert [chunk async for chunk in body] == []
            with pytest.raises(ValueError, match="position -1"):
                body.seek(-1)
        with pytest.raises(ValueError, match="closed"):
            await body.read()
        photo.width = 5
        await photos.asave(photo, update_fields=["width"], if_unchanged=True)

    async def test_a_body_that_changes_while_it_is_read_is_a_conflict(self, photos: Any) -> None:
        await photos.acreate(name="x", data=b"old version")
        async with photos.aopen("x") as (_, body):
            assert await body.read(3) == b"old"
            await photos.aupload(Photo(name="x"), b"new version")
            with pytest.raises(Conflict, match="since it was opened"):
                await body.read()
            with pytest.raises(Conflict):
                async for _ in body:
                    pass

    async def test_what_is_missing_is_the_models_own_error(self, photos: Any) -> None:
        with pytest.raises(Photo.DoesNotExist):
            async with photos.aopen("none"):
                pass
        with pytest.raises(Photo.DoesNotExist):
            async for _ in photos.adownload("none"):
                pass
        with pytest.raises(ValueError, match="no primary key"):
            await photos.apresign(Memo())

    async def test_a_download_left_early_gives_its_lease_back(self, pool: Any, photos: Any) -> None:
        await photos.acreate(name="x", data=bytes(4 * MIB))
        async with contextlib.aclosing(photos.adownload("x", chunk_size=1024)) as chunks:
            assert len(await anext(chunks)) == 1024
            assert pool.in_use == 1
        assert pool.in_use == 0
        part = [chunk async for chunk in photos.adownload("x", range=(10, 20))]
        assert b"".join(part) == bytes(10)

    async def test_json_objects_have_no_body_to_stream(self, pool: Any) -> None:
        articles = manager(pool, Article, body=None)
        article = await articles.acreate(slug="x", title="T")
        with pytest.raises(NotSupportedError, match="body='field'"):
            await articles.aupload(article, b"")
        with pytest.raises(NotSupportedError, match="body='field'"):
            async with articles.aopen("x"):
                pass
        text = b"".join([chunk async for chunk in articles.adownload(article)])
        assert text.startswith(b'{"slug":"x"')


class TestPresigned:
    async def test_a_stranger_may_do_what_was_signed_for(self, photos: Any) -> None:
        await photos.acreate(name="ä/b ?", data=b"content", mime="image/png")
        get = await photos.apresign("ä/b ?", ResponseContentType="image/png", expires=60)
        put = await photos.apresign(Photo(name="new"), "PUT")
        async with aiohttp.ClientSession() as stranger:
            async with stranger.get(get) as answer:
                assert (answer.status, await answer.read()) == (200, b"content")
                assert answer.content_type == "image/png"
            async with stranger.put(put, data=b"theirs") as answer:
                assert answer.status == 200
        found = await photos.aget(pk="new")
        assert (found.data, found.caption, found.width) == (b"theirs", "", None)

    async def test_using_another_alias(self, s3_url: str, photos: Any) -> None:
        async with s3_pool(await new_bucket(s3_url)) as other:
            await photos.using(other.alias).asave(Photo(name="x", data=b"there"))
            assert not await photos.aexists()
            assert await photos.using(other.alias).aexists()
            assert other.backend.bucket in await photos.using(other.alias).apresign("x")
