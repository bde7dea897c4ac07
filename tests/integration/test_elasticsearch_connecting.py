"""How an Elasticsearch pool reaches its nodes, signs in, and what it says when it can't."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from poolapp import BackendUnavailable
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.fronts import Front
from tests.real import Proxy, elasticsearch_client, elasticsearch_pool, heard


@pytest.fixture(scope="session")
def url(server_urls: dict[str, str]) -> str:
    return server_urls["elasticsearch"]


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def nodes(es: Any) -> set[int]:
    return {node.port for node in es.transport.node_pool.all()}


class TestNodes:
    async def test_a_document_goes_in_and_comes_out(self, url: str) -> None:
        async with elasticsearch_pool(url) as pool, pool.acquire() as es:
            await es.index(index="pooled", id="1", document={"title": "one"}, refresh=True)
            assert (await es.get(index="pooled", id="1"))["_source"] == {"title": "one"}
            found = await es.search(index="pooled", query={"match": {"title": "one"}})
            assert found["hits"]["total"]["value"] == 1
            await es.indices.delete(index="pooled")

    async def test_all_nodes_are_known_from_a_list_or_from_commas(self, url: str) -> None:
        host, port = address(url)
        async with Proxy(host, port) as other:
            for urls in (
                (url, f"http://127.0.0.1:{other.port}"),
                (f"http://127.0.0.1:{other.port},{host}:{port}",),
            ):
                async with elasticsearch_pool(*urls) as pool, pool.acquire() as es:
                    assert nodes(es) == {port, other.port}

    async def test_a_dead_node_is_passed_over(self, url: str) -> None:
        dead = f"http://127.0.0.1:{free_port()}"
        async with elasticsearch_pool(dead, url) as pool:
            for _ in range(4):
                async with pool.acquire() as es:
                    assert await es.info()

    async def test_a_silent_node_leaves_time_for_the_next(self, url: str) -> None:
        async with Proxy(*address(url)) as silent:
            silent.fall_silent()
            urls = (f"http://127.0.0.1:{silent.port}", url)
            options = {"randomize_nodes_in_pool": False}
            async with elasticsearch_client(*urls, options=options, connect_timeout=2.0) as es:
                assert await es.options(request_timeout=5).info()

    async def test_a_path_in_the_url_is_a_prefix_of_all_requests(self) -> None:
        async with Front() as front, elasticsearch_pool(f"{front.url}/under/here/") as pool:
            async with pool.acquire() as es:
                await es.info()
            assert {request.path for request in front.requests} == {"/under/here/"}

    async def test_the_port_may_be_left_out(self) -> None:
        async with elasticsearch_pool("http://127.0.0.1") as pool:
            client = pool.backend._make()
            assert nodes(client) == {9200}
            await client.close()


class TestOptions:
    """Every option of the client that its users rely on arrives there."""

    async def test_connections_for_all_seats_unless_set(self, url: str) -> None:
        async with elasticsearch_pool(url, max_size=7) as pool, pool.acquire() as es:
            assert {n.config.connections_per_node for n in es.transport.node_pool.all()} == {7}
        options = {"connections_per_node": 3}
        async with elasticsearch_client(url, max_size=7, options=options) as es:
            assert {n.config.connections_per_node for n in es.transport.node_pool.all()} == {3}

    async def test_nobody_queues_inside_the_client_even_above_a_hundred(self) -> None:
        async with Front() as front, elasticsearch_pool(front.url, max_size=130) as pool:

            async def ask() -> None:
                async with pool.acquire() as es:
                    await es.options(request_timeout=60).info()

            await pool.ping()
            front.gate.clear()
            asking = [asyncio.create_task(ask()) for _ in range(130)]
            await front.until_inside(130)
            front.gate.set()
            await asyncio.gather(*asking)

    async def test_retries_and_timeouts(self) -> None:
        options = {
            "max_retries": 5,
            "retry_on_timeout": True,
            "retry_on_status": (418,),
            "request_timeout": 0.7,
        }
        async with Front() as front, elasticsearch_pool(front.url, options=options) as pool:
            front.answers["/_cluster/health"] = (418, {"error": "teapot"})
            async with pool.acquire() as es:
                with pytest.raises(Exception, match="418"):
                    await es.cluster.health()
                asked = [each.path for each in front.requests].count("/_cluster/health")
                assert asked == 6
                assert es._request_timeout == 0.7
                assert es._retry_on_timeout is True

    @pytest.mark.parametrize(
        "options",
        [
            {"sniff_on_start": True, "sniff_timeout": 2},
            {"sniff_before_requests": True, "min_delay_between_sniffing": 0, "sniff_timeout": 2},
        ],
        ids=["on start", "before requests"],
    )
    async def test_sniffing_finds_the_other_nodes(self, url: str, options: Any) -> None:
        port = address(url)[1]
        async with Proxy(*address(url)) as proxy:
            first = f"http://127.0.0.1:{proxy.port}"
            async with elasticsearch_client(first, options=options) as es:
                await es.info()
                await es.transport._sniffing_task
                assert port in nodes(es)

    async def test_sniffing_on_node_failure_finds_the_living(self, url: str) -> None:
        port = address(url)[1]
        options = {"sniff_on_node_failure": True, "sniff_timeout": 2, "max_retries": 3}
        async with Proxy(*address(url)) as proxy:
            urls = (f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{proxy.port}")
            async with elasticsearch_client(*urls, options=options) as es:
                for _ in range(4):
                    await es.info()
                await es.transport._sniffing_task
                assert port in nodes(es)

    async def test_a_close_right_after_a_sniff_leaves_nothing_open(self, url: str) -> None:
        options = {"sniff_before_requests": True, "min_delay_between_sniffing": 0}
        for _ in range(5):
            async with elasticsearch_client(url, options=options) as es:
                await es.info()


def signed_in_as(front: Front) -> set[str | None]:
    return {request.headers.get("Authorization") for request in front.requests}


class TestSigningIn:
    async def test_with_the_user_and_password_of_the_url(self) -> None:
        async with Front() as front:
            url = front.url.replace("//", "//el%40stic:p%40ss%2Fw%23rd%3A1%252@")
            async with elasticsearch_pool(url) as pool, pool.acquire() as es:
                await es.info()
            expected = base64.b64encode(b"el@stic:p@ss/w#rd:1%2").decode()
            assert signed_in_as(front) == {f"Basic {expected}"}

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"api_key": "a2V5"}, "ApiKey a2V5"),
            ({"api_key": ("id", "key")}, "ApiKey " + base64.b64encode(b"id:key").decode()),
            ({"basic_auth": ("a", "b")}, "Basic " + base64.b64encode(b"a:b").decode()),
            ({"bearer_auth": "token"}, "Bearer token"),
        ],
    )
    async def test_with_options(self, options: Any, expected: str) -> None:
        async with Front() as front, elasticsearch_pool(front.url, options=options) as pool:
            async with pool.acquire() as es:
                await es.info()
            assert signed_in_as(front) == {expected}

    async def test_a_wrong_password_is_told_at_once_and_not_shown(self) -> None:
        async with Front() as front:
            front.answers["/"] = (401, {"error": "security_exception"})
            url = front.url.replace("//", "//elastic:wr0ng-secret@")
            async with elasticsearch_pool(url, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="AuthenticationException") as info:
                    await pool.acquire()
        assert "wr0ng-secret" not in str(info.value)

    async def test_a_key_that_may_only_see_its_index_connects(self) -> None:
        options = {"api_key": "k"}
        async with Front() as front, elasticsearch_pool(front.url, options=options) as pool:
            front.answers["/"] = front.answers["/_cluster/health"] = (403, {"error": "no"})
            front.answers["/mine/_doc/1"] = (200, {"_source": {"a": 1}})
            async with pool.acquire() as es:
                assert (await es.get(index="mine", id="1"))["_source"] == {"a": 1}
                verdict, message = await pool.backend.health(es)
                assert verdict == "healthy"
                assert "monitor" in message
                assert await pool.backend.server_info(es) == {}
            assert await pool.ping() > 0


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    async def test_with_an_authority_of_ones_own(self, url: str, authority: Authority) -> None:
        async with Proxy(*address(url), tls=authority.server_context()) as proxy:
            options = {"ca_certs": str(authority.file)}
            secure = f"https://127.0.0.1:{proxy.port}"
            async with elasticsearch_client(secure, options=options) as es:
                assert await es.info()

    async def test_verification_is_on_by_default(self, url: str, authority: Authority) -> None:
        async with Proxy(*address(url), tls=authority.server_context()) as proxy:
            secure = f"https://127.0.0.1:{proxy.port}"
            async with elasticsearch_pool(secure, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                    await pool.acquire()

    async def test_verification_may_be_turned_off(self, url: str, authority: Authority) -> None:
        async with Proxy(*address(url), tls=authority.server_context()) as proxy:
            options = {"verify_certs": False, "ssl_show_warn": False}
            secure = f"https://127.0.0.1:{proxy.port}"
            async with elasticsearch_pool(secure, options=options) as pool:
                assert await pool.ping() > 0

    async def test_a_pinned_fingerprint(self, url: str, authority: Authority) -> None:
        file, key, fingerprint = authority.sign("pinned")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, key)
        for pinned, fits in ((fingerprint, True), ("ab" * 32, False)):
            options = {"ssl_assert_fingerprint": pinned}
            async with Proxy(*address(url), tls=context) as proxy:
                secure = f"https://127.0.0.1:{proxy.port}"
                async with elasticsearch_pool(secure, options=options, acquire_timeout=60) as pool:
                    if fits:
                        assert await pool.ping() > 0
                    else:
                        with pytest.raises(BackendUnavailable, match="Fingerprint"):
                            await pool.acquire()

    async def test_a_client_certificate(self, authority: Authority) -> None:
        context = authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
        file, key, _ = authority.sign("client")
        options = {
            "ca_certs": str(authority.file),
            "client_cert": str(file),
            "client_key": str(key),
        }
        async with (
            Front(tls=context) as front,
            elasticsearch_pool(front.url, options=options) as pool,
        ):
            assert await pool.ping() > 0

    async def test_a_certificate_file_that_is_not_there_is_told_at_once(self, url: str) -> None:
        options = {"ca_certs": "/nowhere/ca.pem"}
        async with elasticsearch_pool(
            url.replace("http:", "https:"), options=options, acquire_timeout=60
        ) as pool:
            with pytest.raises(BackendUnavailable, match="ca_certs"):
                await pool.acquire()


class TestRefusals:
    async def test_a_server_of_another_product_is_told_at_once(self) -> None:
        async with Front() as front:
            front.headers.clear()
            async with elasticsearch_pool(front.url, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="UnsupportedProduct"):
                    await pool.acquire()

    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        async with elasticsearch_pool(url, acquire_timeout=1.0, breaker=None) as pool:
            with heard(pool.alias) as events, pytest.raises(TimeoutError, match="ConnectionError"):
                await pool.acquire()
            assert len(events.connect_errors) > 1
