"""`pool.ask`: one request on a client that is borrowed for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp import BackendUnavailable, pools
from tests.fronts import Front
from tests.real import elasticsearch_config, elasticsearch_pool


@pytest.fixture
async def pool(server_urls: dict[str, str]) -> AsyncIterator[Any]:
    async with elasticsearch_pool(server_urls["elasticsearch"], max_size=2) as pool:
        yield pool


async def test_a_refusal_is_an_answer(pool: Any) -> None:
    answer = await pool.ask("GET", "/nothing/_doc/1")
    assert answer.status == 404
    assert answer.body["error"]["type"] == "index_not_found_exception"
    assert pool.in_use == 0


async def test_bytes_are_lines_of_json(pool: Any) -> None:
    alone = {"settings": {"number_of_replicas": 0}}
    assert (await pool.ask("PUT", "/requests", body=alone)).status == 200
    lines = b'{"index":{"_id":"1"}}\n{"n":1}\n'
    answer = await pool.ask("POST", "/requests/_bulk", body=lines, params={"refresh": "true"})
    assert answer.body["errors"] is False
    found = await pool.ask("POST", "/requests/_search", body={"query": {"term": {"n": 1}}})
    assert found.body["hits"]["hits"][0]["_id"] == "1"
    assert (await pool.ask("DELETE", "/requests")).status == 200


async def test_a_lost_server_is_unavailable_and_named_by_its_alias() -> None:
    async with Front() as front:
        config = elasticsearch_config(front.url, options={"max_retries": 0})
        pools.register(config.alias, config)
        try:
            await pools[config.alias].ping()
            await front.__aexit__()
            with pytest.raises(BackendUnavailable, match=config.alias):
                await pools[config.alias].ask("GET", "/")  # type: ignore[attr-defined]
        finally:
            await pools.remove(config.alias)


@pytest.mark.parametrize(("repeatable", "times"), [(True, 3), (False, 1)])
async def test_what_is_not_repeatable_is_sent_once(repeatable: bool, times: int) -> None:
    options = {"max_retries": 2}
    async with Front() as front, elasticsearch_pool(front.url, options=options) as pool:
        front.answers["/x"] = (503, {})
        answer = await pool.ask("POST", "/x", body={}, repeatable=repeatable)
        assert answer.status == 503
        assert sum(each.path == "/x" for each in front.requests) == times


async def test_lack_of_room_is_never_answered_by_asking_again_at_once() -> None:
    async with Front() as front, elasticsearch_pool(front.url) as pool:
        front.answers["/x"] = (429, {})
        assert (await pool.ask("GET", "/x")).status == 429
        assert sum(each.path == "/x" for each in front.requests) == 1


def test_an_alias_that_is_shared_is_asked_from_any_loop(server_urls: dict[str, str]) -> None:
    config = elasticsearch_config(server_urls["elasticsearch"], loops="shared")
    pools.register(config.alias, config)

    async def ask() -> int:
        pool: Any = pools[config.alias]
        status: int = (await pool.ask("GET", "/")).status
        return status

    try:
        assert [asyncio.run(ask()) for _ in range(3)] == [200] * 3
        assert pools.run(_connected, config.alias) == 1
    finally:
        pools.run(pools.remove, config.alias)


async def _connected(alias: str) -> int:
    return pools[alias].stats().connected
