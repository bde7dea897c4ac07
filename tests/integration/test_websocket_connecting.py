"""WebSocket: how a connection is made, and what is said when it can't be."""

from __future__ import annotations

import asyncio
import base64
import http
import logging
import ssl
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.asyncio.server import ServerConnection

from poolapp import BackendUnavailable, PoolError, pools
from poolapp.core.config import Breaker
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.feed import WEBSOCKET, Feed, echo
from tests.real import config_of, heard, pool_of

PASSWORD = "p@ss/w#rd:1%2"


def with_user(url: str, password: str) -> str:
    return url.replace("//", f"//user:{password}@")


def websocket_pool(url: str, **settings: Any) -> Any:
    return pool_of(config_of(WEBSOCKET, url, **settings))


async def wanting_password(connection: ServerConnection, request: Any) -> Any:
    wanted = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    if request.headers.get("Authorization") != wanted:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no")
    return None


async def test_what_is_lent_is_the_drivers_own_connection() -> None:
    async with (
        Feed(answer=echo) as feed,
        websocket_pool(f"{feed.url}/chat?room=1") as pool,
        pool.acquire() as connection,
    ):
        await connection.send("hello")
        assert await connection.recv() == "hello"
        assert feed.open[0].request is not None
        assert feed.open[0].request.path == "/chat?room=1"


async def test_many_first_acquires_open_no_more_than_needed() -> None:
    """Scenario 16: 50 at once share MAX_SIZE connections."""
    async with Feed(answer=echo) as feed, websocket_pool(feed.url, max_size=4) as pool:

        async def ask(number: int) -> None:
            async with pool.acquire() as connection:
                await connection.send(str(number))
                assert await connection.recv() == str(number)

        await asyncio.gather(*map(ask, range(50)))
        assert feed.accepted <= 4
        assert pool.stats().connected == feed.accepted


async def test_init_is_called_with_each_new_connection() -> None:
    async def init(connection: Any) -> None:
        await connection.send("let me in")
        assert await connection.recv() == "let me in"

    async with (
        Feed(answer=echo) as feed,
        websocket_pool(feed.url, options={"init": init}) as pool,
    ):
        for _ in range(3):
            await pool.ping()
        assert feed.heard == ["let me in"]


async def test_a_connection_whose_init_fails_is_closed() -> None:
    async def init(connection: Any) -> None:
        raise ValueError("not this one")

    async with Feed() as feed, websocket_pool(feed.url, options={"init": init}) as pool:
        with pytest.raises(BackendUnavailable, match="not this one"):
            await pool.acquire()
        await feed.until(lambda feed: feed.accepted == 1 and not feed.open)


async def test_options_reach_the_driver_untouched() -> None:
    options = {
        "additional_headers": {"X-Key": "one"},
        "user_agent_header": "tests",
        "max_size": 1000,
        "compression": None,
        "subprotocols": ["prices"],
        "ping_interval": 0,
    }
    async with (
        Feed(answer=echo, subprotocols=["prices"]) as feed,
        websocket_pool(feed.url, options=options) as pool,
        pool.acquire() as connection,
    ):
        request = feed.open[0].request
        assert request is not None
        assert request.headers["X-Key"] == "one"
        assert request.headers["User-Agent"] == "tests"
        assert "permessage-deflate" not in request.headers.get("Sec-WebSocket-Extensions", "")
        assert connection.subprotocol == "prices"
        assert connection.protocol.max_message_size == 1000
        assert connection.ping_interval is None


# -- who may come in -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [PASSWORD, quote(PASSWORD, safe="")], ids=["plain", "encoded"])
async def test_the_user_of_the_url_signs_in(form: str) -> None:
    async with (
        Feed(process_request=wanting_password) as feed,
        websocket_pool(with_user(feed.url, form)) as pool,
    ):
        await pool.ping()


async def test_a_wrong_password_is_told_at_once() -> None:
    async with (
        Feed(process_request=wanting_password) as feed,
        websocket_pool(with_user(feed.url, "wrong"), acquire_timeout=60) as pool,
    ):
        with pytest.raises(BackendUnavailable, match="HTTP 401"):
            await pool.acquire()


async def test_pools_that_differ_only_in_their_password_share_nothing() -> None:
    """Scenario 37."""
    async with (
        Feed(process_request=wanting_password) as feed,
        websocket_pool(with_user(feed.url, quote(PASSWORD, safe=""))) as good,
        websocket_pool(with_user(feed.url, "wrong")) as bad,
    ):
        await good.ping()
        with pytest.raises(BackendUnavailable, match="HTTP 401"):
            await bad.ping()
        assert feed.accepted == 1


async def test_pools_that_differ_only_in_their_size_share_nothing() -> None:
    """Scenario 37."""
    async with (
        Feed() as feed,
        websocket_pool(feed.url, max_size=1) as small,
        websocket_pool(feed.url, max_size=3) as large,
    ):
        held = [await small.acquire(), *[await large.acquire() for _ in range(3)]]
        assert len(feed.open) == 4
        for pool in (small, large):
            with pytest.raises(PoolError):
                await pool.acquire(timeout=0)
        for lease in held:
            lease.release()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_says_later_is_asked_again(status: int) -> None:
    refusals = [status]

    async def refuse_once(connection: ServerConnection, request: Any) -> Any:
        if refusals:
            return connection.respond(http.HTTPStatus(refusals.pop()), "later")
        return None

    async with Feed(process_request=refuse_once) as feed, websocket_pool(feed.url) as pool:
        await pool.ping()
        assert pool.stats().connect_failed == 1


@pytest.mark.parametrize("verb", ["send", "receive", "ping", "subscribe"])
async def test_an_outage_is_backend_unavailable(verb: str) -> None:
    """Scenario 41."""
    url = f"ws://127.0.0.1:{free_port()}"
    async with websocket_pool(url, breaker=Breaker(failures=1)) as pool:

        async def subscribe() -> None:
            async with pool.subscribe():
                pass

        work = {"send": lambda: pool.send("x"), "subscribe": subscribe}
        with pytest.raises(BackendUnavailable, match="Connect call failed"):
            await work.get(verb, lambda: getattr(pool, verb)())()


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_certificate_nobody_knows_is_refused_at_once(authority: Authority) -> None:
    async with (
        Feed(ssl=authority.server_context()) as feed,
        websocket_pool(feed.url, acquire_timeout=60) as pool,
    ):
        with pytest.raises(BackendUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await pool.acquire()


async def test_an_own_authority_and_a_client_certificate(authority: Authority) -> None:
    served = authority.server_context()
    served.verify_mode = ssl.CERT_REQUIRED
    served.load_verify_locations(authority.file)
    context = ssl.create_default_context(cafile=str(authority.file))
    certificate, key, _ = authority.sign("client")
    context.load_cert_chain(certificate, key)
    async with (
        Feed(ssl=served, answer=echo) as feed,
        websocket_pool(feed.url, options={"ssl": context}) as pool,
    ):
        await pool.ping()
        assert pool.stats().connected == 1


async def test_the_systems_authorities_are_loaded_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with Feed(ssl=authority.server_context()) as feed, websocket_pool(feed.url) as pool:
        await pool.ping()
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
        pool.drain()
        await pool.ping()
        assert feed.accepted == 2


# -- secrets ---------------------------------------------------------------------------------------


class TestSecrets:
    """Scenario 39: neither the password nor a key in the query or a header is shown anywhere."""

    @pytest.mark.parametrize("fault", ["none", "password", "server", "lost"])
    async def test_nothing_shows_them(self, fault: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        options = {
            "additional_headers": {"X-Api-Key": "tok3n/x"},
            "linger": 0,
            "reconnect": 0.01,
        }
        texts: list[object] = []
        async with Feed(process_request=None if fault != "password" else wanting_password) as feed:
            url = with_user(feed.url, quote(PASSWORD, safe="")) + "/x?api_key=k%2Fy123"
            if fault == "server":
                url = url.replace(str(feed.port), str(free_port()))
            config = config_of(WEBSOCKET, url, options=options, acquire_timeout=1.0)
            async with pool_of(config) as pool:
                with heard(pool.alias) as events:
                    try:
                        async with pool.subscribe() as messages, pool.subscribe("/y") as others:
                            if fault == "lost":
                                feed.cut()
                                texts += [await anext(messages), await anext(others)]
                            texts += [pool, pool._elsewhere, messages, others]
                    except PoolError as error:
                        assert fault in ("password", "server")
                        texts += traceback.format_exception(error)
                    texts += [*events.connect_errors, pool.stats(), pools.info(), pool.backend]
                texts += [repr(config), config.where(), config.options.shown()]
        logged = [each for each in caplog.records if each.name != "websockets.server"]
        assert any(each.name == "websockets.client" for each in logged) or fault == "server"
        texts += map(logging.Formatter().format, logged)
        basic = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
        for text in map(str, texts):
            for form in (PASSWORD, quote(PASSWORD, safe=""), basic, "tok3n", "k%2Fy123", "k/y123"):
                assert form not in text
