"""ElasticsearchManager: results that are longer than a page, and reads that are no search."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web

from poolapp.managers.elasticsearch import ExpiredSearch
from tests.composite import SEEN, with_composites
from tests.fronts import PRODUCT, Front
from tests.integration.es_documents import documents_of, pks
from tests.stores.models import Article
from tests.stores.models_elasticsearch import Line

FOLDER = Path(__file__).parents[2]
MANY = 10_400


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    """Of a server before the stand-in, that notes what is asked."""
    return with_composites(server_urls["elasticsearch"])


@pytest.fixture
async def lines(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Line) as documents:
        yield documents


async def write(lines: Any, count: int) -> None:
    """With ids from 0, every other one even."""
    made = (Line(id=number, parity=number % 2 == 0) for number in range(count))
    assert await lines.refresh(False).abulk_create(made, batch_size=2000)
    async with lines.store().pool.acquire() as es:
        await es.indices.refresh(index=lines.store().place)


def asked(url: str, what: str) -> int:
    return sum(each.startswith(what) for each in SEEN[url])


class TestBeyondTheWindow:
    async def test_slices_and_orders_go_as_far_as_there_are_documents(self, lines: Any) -> None:
        await write(lines, MANY)
        ordered = lines.order_by("id")
        assert await pks(ordered[10_200:10_210]) == list(range(10_200, 10_210))
        assert await pks(ordered[MANY - 2 : MANY + 50]) == [MANY - 2, MANY - 1]
        assert await pks(ordered[MANY:]) == []
        assert await lines.acount() == MANY
        last = await lines.order_by("-id").afirst()
        assert last.id == MANY - 1
        assert len(await pks(lines.filter(parity=True)[:])) == MANY // 2


class TestPages:
    async def test_a_short_result_takes_one_request(self, lines: Any, url: str) -> None:
        await write(lines, 30)
        SEEN[url].clear()
        assert len(await pks(lines.all())) == 30
        assert SEEN[url] == [f"POST /{lines.store().place}/_search"]

    async def test_a_long_one_is_of_one_moment(self, lines: Any) -> None:
        await write(lines, 50)
        seen = []
        async for each in lines.order_by("id").aiterator(chunk_size=10, prefetch=0):
            if not seen:
                await lines.filter(id__gte=40).adelete()
                await lines.acreate(id=15_000)
            seen.append(each.id)
        assert seen == list(range(50))

    @pytest.mark.parametrize("prefetch", [0, 1, 3])
    async def test_its_place_is_given_back_at_the_end(
        self, lines: Any, url: str, prefetch: int
    ) -> None:
        await write(lines, 50)
        SEEN[url].clear()
        rows = [each async for each in lines.aiterator(chunk_size=10, prefetch=prefetch)]
        assert len(rows) == 50
        assert (asked(url, f"POST /{lines.store().place}/_pit"), asked(url, "DELETE /_pit")) == (
            1,
            1,
        )

    @pytest.mark.parametrize("prefetch", [0, 1])
    async def test_and_when_somebody_has_seen_enough(
        self, lines: Any, url: str, prefetch: int
    ) -> None:
        await write(lines, 50)
        SEEN[url].clear()
        async with aclosing(lines.aiterator(chunk_size=10, prefetch=prefetch)) as rows:
            async for _ in rows:
                break
        assert asked(url, "DELETE /_pit") == 1
        assert lines.store().pool.in_use == 0

    async def test_and_when_the_reader_is_cancelled(self, lines: Any, url: str) -> None:
        await write(lines, 50)
        SEEN[url].clear()
        began = asyncio.Event()

        async def read() -> None:
            async with aclosing(lines.aiterator(chunk_size=10)) as rows:
                async for _ in rows:
                    began.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await began.wait()
        task.cancel()
        await asyncio.wait([task])
        assert asked(url, "DELETE /_pit") == 1

    async def test_a_place_that_the_server_gave_up_is_told(self) -> None:
        gone = {
            "error": {
                "type": "search_phase_execution_exception",
                "reason": "all shards failed",
                "caused_by": {"type": "search_context_missing_exception", "reason": "No context"},
            }
        }
        async with Front() as front, documents_of(front.url, Line, ensure=False) as lines:
            place = lines.store().place
            hit = {"_id": "1", "_source": {"id": 1}, "_seq_no": 1, "_primary_term": 1, "sort": [1]}
            front.answers[f"/{place}/_search"] = (200, {"hits": {"hits": [hit]}})
            front.answers[f"/{place}/_pit"] = (200, {"id": "p"})
            front.answers["/_search"] = (404, gone)
            with pytest.raises(ExpiredSearch, match="given up by the server"):
                _ = [each async for each in lines.aiterator(chunk_size=1)]

    async def test_half_an_answer_is_none(self) -> None:
        async with Front() as front, documents_of(front.url, Line, ensure=False) as lines:
            await pks_or_none(lines)
            search = next(each for each in front.requests if each.path.endswith("/_search"))
            assert search.query["allow_partial_search_results"] == "false"


async def pks_or_none(lines: Any) -> None:
    with pytest.raises(KeyError):
        await pks(lines.all())


class TestByPrimaryKey:
    async def test_what_was_written_is_there_at_once(self, url: str) -> None:
        async with documents_of(url, Article, refresh=False) as articles:
            made = await articles.acreate(slug="a/b?", title="one")
            assert (await articles.aget(pk="a/b?")).title == "one"
            assert await articles.filter(pk__in=["a/b?", "c"]).acount() == 1
            assert await articles.filter(pk="a/b?").aupdate(likes=5) == 1
            assert (await articles.aget(pk="a/b?")).likes == 5
            await articles.aremove(made)
            assert not await articles.filter(pk="a/b?").aexists()
            assert await articles.filter(pk="a/b?").adelete() == (0, {})

    async def test_no_search_is_asked(self, url: str) -> None:
        async with documents_of(url, Article) as articles:
            await articles.acreate(slug="a", title="one")
            SEEN[url].clear()
            (one,) = [each async for each in articles.filter(pk__in=["a", "b"]).only("title")]
            assert one.get_deferred_fields()
            assert await articles.ain_bulk(["a", "b"]) == {"a": one}
            assert not [each for each in SEEN[url] if "_search" in each]

    async def test_slices_and_orders_of_many(self, lines: Any) -> None:
        await write(lines, 30)
        wanted = [5, 40, 3, 29, 7]
        assert await pks(lines.filter(pk__in=wanted)) == [5, 3, 29, 7]
        assert await pks(lines.filter(pk__in=wanted)[1:3]) == [3, 29]
        assert await pks(lines.filter(pk__in=wanted).order_by("-id")[:2]) == [29, 7]
        some = lines.filter(pk__in=range(100))
        assert len([each async for each in some.aiterator(chunk_size=7)]) == 30


class Endless:
    """Takes whatever is written and gives back as many documents as there were: the stand-in needs
    minutes for the pages of 200,000."""

    async def __aenter__(self) -> Self:
        self.count = 0
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        content = await request.read()
        what = request.path.rpartition("/")[2]
        answer: Any = {}
        if what == "_bulk":
            count = content.count(b"\n") // 2
            self.count += count
            item = {"index": {"status": 201, "_seq_no": 1, "_primary_term": 1}}
            answer = {"items": [item] * count}
        elif what == "_pit":
            answer = {"id": "place"}
        elif what == "_search":
            body = json.loads(content)
            after = body.get("search_after", [-1])[0] + 1
            ids = range(after, min(after + body["size"], self.count))
            hits = [
                {
                    "_id": str(each),
                    "_source": {"id": each, "parity": each % 2 == 0},
                    "_seq_no": each,
                    "_primary_term": 1,
                    "sort": [each],
                }
                for each in ids
            ]
            answer = {"hits": {"hits": hits}, "pit_id": "place"}
        return web.json_response(answer, headers=PRODUCT)


async def test_a_stream_of_200000_documents_takes_little_memory() -> None:
    async def megabytes(count: int) -> int:
        async with Endless() as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.stores.stream_elasticsearch", server.url, "lines",
                str(count), cwd=FOLDER, env={**os.environ, "PYTHONDEVMODE": ""},
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            told, _ = await process.communicate()
        assert process.returncode == 0
        return int(told)

    few = await megabytes(1)
    many = await megabytes(200_000)
    assert many < 100 or many - few < 20, f"{few} MB before, {many} MB with them"
