"""ElasticsearchManager: writes, and what becomes of each."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
from aiohttp import web
from django.db import DatabaseError, IntegrityError

from poolapp import BackendUnavailable
from poolapp.managers import Conflict, Missing, Rejected
from tests.fronts import PRODUCT, Front
from tests.integration.es_documents import documents_of, found, pks
from tests.stores.models import Article
from tests.stores.models_elasticsearch import Line, Picture


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


@pytest.fixture
async def articles(url: str) -> AsyncIterator[Any]:
    async with documents_of(url, Article) as documents:
        yield documents


class Bulks:
    """A server that answers bulk requests as it is told: ``answer(operations)`` gives a status for
    each, or one for the whole request."""

    def __init__(self, answer: Any) -> None:
        self._answer_with = answer
        self.ids: list[list[str]] = []
        """Of each request."""
        self.queries: list[Any] = []

    async def __aenter__(self) -> Self:
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
        if not request.path.endswith("/_bulk"):
            return web.json_response({}, headers=PRODUCT)
        self.queries.append(request.query)
        content = (await request.read()).splitlines()
        actions = [json.loads(each) for each in content[::2]]
        self.ids.append([each["index"]["_id"] for each in actions])
        statuses = self._answer_with(self.ids[-1])
        if isinstance(statuses, int):
            error = {"error": {"type": "es_rejected_execution_exception", "reason": "full"}}
            return web.json_response(error, status=statuses, headers=PRODUCT)
        items = []
        for status in statuses:
            told: dict[str, Any] = {"status": status, "_seq_no": 1, "_primary_term": 1}
            if status >= 300:
                told["error"] = {"type": "some_exception", "reason": f"no {status}"}
            items.append({"index": told})
        return web.json_response({"items": items}, headers=PRODUCT)


def lines(count: int) -> list[Line]:
    return [Line(id=number) for number in range(count)]


class TestNoRoom:
    async def test_what_was_refused_is_sent_again_and_nothing_else(self) -> None:
        def every_other_one_at_first(ids: list[str]) -> list[int]:
            first = len(server.ids) == 1
            return [429 if first and number % 2 else 201 for number in range(len(ids))]

        async with (
            Bulks(every_other_one_at_first) as server,
            documents_of(server.url, Line, ensure=False) as documents,
        ):
            result = await documents.abulk_create(lines(6), update_conflicts=True)
        assert (result.succeeded, result.failed) == (6, [])
        assert server.ids == [["0", "1", "2", "3", "4", "5"], ["1", "3", "5"]]

    async def test_a_request_that_was_refused_as_a_whole_too(self) -> None:
        def not_at_first(ids: list[str]) -> Any:
            return 429 if len(server.ids) < 3 else [201] * len(ids)

        async with (
            Bulks(not_at_first) as server,
            documents_of(server.url, Line, ensure=False) as documents,
        ):
            result = await documents.abulk_create(lines(3), update_conflicts=True)
        assert result.succeeded == 3
        assert len(server.ids) == 3

    async def test_it_gives_up_after_a_while_and_says_which(self) -> None:
        def never_the_second(ids: list[str]) -> list[int]:
            return [429 if each == "1" else 201 for each in ids]

        async with (
            Bulks(never_the_second) as server,
            documents_of(server.url, Line, ensure=False) as documents,
        ):
            result = await documents.abulk_create(lines(3), update_conflicts=True)
        assert result.succeeded == 2
        (failed,) = result.failed
        assert (failed.index, failed.status) == (1, 429)
        assert isinstance(failed.error, BackendUnavailable)
        assert server.ids == [["0", "1", "2"], *[["1"]] * 5]


class TestItems:
    async def test_each_failure_has_its_own_reason(self) -> None:
        statuses = [201, 409, 400, 404, 503]

        async with (
            Bulks(lambda ids: statuses) as server,
            documents_of(server.url, Line, ensure=False) as documents,
        ):
            result = await documents.abulk_create(lines(5), update_conflicts=True)
        assert result.succeeded == 1
        kinds = {each.status: type(each.error) for each in result.failed}
        assert kinds == {409: Conflict, 400: Rejected, 404: Missing, 503: BackendUnavailable}
        assert "no 400" in str(result.failed[1])

    async def test_what_would_spoil_the_request_is_left_out_of_it(self, articles: Any) -> None:
        bad = [
            Article(slug="", title="no id"), Article(slug="x" * 513, title="a long id"),
            Article(slug="surrogate", title="\ud800"),
            Article(slug="nan", data={"x": float("nan")}),
        ]  # fmt: skip
        result = await articles.abulk_create([Article(slug="good"), *bad, Article(slug="fine")])
        assert result.succeeded == 2
        assert [each.index for each in result.failed] == [1, 2, 3, 4]
        assert "from 1 to 512 bytes" in str(result.failed[0].error)
        assert len(str(result.failed[1].error)) < 200
        assert await found(articles) == ["fine", "good"]

    async def test_large_documents_go_in_requests_of_a_size_that_servers_take(self) -> None:
        async with (
            Bulks(lambda ids: [201] * len(ids)) as server,
            documents_of(server.url, Article, ensure=False) as documents,
        ):
            large = (Article(slug=str(n), body="x" * 400_000) for n in range(6))
            result = await documents.abulk_create(large, update_conflicts=True)
        assert result.succeeded == 6
        assert server.ids == [["0", "1"], ["2", "3"], ["4", "5"]]

    async def test_an_outage_after_a_part_was_written_loses_nothing(self) -> None:
        async with (
            Bulks(lambda ids: [201] * len(ids) if "0" in ids else 503) as server,
            documents_of(server.url, Article, ensure=False) as documents,
        ):
            large = [Article(slug=str(n), body="x" * 600_000) for n in range(2)]
            result = await documents.abulk_create(large, update_conflicts=True)
        assert result.succeeded == 1
        assert isinstance(result.failed[0].error, BackendUnavailable)


class TestRefresh:
    async def test_it_is_off_by_default_and_on_by_request(self) -> None:
        async with (
            Bulks(lambda ids: [201] * len(ids)) as server,
            documents_of(server.url, Line, ensure=False, refresh=False) as documents,
        ):
            await documents.asave(Line(id=1))
            await documents.refresh("wait_for").asave(Line(id=1))
            await documents.refresh(True).abulk_create([Line(id=1)], update_conflicts=True)
            async with documents_of(server.url, Line, ensure=False, refresh="wait_for") as waiting:
                await waiting.asave(Line(id=1))
                await waiting.refresh(False).asave(Line(id=1))
        assert [each.get("refresh") for each in server.queries] == [
            None, "wait_for", "true", "wait_for", None,
        ]  # fmt: skip

    async def test_what_was_waited_for_is_found(self, url: str) -> None:
        async with documents_of(url, Line, refresh=False) as documents:
            await documents.refresh().acreate(id=1, parity=True)
            assert await found(documents, parity=True) == [1]
            assert await documents.refresh().filter(parity=True).aupdate(parity=False) == 1
            assert await found(documents, parity=True) == []

    async def test_another_value_is_refused(self, articles: Any) -> None:
        with pytest.raises(ValueError, match="refresh is True, False or 'wait_for', not 'soon'"):
            articles.refresh("soon")


class TestConflicts:
    async def test_one_of_many_writers_wins(self, articles: Any) -> None:
        await articles.acreate(slug="a", likes=0)
        read = [await articles.aget(pk="a") for _ in range(5)]

        async def save(article: Article) -> bool:
            article.likes += 1
            try:
                await articles.asave(article, if_unchanged=True)
            except Conflict:
                return False
            return True

        assert sum(await asyncio.gather(*map(save, read))) == 1
        assert (await articles.aget(pk="a")).likes == 1

    async def test_what_a_search_found_has_a_version_too(self, articles: Any) -> None:
        await articles.acreate(slug="a", title="x")
        one = await articles.aget(title="x")
        await articles.filter(title="x").aupdate(likes=1)
        with pytest.raises(Conflict):
            await articles.asave(one, update_fields=["title"], if_unchanged=True)

    async def test_a_document_that_is_gone_is_a_conflict(self, articles: Any) -> None:
        one = await articles.acreate(slug="a")
        await articles.filter(pk="a").adelete()
        with pytest.raises(Conflict):
            await articles.asave(one, if_unchanged=True)

    async def test_many_creators_make_one(self, articles: Any) -> None:
        made = await asyncio.gather(
            *(articles.acreate(slug="a", likes=n) for n in range(8)), return_exceptions=True
        )
        assert sum(isinstance(each, Article) for each in made) == 1
        assert sum(isinstance(each, IntegrityError) for each in made) == 7


class TestByQuery:
    async def test_what_changed_meanwhile_is_told(self) -> None:
        told = {"total": 5, "updated": 3, "deleted": 3, "version_conflicts": 2, "failures": []}
        async with Front() as front, documents_of(front.url, Line, ensure=False) as documents:
            place = documents.store().place
            front.answers[f"/{place}/_update_by_query"] = (200, told)
            front.answers[f"/{place}/_delete_by_query"] = (200, told)
            with pytest.raises(Conflict, match=r"updated 3 of 5 .*2 were changed by somebody"):
                await documents.filter(parity=True).aupdate(parity=False)
            with pytest.raises(Conflict, match=r"deleted 3 of 5 .*2 were changed by somebody"):
                await documents.filter(parity=True).adelete()
            failed = {**told, "failures": [{"cause": {"type": "t", "reason": "disk full"}}]}
            front.answers[f"/{place}/_update_by_query"] = (200, failed)
            with pytest.raises(DatabaseError, match="disk full"):
                await documents.filter(parity=True).aupdate(parity=False)

    async def test_values_are_data_in_a_script(self, articles: Any) -> None:
        hostile = "'; ctx.op = 'delete'; //"
        await articles.abulk_create([Article(slug="a", likes=1), Article(slug="b", likes=2)])
        changed = await articles.filter(likes__gt=0).aupdate(
            title=hostile, price=None, data={"k": hostile}
        )
        assert changed == 2
        assert await found(articles, title=hostile, data__k=hostile) == ["a", "b"]

    async def test_a_write_that_is_not_safe_to_repeat_is_sent_once(self) -> None:
        async with Front() as front, documents_of(front.url, Line, ensure=False) as documents:
            place = documents.store().place
            front.answers[f"/{place}/_update_by_query"] = (503, {"error": "away"})
            with pytest.raises(BackendUnavailable, match="can't answer"):
                await documents.filter(parity=True).aupdate(parity=False)
            sent = [each.path for each in front.requests]
            assert sent.count(f"/{place}/_update_by_query") == 1


class TestRefusals:
    @pytest.mark.parametrize("status", [502, 503, 504])
    async def test_a_server_that_cannot_answer_is_unavailable(self, status: int) -> None:
        async with Front() as front, documents_of(front.url, Line, ensure=False) as documents:
            front.answers[f"/{documents.store().place}/_search"] = (status, {"error": "x"})
            with pytest.raises(BackendUnavailable, match=f"can't answer .{status}."):
                await documents.acount()

    @pytest.mark.parametrize("status", [401, 403])
    async def test_one_that_does_not_allow_it_says_so(self, status: int) -> None:
        async with Front() as front, documents_of(front.url, Line, ensure=False) as documents:
            error = {"type": "security_exception", "reason": "action is unauthorized"}
            front.answers[f"/{documents.store().place}/_search"] = (status, {"error": error})
            with pytest.raises(DatabaseError, match=r"not allowed.*action is unauthorized"):
                await documents.acount()

    async def test_a_lease_is_held_for_a_request_alone(self, url: str) -> None:
        async with documents_of(url, Picture) as pictures:
            await pictures.abulk_create([Picture(id=n) for n in range(20)])
            async for _ in pictures.all().aiterator(chunk_size=5, prefetch=0):
                assert pictures.store().pool.in_use == 0
            assert len(await pks(pictures.all())) == 20
