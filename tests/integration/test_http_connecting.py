"""How an HTTP session is made: base URL, signing in, TLS, sockets, checks."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from poolapp import BackendUnavailable, PoolTimeout, pools
from poolapp.backends.http import HttpBackend
from poolapp.core.config import Breaker
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.http_server import HTTP, Api, answers
from tests.real import Proxy, config_of, heard, pool_of


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


class TestBaseUrl:
    @pytest.mark.parametrize("location", ["/v2", "/v2/"])
    async def test_a_relative_url_continues_the_path_of_the_location(
        self, api: Api, location: str
    ) -> None:
        async with pool_of(config_of(HTTP, api.url + location)) as pool:
            for url, path in {"users?a=1": "/v2/users?a=1", "/users": "/users", "": "/v2/"}.items():
                assert (await (await pool.get(url)).json())["path"] == path

    async def test_the_lent_session_has_it_too(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url + "/v2")) as pool, pool.acquire() as session:
            assert isinstance(session, aiohttp.ClientSession)
            async with session.get("users") as response:
                assert (await response.json())["path"] == "/v2/users"

    async def test_a_whole_url_goes_where_it_says(self, api: Api) -> None:
        async with Api() as other, pool_of(config_of(HTTP, api.url)) as pool:
            await pool.get(f"{other.url}/there")
            assert [request.path for request in other.requests] == ["/there"]
            assert api.requests == []


def signed_in_as(api: Api) -> list[str | None]:
    return [request.headers.get("Authorization") for request in api.requests]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TestSigningIn:
    @pytest.mark.parametrize(
        ("user_in_url", "options"),
        [
            ("us%40er:p%40ss%2Fw%23rd%3A1%252@", {}),
            ("", {"auth": ("us@er", "p@ss/w#rd:1%2")}),
            ("", {"headers": {"Authorization": basic("us@er", "p@ss/w#rd:1%2")}}),
        ],
    )
    async def test_by_the_location_or_an_option(
        self, api: Api, user_in_url: str, options: Any
    ) -> None:
        url = api.url.replace("//", f"//{user_in_url}")
        async with pool_of(config_of(HTTP, url, options=options)) as pool:
            await pool.get("relative")
            await pool.get(f"{api.url}/whole")
            async with pool.acquire() as session, session.get("borrowed"):
                pass
        assert signed_in_as(api) == [basic("us@er", "p@ss/w#rd:1%2")] * 3

    async def test_nobody_else_is_told_the_password(self, api: Api) -> None:
        url = api.url.replace("//", "//user:password@")
        async with Api() as other, pool_of(config_of(HTTP, url)) as pool:

            async def away(request: web.Request) -> web.StreamResponse:
                raise web.HTTPFound(f"{other.url}/redirected")

            api.handlers["/away"] = away
            assert (await pool.get(f"{other.url}/asked")).status == 200
            assert (await pool.get("away")).status == 200
            assert signed_in_as(other) == [None, None]

    async def test_a_request_may_bring_its_own(self, api: Api) -> None:
        url = api.url.replace("//", "//user:password@")
        async with pool_of(config_of(HTTP, url)) as pool:
            await pool.get("", headers={"Authorization": "Bearer token"})
        assert signed_in_as(api) == ["Bearer token"]


@contextlib.asynccontextmanager
async def behind(context: ssl.SSLContext, options: Any, **settings: Any) -> AsyncIterator[Any]:
    """The pool of a server that speaks TLS by this context."""
    async with (
        Api(tls=context) as api,
        pool_of(config_of(HTTP, api.url, options=options, **settings)) as pool,
    ):
        yield pool


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    async def test_with_an_authority_of_ones_own(self, authority: Authority) -> None:
        async with behind(authority.server_context(), {"ca_file": authority.file}) as pool:
            assert (await pool.get("")).status == 200

    async def test_verification_is_on_by_default_and_told_at_once(
        self, authority: Authority
    ) -> None:
        async with behind(authority.server_context(), {}, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                await pool.get("")
            assert pool.stats().connect_failed == 1

    async def test_another_authority_is_not_trusted(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        options = {"ca_file": str(Authority(tmp_path, "other").file)}
        async with behind(authority.server_context(), options, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                await pool.get("")

    async def test_a_certificate_of_another_host_is_not_trusted(self, authority: Authority) -> None:
        options = {"ca_file": str(authority.file)}
        context = authority.server_context("other", "example.com")
        async with behind(context, options, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="IP address mismatch"):
                await pool.get("")

    async def test_verification_may_be_turned_off(self, authority: Authority) -> None:
        async with behind(authority.server_context(), {"ssl": False}) as pool:
            assert (await pool.get("")).status == 200

    async def test_with_a_context_of_ones_own(self, authority: Authority) -> None:
        options = {"ssl": ssl.create_default_context(cafile=str(authority.file))}
        async with behind(authority.server_context(), options) as pool:
            assert (await pool.get("")).status == 200

    async def test_a_pinned_certificate(self, authority: Authority) -> None:
        for name, fits in (("server", True), ("other", False)):
            context = authority.server_context()
            pinned = bytes.fromhex(authority.sign(name)[2])
            if fits:
                file, key, fingerprint = authority.sign("pinned")
                context.load_cert_chain(file, key)
                pinned = bytes.fromhex(fingerprint)
            options = {"ssl": aiohttp.Fingerprint(pinned)}
            async with behind(context, options, acquire_timeout=60) as pool:
                if fits:
                    assert (await pool.get("")).status == 200
                else:
                    with pytest.raises(BackendUnavailable, match="FingerprintMismatch"):
                        await pool.get("")

    async def test_plain_http_where_tls_is_spoken_is_told_at_once(self) -> None:
        async with Api() as api:
            url = api.url.replace("http:", "https:")
            async with pool_of(config_of(HTTP, url, acquire_timeout=60)) as pool:
                with pytest.raises(BackendUnavailable, match="SSL"):
                    await pool.get("")
                assert pool.stats().connect_failed == 1

    async def test_a_client_certificate_that_is_demanded(self, authority: Authority) -> None:
        context = authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
        file, key, _ = authority.sign("client")
        bare = {"ca_file": str(authority.file)}
        shown = {**bare, "cert_file": str(file), "key_file": str(key)}
        async with behind(context, shown) as pool:
            assert (await pool.get("")).status == 200
        async with behind(context, bare) as pool:
            with pytest.raises(BackendUnavailable):
                await pool.post("")

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
            ({"cert_file": "/nowhere/client.pem"}, "cert_file"),
            ({"cert_file": "/nowhere/client.pem", "key_file": "/nowhere/key.pem"}, "key_file"),
        ],
    )
    async def test_a_file_that_is_not_there_is_named_at_once(self, options: Any, told: str) -> None:
        config = config_of(HTTP, "https://127.0.0.1:1", options=options, acquire_timeout=60)
        async with pool_of(config) as pool:
            with pytest.raises(BackendUnavailable, match=told):
                await pool.get("")


class TestSockets:
    async def test_many_tasks_open_no_more_than_max_size(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=6, acquire_timeout=60)) as pool:

            async def five() -> None:
                for _ in range(5):
                    assert (await pool.get("row")).status == 200

            await asyncio.gather(*(five() for _ in range(200)))
            assert len(api.requests) == 1000
            assert len(api.accepted) <= 6
            assert api.most_open <= 6
            assert pool.stats().acquired == 1000

    async def test_holders_of_a_lease_do_not_queue_in_the_driver(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=150)) as pool:
            api.gate.clear()
            asking = [asyncio.create_task(pool.get("")) for _ in range(150)]
            await api.until_inside(150)
            assert pool.stats().sockets.in_use == 150
            api.gate.set()
            await asyncio.gather(*asking)

    async def test_the_statistics_tell_how_many_there_are(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=4)) as pool:
            assert pool.stats().sockets is None
            api.gate.clear()
            asking = [asyncio.create_task(pool.get("")) for _ in range(3)]
            await api.until_inside(3)
            sockets = pool.stats().sockets
            assert (sockets.open, sockets.in_use) == (3, 3)
            api.gate.set()
            await asyncio.gather(*asking)
            sockets = pool.stats().sockets
            assert (sockets.open, sockets.in_use) == (3, 0)

    async def test_a_limit_for_each_host(self, api: Api) -> None:
        config = config_of(HTTP, api.url, max_size=9, options={"limit_per_host": 2})
        async with pool_of(config) as pool:
            await asyncio.gather(*(pool.get("") for _ in range(30)))
            assert len(api.accepted) == 2

    async def test_a_resize_makes_a_session_with_as_many_sockets(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=2)) as pool:
            await pool.get("")
            pools.resize(pool.alias, max_size=7)
            async with pool.acquire() as session:
                assert session.connector.limit == 7

    async def test_the_options_of_connector_and_session_reach_them(self, api: Api) -> None:
        traced = []
        tracing = aiohttp.TraceConfig()

        async def started(*details: Any) -> None:
            traced.append(details)

        tracing.on_request_start.append(started)
        options = {
            "keepalive_timeout": 3.5,
            "use_dns_cache": False,
            "headers": {"X-Ours": "yes"},
            "cookie_jar": aiohttp.CookieJar,
            "trace_configs": [tracing],
            "timeout": 7,
        }
        async with pool_of(config_of(HTTP, api.url, options=options)) as pool:
            async with pool.acquire() as session:
                assert session.connector._keepalive_timeout == 3.5
                assert session.connector.use_dns_cache is False
                assert isinstance(session.cookie_jar, aiohttp.CookieJar)
                assert (session.timeout.total, session.timeout.connect) == (7, 10)
            assert traced == [], "opening a connection is no request"
            await pool.get("")
            assert api.requests[0].headers["X-Ours"] == "yes"
            assert len(traced) == 1

    async def test_a_resolver_is_made_for_each_loop(self) -> None:
        made = []

        class Resolver(aiohttp.ThreadedResolver):
            async def resolve(self, host: str, *details: Any, **named: Any) -> Any:
                made.append(host)
                return await super().resolve("127.0.0.1", *details, **named)

        async with Api() as api:
            url = api.url.replace("127.0.0.1", "api.example.com")
            async with pool_of(config_of(HTTP, url, options={"resolver": Resolver})) as pool:
                assert (await pool.get("")).status == 200
        assert made == ["api.example.com"]


class TestReaching:
    """What connect and check do: a session by itself is connected to nothing."""

    async def test_the_first_acquire_opens_a_connection_and_sends_nothing(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url)) as pool:
            async with pool.acquire():
                sockets = pool.stats().sockets
                assert (sockets.open, sockets.in_use) == (1, 0)
                assert api.requests == []
            await pool.get("")
            assert len(api.connections()) == 1

    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        config = config_of(HTTP, url, acquire_timeout=2.0, breaker=None)
        async with pool_of(config) as pool:
            with heard(pool.alias) as events, pytest.raises(PoolTimeout, match="Cannot connect"):
                await pool.get("")
            assert len(events.connect_errors) > 1

    async def test_a_check_opens_a_connection_only_when_none_is_open(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, check_after=0.0)) as pool:
            for _ in range(3):
                await pool.get("")
                assert await pool.ping() >= 0
            assert len(api.accepted) == 1
            api.close_idle()
            await api.until_nobody_is_connected()
            await pool.ping()
            assert len(api.connections()) == 1

    async def test_a_check_does_not_wait_for_connections_that_are_all_in_use(
        self, api: Api
    ) -> None:
        config = config_of(
            HTTP, api.url, max_size=5, check_after=0.0, options={"limit_per_host": 1}
        )
        async with pool_of(config) as pool:
            api.gate.clear()
            asking = asyncio.create_task(pool.get(""))
            await api.until_inside(1)
            await pool.ping()
            api.gate.set()
            await asking
            assert pool.stats().lost == 0

    async def test_a_check_path_is_asked(self, api: Api) -> None:
        options = {"check_path": "/health", "raise_for_status": True}
        async with pool_of(config_of(HTTP, api.url, options=options)) as pool:
            await pool.ping()
            api.handlers["/health"] = answers(503)
            with pytest.raises(
                BackendUnavailable, match="GET /health was answered with status 503"
            ):
                await pool.ping()
        assert {(each.method, each.path) for each in api.requests} == {("GET", "/health")}

    @pytest.mark.parametrize(("status", "attempts"), [(401, 1), (404, 1), (503, 2), (429, 2)])
    async def test_a_refusal_that_will_not_change_is_told_at_once(
        self, api: Api, status: int, attempts: int
    ) -> None:
        api.handlers["/health"] = answers(status)
        config = config_of(
            HTTP,
            api.url,
            options={"check_path": "/health"},
            acquire_timeout=60,
            breaker=Breaker(failures=2),
        )
        async with pool_of(config) as pool:
            with pytest.raises(BackendUnavailable, match=str(status)):
                await pool.get("")
            assert pool.stats().connect_failed == attempts

    async def test_a_silent_network_is_given_up_after_the_check_timeout(
        self, tmp_path: Path
    ) -> None:
        """Scenario 22: a network that swallows everything (the TLS handshake, too)."""
        authority = Authority(tmp_path)
        async with (
            Api(tls=authority.server_context()) as api,
            Proxy("127.0.0.1", api.port) as proxy,
        ):
            options = {"ca_file": str(authority.file), "timeout": 0.1}
            settings = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.2}
            url = f"https://127.0.0.1:{proxy.port}"
            async with pool_of(config_of(HTTP, url, options=options, **settings)) as pool:
                await pool.get("", timeout=30)
                proxy.fall_silent()
                with pytest.raises(BackendUnavailable, match=r"no whole answer within 0\.1 s"):
                    await pool.get("")
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(pool.get("", timeout=30))
                    await events.until(lambda: events.lost_count == 1)
                    proxy.speak()
                    assert (await asking).status == 200

    async def test_a_check_path_finds_a_server_that_accepts_and_is_silent(self, api: Api) -> None:
        """Scenario 22: where a connection can be had, and no answer."""
        async with Proxy("127.0.0.1", api.port) as proxy:
            settings = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.2}
            config = config_of(
                HTTP,
                f"http://127.0.0.1:{proxy.port}",
                options={"check_path": "/health"},
                **settings,
            )
            async with pool_of(config) as pool:
                await pool.ping()
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(pool.get(""))
                    await events.until(lambda: events.lost_count == 1)
                    proxy.speak()
                    assert (await asking).status == 200

    async def test_a_connect_that_is_cancelled_leaves_nothing_open(self, api: Api) -> None:
        backend = HttpBackend(config_of(HTTP, api.url))
        for turns in range(30):
            task = asyncio.create_task(backend.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            session = (await asyncio.gather(task, return_exceptions=True))[0]
            if not isinstance(session, BaseException):
                await backend.close(session)
        await api.until_nobody_is_connected()

    async def test_an_option_that_the_driver_refuses_is_told_at_once(self, api: Api) -> None:
        options = {"headers": [("one", "two", "three")]}
        async with pool_of(config_of(HTTP, api.url, options=options, acquire_timeout=60)) as pool:
            with pytest.raises(BackendUnavailable, match="Error"):
                await pool.get("")
            assert pool.stats().connect_failed == 1
