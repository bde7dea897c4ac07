"""An Elasticsearch client in use: seats, health, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp import PoolTimeout, pools
from poolapp.backends.elasticsearch import ElasticsearchBackend
from tests.fronts import Front
from tests.real import elasticsearch_config, elasticsearch_pool


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Any]:
    async with elasticsearch_pool(url, max_size=4) as pool:
        yield pool


async def test_all_holders_have_the_same_client(pool: Any) -> None:
    async with pool.acquire() as one, pool.acquire() as other:
        assert one is other
    assert pool.stats().connected == 1


async def test_no_more_than_max_size_hold_it_at_once(pool: Any) -> None:
    leases = [await pool.acquire() for _ in range(4)]
    with pytest.raises(PoolTimeout):
        await pool.acquire(timeout=0)
    for lease in leases:
        lease.release()


async def test_a_holders_api_error_changes_nothing(pool: Any) -> None:
    with pytest.raises(Exception, match="404"):
        async with pool.acquire() as es:
            await es.get(index="nothing", id="1")
    async with pool.acquire() as es:
        assert await es.info()
    assert (pool.stats().connected, pool.stats().lost) == (1, 0)


async def test_a_resize_makes_a_client_with_as_many_connections(pool: Any) -> None:
    async with pool.acquire():
        pass
    pools.resize(pool.alias, max_size=9)
    async with pool.acquire() as es:
        assert {node.config.connections_per_node for node in es.transport.node_pool.all()} == {9}


async def test_a_client_that_its_holder_closed_still_works_for_the_next(pool: Any) -> None:
    async with pool.acquire() as es:
        await es.close()
    async with pool.acquire() as es:
        assert await es.info()


async def test_the_server_tells_its_version_and_its_size(pool: Any) -> None:
    async with pool.acquire() as es:
        info = await pool.backend.server_info(es)
    assert info["version"].split(".")[0].isdigit()
    assert info["cluster_name"]
    assert info["nodes"] >= 1


class TestHealth:
    async def test_a_cluster_that_lacks_replicas_is_degraded(
        self, pool: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "poolapp.health")
        async with pool.acquire() as es:
            assert await pool.backend.health(es) == ("healthy", "")
            settings = {"number_of_replicas": 1, "number_of_shards": 3}
            await es.indices.create(index="lonely", settings=settings)
            try:
                yellow = ("degraded", "cluster status is yellow: 3 unassigned shards")
                assert await pool.backend.health(es) == yellow
                assert await pool.backend.health(es) == yellow
            finally:
                await es.indices.delete(index="lonely")
            assert await pool.backend.health(es) == ("healthy", "")
        told = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert told == [
            (
                "WARNING",
                f"Pool {pool.alias!r}: cluster status is yellow: 3 unassigned shards (was green)",
            ),
            ("INFO", f"Pool {pool.alias!r}: cluster status is green (was yellow)"),
        ]

    async def test_a_cluster_that_lacks_primaries_is_unhealthy(self) -> None:
        async with Front() as front, elasticsearch_pool(front.url) as pool:
            front.answers["/_cluster/health"] = (200, {"status": "red", "unassigned_shards": 1})
            async with pool.acquire() as es:
                assert await pool.backend.health(es) == (
                    "unhealthy",
                    "cluster status is red: 1 unassigned shard",
                )

    async def test_a_cluster_that_does_not_answer_raises(self) -> None:
        async with Front() as front, elasticsearch_pool(front.url) as pool:
            front.answers["/_cluster/health"] = (500, {"error": "broken"})
            async with pool.acquire() as es:
                with pytest.raises(Exception, match="500"):
                    await pool.backend.health(es)


class TestEnding:
    async def test_a_reset_with_requests_under_way_leaves_nothing_open(self) -> None:
        async with Front() as front, elasticsearch_pool(front.url) as pool:

            async def ask() -> None:
                async with pool.acquire() as es:
                    await es.options(request_timeout=60).info()

            await pool.ping()
            front.gate.clear()
            asking = [asyncio.create_task(ask()) for _ in range(3)]
            await front.until_inside(3)
            pool.reset()
            front.gate.set()
            await asyncio.gather(*asking)
            assert pool.size == 0
            await pool.ping()

    async def test_aborting_cuts_the_requests_under_way(self) -> None:
        async with Front() as front:
            config = elasticsearch_config(front.url, options={"max_retries": 0})
            pools.register(config.alias, config)
            pool = pools[config.alias]

            async def ask() -> None:
                async with pool.acquire() as es:
                    await es.options(request_timeout=60).info()

            await pool.ping()
            front.gate.clear()
            asking = asyncio.create_task(ask())
            await front.until_inside(1)
            await pool.close(timeout=0)
            with pytest.raises(Exception, match=r"disconnected|closed|Connection"):
                await asking
            await pools.remove(config.alias)

    async def test_a_connect_that_is_cancelled_leaves_nothing_open(self) -> None:
        async with Front() as front:
            backend = ElasticsearchBackend(elasticsearch_config(front.url))
            for turns in range(25):
                task = asyncio.create_task(backend.connect())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                client = (await asyncio.gather(task, return_exceptions=True))[0]
                if not isinstance(client, BaseException):
                    await backend.close(client)
            del client, task
            gc.collect()
