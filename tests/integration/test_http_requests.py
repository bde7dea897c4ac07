"""One request through the pool: what may be given, what comes back, what it leaves."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from poolapp import BackendUnavailable, PoolTimeout
from poolapp.backends.http import TooLarge
from tests.http_server import HTTP, Api, answers
from tests.real import config_of, pool_of


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


@pytest.fixture
async def pool(api: Api) -> AsyncIterator[Any]:
    async with pool_of(config_of(HTTP, api.url, max_size=2)) as pool:
        yield pool


class TestAnswers:
    async def test_the_body_can_be_read_after_the_call(self, pool: Any) -> None:
        """Scenario 44."""
        response = await pool.request("POST", "things", json={"a": 1})
        assert pool.in_use == 0
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("application/json")
        assert (await response.json())["body"] == '{"a": 1}'
        assert "things" in await response.text()
        assert (await response.read()).startswith(b"{")

    async def test_also_when_the_pool_is_gone(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url)) as pool:
            response = await pool.get("x")
        assert (await response.json())["path"] == "/x"

    @pytest.mark.parametrize("method", ["get", "head", "post", "put", "patch", "delete"])
    async def test_each_method_has_a_short_form(self, pool: Any, api: Api, method: str) -> None:
        response = await getattr(pool, method)("x", params={"q": "ä"})
        assert response.status == 200
        assert [(each.method, each.query["q"]) for each in api.requests] == [(method.upper(), "ä")]

    async def test_an_error_status_is_an_answer(self, pool: Any, api: Api) -> None:
        api.handlers["/missing"] = answers(404)
        response = await pool.get("missing")
        assert (response.status, await response.json()) == (404, {"status": 404})
        assert pool.stats().lost == 0

    async def test_an_error_status_raises_when_that_is_wanted(self, pool: Any, api: Api) -> None:
        api.handlers["/missing"] = answers(404)
        with pytest.raises(aiohttp.ClientResponseError, match="404"):
            await pool.get("missing", raise_for_status=True)
        assert pool.in_use == 0

    async def test_an_option_has_all_error_statuses_raise(self, api: Api) -> None:
        seen = []

        async def look(response: aiohttp.ClientResponse) -> None:
            seen.append(await response.json())

        api.handlers["/missing"] = answers(404)
        for wanted in (True, look):
            options = {"raise_for_status": wanted}
            async with pool_of(config_of(HTTP, api.url, options=options)) as pool:
                assert (await pool.get("missing", raise_for_status=False)).status == 404
                if wanted is True:
                    with pytest.raises(aiohttp.ClientResponseError):
                        await pool.get("missing")
                else:
                    await pool.get("missing")
        assert seen == [{"status": 404}]

    async def test_redirects_are_followed_on_one_lease(self, pool: Any, api: Api) -> None:
        async def away(request: web.Request) -> web.StreamResponse:
            raise web.HTTPFound("/there")

        api.handlers["/away"] = away
        response = await pool.get("away")
        assert (response.url.path, len(response.history)) == ("/there", 1)
        assert (await pool.get("away", allow_redirects=False)).status == 302
        assert pool.stats().acquired == 2

    @pytest.mark.parametrize("kept", [False, True], ids=["by default", "with a jar"])
    async def test_one_user_never_gets_the_cookies_of_another(self, api: Api, kept: bool) -> None:
        class Resolver(aiohttp.ThreadedResolver):
            async def resolve(self, host: str, *details: Any, **named: Any) -> Any:
                return await super().resolve("127.0.0.1", *details, **named)

        async def sign_in(request: web.Request) -> web.StreamResponse:
            response = web.Response()
            response.set_cookie("session", "of-somebody")
            return response

        api.handlers["/login"] = sign_in
        # A jar would not keep the cookies of an address without a name.
        url = api.url.replace("127.0.0.1", "api.example.com")
        options: Any = {"resolver": Resolver}
        options |= {"cookie_jar": aiohttp.CookieJar} if kept else {}
        async with pool_of(config_of(HTTP, url, options=options)) as pool:
            assert (await pool.get("login")).cookies["session"].value == "of-somebody"
            await pool.get("next")
            async with pool.acquire() as session, session.get("borrowed"):
                pass
        assert ["Cookie" in request.headers for request in api.requests] == [False, kept, kept]

    async def test_the_site_of_the_lease_is_the_callers_line(self, pool: Any, api: Api) -> None:
        await pool.get("")
        api.gate.clear()
        asking = [asyncio.create_task(pool.get("")), asyncio.create_task(pool.request("GET", ""))]
        await api.until_inside(2)
        sites = {lease.site.rpartition("/")[2].split(":")[0] for lease in pool.leases()}
        assert sites == {"test_http_requests.py"}
        api.gate.set()
        await asyncio.gather(*asking)

    async def test_a_wrong_argument_is_a_type_error(self, pool: Any) -> None:
        with pytest.raises(TypeError, match="paramz"):
            await pool.get("", paramz={})
        assert pool.in_use == 0

    async def test_a_bad_url_is_the_callers_fault(self, pool: Any) -> None:
        with pytest.raises(aiohttp.InvalidURL):
            await pool.get("http://[no-address/")
        with pytest.raises(aiohttp.ClientError):
            await pool.get("ftp://example.com")
        assert (pool.in_use, pool.stats().lost) == (0, 0)

    async def test_a_session_may_be_held_for_several_requests(self, pool: Any) -> None:
        async with pool.session() as session:
            assert pool.in_use == 1
            for _ in range(3):
                async with session.get("") as response:
                    assert response.status == 200


class TestLargeBodies:
    @pytest.fixture
    async def pool(self, api: Api) -> AsyncIterator[Any]:
        config = config_of(HTTP, api.url, max_size=1, options={"max_body": 1000})
        async with pool_of(config) as pool:
            yield pool

    def serve(self, api: Api, body: bytes, kind: str) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            if kind == "known length":
                return web.Response(body=body)
            response = web.StreamResponse()
            packed = body
            if kind == "compressed":
                response.headers["Content-Encoding"] = "gzip"
                packed = gzip.compress(body)
                response.content_length = len(packed)
            await response.prepare(request)
            for start in range(0, len(packed), 400):
                await response.write(packed[start : start + 400])
            return response

        api.handlers["/body"] = handler

    @pytest.mark.parametrize("kind", ["known length", "chunked", "compressed"])
    async def test_one_that_is_too_large_is_not_read(self, pool: Any, api: Api, kind: str) -> None:
        self.serve(api, b"x" * 1001, kind)
        with pytest.raises(TooLarge, match="more than 1000 bytes"):
            await pool.get("body")
        assert pool.in_use == 0
        assert pool.stats().sockets.in_use == 0
        assert len(await (await pool.get("body", max_body=1001)).read()) == 1001

    @pytest.mark.parametrize("kind", ["known length", "chunked", "compressed"])
    async def test_one_that_just_fits_is_read(self, pool: Any, api: Api, kind: str) -> None:
        self.serve(api, b"x" * 1000, kind)
        for _ in range(3):
            response = await pool.get("body")
            assert await response.read() == b"x" * 1000
            assert await response.text() == "x" * 1000
        assert len(api.accepted) == 1

    async def test_what_only_tells_its_length_is_no_body(self, pool: Any, api: Api) -> None:
        self.serve(api, b"x" * 5000, "known length")
        response = await pool.head("body")
        assert response.headers["Content-Length"] == "5000"
        assert await response.read() == b""

    async def test_one_that_can_not_be_unpacked_is_the_drivers_error(
        self, pool: Any, api: Api
    ) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
            await response.prepare(request)
            await response.write(b"this is not gzip at all")
            return response

        api.handlers["/body"] = handler
        with pytest.raises(aiohttp.ClientError):
            await pool.get("body")
        assert len(api.requests) == 1
        assert pool.in_use == 0

    async def test_stream_reads_it_piece_by_piece(self, pool: Any, api: Api) -> None:
        self.serve(api, os.urandom(300_000), "chunked")
        size = 0
        async with pool.stream("GET", "body") as response:
            assert pool.in_use == 1
            async for chunk in response.content.iter_chunked(4096):
                size += len(chunk)
        assert size == 300_000
        assert pool.in_use == 0
        assert pool.stats().sockets.in_use == 0

    async def test_a_stream_that_is_left_early_leaves_nothing(self, pool: Any, api: Api) -> None:
        self.serve(api, os.urandom(3_000_000), "chunked")
        with pytest.raises(LookupError):
            async with pool.stream("GET", "body") as response:
                await response.content.read(10)
                raise LookupError
        assert pool.in_use == 0
        sockets = pool.stats().sockets
        assert (sockets.open, sockets.in_use) == (0, 0)
        assert (await pool.get("")).status == 200


class TestBodiesThatAreSent:
    async def test_a_stream_of_bytes(self, pool: Any) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one "
            yield b"two"

        response = await pool.post("", data=parts())
        assert (await response.json())["body"] == "one two"

    async def test_a_file(self, pool: Any) -> None:
        response = await pool.put("", data=io.BytesIO(b"content"))
        assert (await response.json())["body"] == "content"

    async def test_a_form(self, pool: Any) -> None:
        response = await pool.post("", data={"a": "1", "b": "ä"})
        assert (await response.json())["body"] == "a=1&b=%C3%A4"


class TestTimeouts:
    async def test_an_answer_that_takes_too_long_is_an_outage(self, pool: Any, api: Api) -> None:
        await pool.get("")
        api.gate.clear()
        with pytest.raises(BackendUnavailable, match=r"GET failed: no whole answer within 0\.05 s"):
            await pool.get("", timeout=0.05)
        api.gate.set()
        assert pool.in_use == 0

    async def test_the_option_bounds_all_requests(self, api: Api) -> None:
        config = config_of(HTTP, api.url, options={"timeout": 0.05})
        async with pool_of(config) as pool:
            api.gate.clear()
            with pytest.raises(BackendUnavailable, match=r"within 0\.05 s") as info:
                await pool.post("")
            assert "may or may not have taken effect" in str(info.value)
            assert isinstance(info.value.__cause__, TimeoutError)
            api.gate.set()

    async def test_a_timeout_of_the_drivers_kind(self, pool: Any, api: Api) -> None:
        api.gate.clear()
        bounds = aiohttp.ClientTimeout(sock_read=0.05)
        with pytest.raises(BackendUnavailable, match=r"nothing came for 0\.05 s"):
            await pool.post("", timeout=bounds)
        api.gate.set()

    async def test_a_slow_answer_does_not_have_the_others_wait(self, api: Api) -> None:
        """As long as the server answers, one slow page is that page's trouble."""
        async with pool_of(config_of(HTTP, api.url, max_size=3)) as pool:
            await pool.get("")

            async def slow(request: web.Request) -> web.StreamResponse:
                await asyncio.Event().wait()
                raise AssertionError

            api.handlers["/slow"] = slow
            for _ in range(3):
                with pytest.raises(BackendUnavailable):
                    await pool.get("slow", timeout=0.02)
                await pool.get("")
            assert pool.stats().queued == 1, "only the first had to wait, for the connect"

    async def test_the_wait_for_a_lease_is_bounded_by_the_pool(self, api: Api) -> None:
        config = config_of(HTTP, api.url, max_size=1, acquire_timeout=0.05)
        async with pool_of(config) as pool:
            api.gate.clear()
            asking = asyncio.create_task(pool.get(""))
            await api.until_inside(1)
            with pytest.raises(PoolTimeout):
                await pool.get("")
            api.gate.set()
            await asking

    async def test_a_stream_may_take_longer_than_a_request(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, options={"timeout": 0.5})) as pool:
            go_on = asyncio.Event()

            async def slowly(request: web.Request) -> web.StreamResponse:
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(4):
                    await response.write(b"x")
                    await asyncio.sleep(0.2)
                await go_on.wait()
                return response

            api.handlers["/slowly"] = slowly
            async with pool.stream("GET", "slowly") as response:
                assert await response.content.readexactly(4) == b"x" * 4
                with pytest.raises(aiohttp.SocketTimeoutError):
                    await response.content.read(1)
            go_on.set()

    async def test_a_stream_that_does_not_begin_is_an_outage(self, pool: Any, api: Api) -> None:
        api.gate.clear()
        with pytest.raises(BackendUnavailable, match=r"nothing came for 0\.05 s"):
            async with pool.stream("GET", "", timeout=0.05):
                pass
        api.gate.set()
        assert pool.in_use == 0

    async def test_a_stream_with_a_timeout_of_the_drivers_kind(self, pool: Any, api: Api) -> None:
        async with pool.stream("GET", "", timeout=aiohttp.ClientTimeout(total=60)) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.InvalidURL):
            async with pool.stream("GET", "http://[no-address/"):
                pass
        assert pool.in_use == 0

    async def test_a_connect_that_takes_too_long_is_an_outage(self, pool: Any, api: Api) -> None:
        """The message names no URL, in whose query a secret may stand."""

        async def never(*details: Any, **named: Any) -> Any:
            await asyncio.Event().wait()

        async with pool.acquire() as session:
            session.connector._resolver.resolve = never
        bounds = aiohttp.ClientTimeout(connect=0.05)
        with pytest.raises(BackendUnavailable, match=r"no connection within 0\.05 s") as info:
            await pool.get("http://nobody.example.com/?key=s3cret-word", timeout=bounds)
        assert "s3cret-word" not in str(info.value)

    async def test_a_cancelled_request_gives_back_its_lease_and_socket(
        self, pool: Any, api: Api
    ) -> None:
        await pool.get("")
        for turns in range(12):
            api.gate.clear()
            asking = asyncio.create_task(pool.get(""))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert pool.in_use == 0
            assert pool.stats().sockets.in_use == 0
            api.gate.set()
        assert (await pool.get("")).status == 200


async def test_nothing_is_left_unclosed(api: Api) -> None:
    """Scenario 44: responses that nobody looks at, and sessions, are closed at the end."""
    async with pool_of(config_of(HTTP, api.url)) as pool:
        for _ in range(3):
            await pool.get("")
            await pool.head("")
    gc.collect()  # an unclosed session or response warns here, which fails the test
    await api.until_nobody_is_connected()


async def test_an_answer_that_breaks_off_is_an_outage_for_what_is_not_repeated(api: Api) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        await response.write(b"x" * 50)
        assert request.transport is not None
        request.transport.abort()
        return response

    api.handlers["/half"] = half
    async with pool_of(config_of(HTTP, api.url)) as pool:
        with pytest.raises(BackendUnavailable, match="may or may not") as info:
            await pool.post("half")
        assert isinstance(info.value.__cause__, aiohttp.ClientError)
        with pytest.raises(aiohttp.ClientError):
            async with pool.stream("GET", "half") as response:
                await response.read()
        assert pool.in_use == 0
