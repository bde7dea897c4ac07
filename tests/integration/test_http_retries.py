"""What is made again, how soon, and that an outage is never multiplied."""

from __future__ import annotations

import asyncio
import email.utils
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from poolapp import BackendUnavailable, PoolError
from poolapp.backends.http.repeating import retry_after
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.http_server import HTTP, Api, Rude, answers
from tests.real import config_of, eventually, pool_of


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


@pytest.fixture
async def pool(api: Api) -> AsyncIterator[Any]:
    async with pool_of(config_of(HTTP, api.url)) as pool:
        yield pool


def cut_first(api: Api, count: int) -> None:
    """The first so many requests are cut without an answer."""
    left = [count]

    async def handler(request: web.Request) -> web.StreamResponse:
        if left[0]:
            left[0] -= 1
            assert request.transport is not None
            request.transport.abort()
            await asyncio.Event().wait()
        return web.Response(text="at last")

    api.handlers["/flaky"] = handler


class TestAfterALostConnection:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    async def test_what_is_idempotent_is_made_again(self, pool: Any, api: Api, method: str) -> None:
        cut_first(api, 2)
        assert (await pool.request(method, "flaky")).status == 200
        assert len(api.requests) == 3

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    async def test_what_is_not_idempotent_is_made_once(
        self, pool: Any, api: Api, method: str
    ) -> None:
        cut_first(api, 1)
        with pytest.raises(BackendUnavailable, match="may or may not have taken effect"):
            await pool.request(method, "flaky")
        assert len(api.requests) == 1

    @pytest.mark.parametrize(
        "named", [{"retry": True}, {"headers": {"idempotency-key": "1"}}], ids=str
    )
    async def test_a_post_is_made_again_on_its_callers_word(
        self, pool: Any, api: Api, named: Any
    ) -> None:
        cut_first(api, 1)
        assert (await pool.post("flaky", json={"a": 1}, **named)).status == 200
        assert len(api.requests) == 2

    async def test_nothing_is_made_again_on_its_callers_word(self, pool: Any, api: Api) -> None:
        cut_first(api, 1)
        with pytest.raises(BackendUnavailable) as info:
            await pool.get("flaky", retry=False)
        assert "tried" not in str(info.value)
        assert "taken effect" not in str(info.value)
        assert len(api.requests) == 1

    async def test_the_driver_makes_nothing_again_by_itself(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, options={"retries": 0})) as pool:
            cut_first(api, 1)
            with pytest.raises(BackendUnavailable):
                await pool.get("flaky")
            assert len(api.requests) == 1

    async def test_it_is_tried_so_often_and_no_more(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, options={"retries": 4})) as pool:
            cut_first(api, 100)
            with pytest.raises(BackendUnavailable, match="tried 5 times"):
                await pool.get("flaky")
            assert len(api.requests) == 5

    async def test_a_body_that_can_be_read_once_is_sent_once(self, pool: Any, api: Api) -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"data"

        for body in (io.BytesIO(b"data"), parts(), {"file": io.BytesIO(b"data")}):
            cut_first(api, 1)
            api.requests.clear()
            with pytest.raises(BackendUnavailable):
                await pool.put("flaky", data=body)
            assert len(api.requests) == 1

    @pytest.mark.parametrize("body", [b"data", "data", {"a": "1"}, [("a", "1"), ("a", 2)]])
    async def test_a_body_that_stays_whole_is_sent_again(
        self, pool: Any, api: Api, body: Any
    ) -> None:
        bodies = []

        async def handler(request: web.Request) -> web.StreamResponse:
            bodies.append(await request.read())
            return web.Response(status=503 if len(bodies) == 1 else 200)

        api.handlers["/body"] = handler
        assert (await pool.put("body", data=body)).status == 200
        assert bodies[0] == bodies[1] != b""

    async def test_a_connection_that_is_closed_while_it_idles_costs_nobody_an_error(self) -> None:
        """The server hangs up in the moment in which the next request is under way to it."""
        async with Rude(answered=1) as rude, pool_of(config_of(HTTP, rude.url)) as pool:
            for _ in range(5):
                assert await (await pool.get("")).text() == "ok"
            assert rude.connections == 5

    async def test_a_break_in_the_middle_of_an_answer(self, pool: Any, api: Api) -> None:
        tries = []

        async def half(request: web.Request) -> web.StreamResponse:
            tries.append(request)
            response = web.StreamResponse()
            response.content_length = 4
            await response.prepare(request)
            await response.write(b"fu")
            if len(tries) == 1:
                assert request.transport is not None
                request.transport.abort()
            await response.write(b"ll")
            return response

        api.handlers["/half"] = half
        assert await (await pool.get("half")).text() == "full"
        assert len(tries) == 2

    async def test_no_lease_is_held_between_two_tries(self, pool: Any, api: Api) -> None:
        api.handlers["/busy"] = answers(503, 200, headers={"Retry-After": "60"})
        asking = asyncio.create_task(pool.get("busy", timeout=100))

        async def refused() -> bool:
            return len(api.requests) == 1 and pool.in_use == 0

        await eventually(refused)
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert pool.in_use == 0

    async def test_a_certificate_that_is_not_trusted_is_not_tried_again(
        self, pool: Any, tmp_path: Path
    ) -> None:
        async with Api(tls=Authority(tmp_path).server_context()) as untrusted:
            with pytest.raises(BackendUnavailable, match="certificate verify failed") as info:
                await pool.get(f"{untrusted.url}/")
            assert "tried" not in str(info.value)


class TestAfterAStatus:
    @pytest.mark.parametrize("status", [429, 502, 503, 504])
    async def test_later_is_taken_at_its_word(self, pool: Any, api: Api, status: int) -> None:
        api.handlers["/busy"] = answers(status, status, 200)
        assert (await pool.get("busy")).status == 200
        assert len(api.requests) == 3

    @pytest.mark.parametrize("status", [400, 404, 500, 501])
    async def test_other_statuses_are_answers(self, pool: Any, api: Api, status: int) -> None:
        api.handlers["/busy"] = answers(status)
        assert (await pool.get("busy")).status == status
        assert len(api.requests) == 1

    async def test_the_last_one_is_what_the_caller_gets(self, pool: Any, api: Api) -> None:
        api.handlers["/busy"] = answers(502, 503, 504)
        response = await pool.get("busy")
        assert (response.status, await response.json()) == (504, {"status": 504})

    async def test_it_raises_only_after_the_last_try(self, api: Api) -> None:
        options = {"raise_for_status": True}
        async with pool_of(config_of(HTTP, api.url, options=options)) as pool:
            api.handlers["/busy"] = answers(503, 200)
            assert (await pool.get("busy")).status == 200
            api.handlers["/busy"] = answers(503)
            with pytest.raises(aiohttp.ClientResponseError, match="503"):
                await pool.get("busy")

    async def test_a_post_is_made_once(self, pool: Any, api: Api) -> None:
        api.handlers["/busy"] = answers(503, 200)
        assert (await pool.post("busy")).status == 503
        assert (await pool.post("busy", retry=True)).status == 200


class TestRetryAfter:
    async def test_the_next_try_comes_no_sooner(self, pool: Any, api: Api) -> None:
        api.handlers["/busy"] = answers(429, 200, headers={"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert (await pool.get("busy")).status == 200
        assert loop.time() - started >= 1

    async def test_a_wait_beyond_the_timeout_is_not_begun(self, pool: Any, api: Api) -> None:
        api.handlers["/busy"] = answers(503, headers={"Retry-After": "3600"})
        assert (await pool.get("busy")).status == 503
        assert (await pool.get("busy", timeout=aiohttp.ClientTimeout())).status == 503
        assert len(api.requests) == 2

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("", 0),
            ("soon", 0),
            ("-5", 0),
            ("1.5", 0),
            ("\u0661\u0662", 0),
            ("Wed, 21 Oct 2015 07:28:00 GMT", 60),
            ("Wed, 21 Oct 2015 07:28:00 -0000", 60),
            ("Wed, 21 Oct 2015 09:28:00 +0200", 60),
            ("Wed, 21 Oct 2015 07:26:00 GMT", 0),
        ],
    )
    def test_it_is_a_number_of_seconds_or_a_date(self, value: str, seconds: float) -> None:
        now = 1445412420.0  # 2015-10-21 07:27:00 UTC
        assert retry_after(value, now) == seconds

    async def test_a_date_from_the_server(self, pool: Any, api: Api) -> None:
        date = email.utils.formatdate(time.time() + 3600, usegmt=True)
        api.handlers["/busy"] = answers(503, 200, headers={"Retry-After": date})
        assert (await pool.get("busy")).status == 503


class TestOutage:
    async def test_a_thousand_requests_are_followed_by_a_tenth_of_repeats(self) -> None:
        """The server accepts everything and answers nothing; it counts what reaches it."""
        async with Rude(answered=0) as rude:
            config = config_of(HTTP, rude.url, max_size=10, acquire_timeout=60)
            async with pool_of(config) as pool:

                async def ask() -> None:
                    for _ in range(100):
                        with pytest.raises(PoolError):
                            await pool.get("")

                await asyncio.gather(*(ask() for _ in range(10)))
            assert 1000 < rude.requests <= 1110

    async def test_so_are_answers_that_say_later(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, acquire_timeout=60)) as pool:
            api.handlers["/busy"] = answers(503)
            for _ in range(10):
                await asyncio.gather(*(pool.get("busy") for _ in range(10)))
            assert 100 < len(api.requests) <= 120

    async def test_the_budget_fills_again(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, acquire_timeout=60)) as pool:
            api.handlers["/busy"] = answers(503)
            await asyncio.gather(*(pool.get("busy") for _ in range(40)))
            api.requests.clear()
            await pool.get("busy")
            assert len(api.requests) == 1
            await asyncio.gather(*(pool.get("") for _ in range(20)))
            api.handlers["/busy"] = answers(503, 200)
            assert (await pool.get("busy")).status == 200

    async def test_what_could_not_be_sent_may_always_be_made_again(
        self, pool: Any, api: Api
    ) -> None:
        """Also a POST: nobody can have seen it."""
        nobody = f"http://127.0.0.1:{free_port()}/"
        with pytest.raises(BackendUnavailable, match=r"POST failed \(tried 3 times\)") as info:
            await pool.post(nobody, json={})
        assert "taken effect" not in str(info.value)

    async def test_the_outage_of_another_host_is_no_concern_of_this_one(
        self, pool: Any, api: Api
    ) -> None:
        await pool.get("")
        for _ in range(3):
            with pytest.raises(BackendUnavailable):
                await pool.get(f"http://127.0.0.1:{free_port()}/", retry=False)
            await pool.get("")
        assert len(api.accepted) == 1
        assert pool.stats().queued == 1, "only the first had to wait, for the connect"

    async def test_every_request_is_refused_as_unavailable_never_as_missing(self) -> None:
        """Scenario 41: get, exists (HEAD) and delete on a server that is not there."""
        url = f"http://127.0.0.1:{free_port()}"
        async with pool_of(config_of(HTTP, url)) as pool:
            for method in ("GET", "HEAD", "DELETE", "POST"):
                with pytest.raises(BackendUnavailable, match="Cannot connect"):
                    await pool.request(method, "thing/1")
            assert pool.in_use == 0
