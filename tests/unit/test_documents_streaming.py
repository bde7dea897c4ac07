"""Streams: pages read ahead, and no further; closed in any case."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from poolapp.managers.documents.streaming import read_ahead
from tests.stores.gated import GatedManager, GatedStore
from tests.stores.models import Article, bind


class Pages:
    """Numbers, one page each."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.count = count
        self.fails_at = fails_at
        self.read = 0
        self.closed = False

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                if number == self.fails_at:
                    raise LookupError("broken")
                self.read += 1
                yield number
        finally:
            self.closed = True


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("prefetch", [0, 1, 3])
async def test_every_page_comes_in_order(prefetch: int) -> None:
    pages = Pages(10)
    assert [each async for each in read_ahead(pages(), prefetch)] == list(range(10))
    assert pages.closed


@pytest.mark.parametrize(("prefetch", "read"), [(0, 1), (1, 3), (3, 5)])
async def test_as_many_are_read_ahead_as_was_said(prefetch: int, read: int) -> None:
    pages = Pages(100)
    async with aclosing(read_ahead(pages(), prefetch)) as ahead:
        assert await anext(ahead) == 0
        await turns()
        # One is used, ``prefetch`` wait, one more is in the reader's hand.
        assert pages.read == read
    assert pages.closed


@pytest.mark.parametrize("prefetch", [0, 1, 3])
async def test_leaving_early_closes_the_source(prefetch: int) -> None:
    pages = Pages(100)
    async with aclosing(read_ahead(pages(), prefetch)) as ahead:
        async for each in ahead:
            if each == 2:
                break
    assert pages.closed


@pytest.mark.parametrize("prefetch", [0, 1, 3])
async def test_an_error_comes_after_the_pages_before_it(prefetch: int) -> None:
    pages = Pages(10, fails_at=4)
    seen = []
    with pytest.raises(LookupError):
        async for each in read_ahead(pages(), prefetch):
            seen += [each]
    assert seen == [0, 1, 2, 3]
    assert pages.closed


async def test_an_error_that_nobody_reads_up_to_is_not_left_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pages = Pages(10, fails_at=1)
    async with aclosing(read_ahead(pages(), 3)) as ahead:
        await anext(ahead)
        await turns()
    del ahead
    assert caplog.records == []


async def test_cancelling_who_waits_closes_the_source() -> None:
    documents = bind(GatedManager("x"), Article)
    store = documents.store()
    assert isinstance(store, GatedStore)
    await documents.abulk_create(Article(slug=str(n)) for n in range(10))
    store.gate.clear()

    async def read() -> list[Any]:
        return [each async for each in documents.all()]

    reading = asyncio.create_task(read())
    await turns()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert store.closed
    assert store.pages_read == 0


async def test_a_stream_asks_in_pages_of_the_size_given() -> None:
    documents = bind(GatedManager("x"), Article)
    await documents.abulk_create(Article(slug=str(n)) for n in range(10))
    got = [each async for each in documents.all().aiterator(chunk_size=4)]
    assert (len(got), documents.store().pages_read) == (10, 3)
    assert {each._score for each in got} == {0.5}
    with pytest.raises(ValueError, match="chunk_size"):
        [each async for each in documents.all().aiterator(chunk_size=0)]
