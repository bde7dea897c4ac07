"""An httpx client on the pool's sessions, as libraries that accept one would use it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from poolapp.devservices.ports import free_port
from tests.http_server import HTTP, Api, answers
from tests.real import config_of, pool_of


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


@pytest.fixture
async def pool(api: Api) -> AsyncIterator[Any]:
    async with pool_of(config_of(HTTP, api.url + "/v2", max_size=2)) as pool:
        yield pool


async def test_its_requests_are_leases_of_the_pool(pool: Any, api: Api) -> None:
    async with pool.httpx_client(headers={"X-Theirs": "yes"}) as client:
        response = await client.post("things", json={"a": 1})
    assert response.json()["path"] == "/v2/things"
    assert api.requests[0].headers["X-Theirs"] == "yes"
    assert (pool.stats().acquired, pool.in_use) == (1, 0)


async def test_closing_it_closes_no_session(pool: Any, api: Api) -> None:
    for _ in range(3):
        async with pool.httpx_client() as client:
            assert (await client.get("")).status_code == 200
    assert (await pool.get("")).status == 200
    assert len(api.accepted) == 1


async def test_no_more_sockets_than_max_size(pool: Any, api: Api) -> None:
    async with pool.httpx_client() as client:
        await asyncio.gather(*(client.get("") for _ in range(40)), *(pool.get("") for _ in "1234"))
    assert len(api.requests) == 44
    assert len(api.accepted) <= 2


async def test_it_outlives_the_sessions_of_the_pool(pool: Any, api: Api) -> None:
    async with pool.httpx_client() as client:
        await client.get("")
        api.gate.clear()
        asking = asyncio.create_task(client.get(""))
        await api.until_inside(1)
        pool.drain()
        other = asyncio.create_task(client.get(""))
        await api.until_inside(2)
        api.gate.set()
        assert [(await each).status_code for each in (asking, other)] == [200, 200]
        assert pool.stats().connected == 2
        gc.collect()
        assert (await client.get("")).status_code == 200


async def test_a_lease_lasts_as_long_as_a_streamed_answer(pool: Any, api: Api) -> None:
    async with pool.httpx_client() as client:
        async with client.stream("GET", "") as response:
            assert pool.in_use == 1
            assert b"/v2/" in await response.aread()
        assert pool.in_use == 0
        with pytest.raises(LookupError):
            async with client.stream("GET", ""):
                raise LookupError
        assert pool.in_use == 0


async def test_the_user_of_the_location_signs_in(api: Api) -> None:
    url = api.url.replace("//", "//user:password@")
    async with pool_of(config_of(HTTP, url)) as pool, pool.httpx_client() as client:
        sent = (await client.get("")).json()["headers"]
        assert sent["Authorization"].startswith("Basic ")
        assert "password" not in str(client.base_url)
        own = (await client.get("", headers={"Authorization": "Bearer x"})).json()["headers"]
        assert own["Authorization"] == "Bearer x"


async def test_an_error_status_is_an_answer_whatever_the_option_says(api: Api) -> None:
    api.handlers["/missing"] = answers(404)
    options = {"raise_for_status": True}
    config = config_of(HTTP, api.url, options=options)
    async with pool_of(config) as pool, pool.httpx_client() as client:
        assert (await client.get("missing")).status_code == 404


class TestErrors:
    """They are httpx's own, so that a library's own repeats work."""

    async def test_no_lease_in_time(self, pool: Any, api: Api) -> None:
        async with pool.httpx_client(timeout=httpx.Timeout(5, pool=0.05)) as client:
            api.gate.clear()
            asking = [asyncio.create_task(client.get("")) for _ in range(2)]
            await api.until_inside(2)
            with pytest.raises(httpx.PoolTimeout, match="2 in use"):
                await client.get("")
            api.gate.set()
            await asyncio.gather(*asking)

    async def test_no_server(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with pool_of(config_of(HTTP, url)) as pool, pool.httpx_client() as client:
            with pytest.raises(httpx.ConnectError, match="Cannot connect"):
                await client.get("")

    async def test_a_lost_connection_gives_the_lease_back(self, pool: Any, api: Api) -> None:
        async with pool.httpx_client() as client:
            api.gate.clear()
            asking = [asyncio.create_task(client.post("")) for _ in range(2)]
            await api.until_inside(2)
            api.cut()
            errors = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(error, httpx.TransportError) for error in errors)
            api.gate.set()
            assert pool.in_use == 0

    async def test_an_answer_that_breaks_off(self, pool: Any, api: Api) -> None:
        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            response.content_length = 100
            await response.prepare(request)
            await response.write(b"x")
            assert request.transport is not None
            request.transport.abort()
            return response

        api.handlers["/v2/half"] = half
        async with pool.httpx_client() as client:
            with pytest.raises(httpx.TransportError):
                await client.get("half")
        assert pool.in_use == 0

    async def test_a_cancelled_request_gives_the_lease_back(self, pool: Any, api: Api) -> None:
        async with pool.httpx_client() as client:
            api.gate.clear()
            for turns in range(15):
                asking = asyncio.create_task(client.get(""))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
                assert pool.in_use == 0
            api.gate.set()

    @pytest.mark.parametrize("name", ["limits", "verify", "transport", "http2", "proxy"])
    async def test_an_argument_of_the_transport_is_refused(self, pool: Any, name: str) -> None:
        with pytest.raises(TypeError, match=f"takes no '{name}'.*OPTIONS"):
            pool.httpx_client(**{name: None})
