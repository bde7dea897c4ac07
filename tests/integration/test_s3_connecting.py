"""How an S3 pool makes its client, signs in, and what it says when it can't."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from aiobotocore.client import AioClientCreator
from aiohttp import web

from poolapp import BackendUnavailable, PoolTimeout, pools
from poolapp.backends.s3 import S3Backend
from poolapp.devservices.ports import free_port
from tests.buckets import S3, address, new_bucket, s3_pool, through
from tests.certificates import Authority
from tests.real import Proxy, config_of, heard

PASSWORD = "s3cret/with@all#the:signs%of"


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    return asyncio.run(new_bucket(s3_url))


def with_keys(url: str, key: str, secret: str) -> str:
    host, port = address(url)
    return f"http://{key}:{secret}@{host}:{port}{urlsplit(url).path}"


def keys_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    assert parts.username
    assert parts.password
    return parts.username, parts.password


@contextlib.asynccontextmanager
async def answering(answer: Callable[[web.Request], web.StreamResponse]) -> AsyncIterator[str]:
    """The URL of an HTTP server that answers so, for what a real one is hard to bring to say."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return answer(request)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://KEY:secret@127.0.0.1:{runner.addresses[0][1]}/bucket"
    finally:
        await runner.cleanup()


def refusal(status: int, code: str) -> web.Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


EMPTY = "<?xml version='1.0'?><ListBucketResult><Name>bucket</Name></ListBucketResult>"


class TestMaking:
    async def test_fifty_first_acquires_make_one_client(self) -> None:
        """Scenario 16: 50 concurrent first acquires make one client."""
        asked: list[str] = []

        def answer(request: web.Request) -> web.Response:
            asked.append(request.method)
            return web.Response(text=EMPTY, content_type="application/xml")

        async with answering(answer) as url:
            config = config_of(S3, url, max_size=50)
            pools.register(config.alias, config)

            async def first() -> Any:
                async with pools[config.alias].acquire() as s3:
                    return s3

            clients = await asyncio.gather(*(first() for _ in range(50)))
            assert len(set(map(id, clients))) == 1
            assert asked == ["GET"]
            await pools.remove(config.alias)

    async def test_the_loop_goes_on_meanwhile(
        self, bucket_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        turns = 0
        home = threading.get_ident()
        made: list[tuple[int, int]] = []
        make = AioClientCreator.create_client

        async def watched(*args: Any, **named: Any) -> Any:
            before = turns
            # A loop that is not held up comes round meanwhile, whatever the threads' turns are.
            while threading.get_ident() != home and turns < before + 5:
                pass
            client = await make(*args, **named)
            made.append((threading.get_ident(), turns - before))
            return client

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        monkeypatch.setattr(AioClientCreator, "create_client", watched)
        turning = asyncio.create_task(turn())
        async with s3_pool(bucket_url) as pool:
            assert not await pool.exists("nothing")
        turning.cancel()
        ((thread, count),) = made
        assert thread != home
        assert count >= 5

    async def test_authorities_are_loaded_elsewhere(
        self, tmp_path: Path, bucket_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads = []
        load = ssl.SSLContext.load_verify_locations

        def watched(*args: Any, **named: Any) -> None:
            threads.append(threading.get_ident())
            load(*args, **named)

        authority = Authority(tmp_path)
        monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", watched)
        async with Proxy(*address(bucket_url), tls=authority.server_context()) as proxy:
            url = through(proxy.port, bucket_url, scheme="https")
            for _ in range(2):
                async with s3_pool(url, options={"verify": str(authority.file)}) as pool:
                    assert not await pool.exists("nothing")
        assert len(threads) == 1, "and once for all clients that use the same file"
        assert threads[0] != threading.get_ident()

    async def test_a_connect_that_is_cancelled_leaves_nothing_open(self, bucket_url: str) -> None:
        backend = S3Backend(config_of(S3, bucket_url))
        for turns in range(0, 40, 3):
            task = asyncio.create_task(backend.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            client = (await asyncio.gather(task, return_exceptions=True))[0]
            if not isinstance(client, BaseException):
                await backend.close(client)


class TestOptions:
    async def test_sockets_for_all_seats_unless_set(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url, max_size=7) as pool, pool.acquire() as s3:
            assert s3.meta.config.max_pool_connections == 7
            assert {each.limit for each in connectors(s3)} == {7}
        options = {"max_pool_connections": 3}
        async with s3_pool(bucket_url, max_size=7, options=options) as pool, pool.acquire() as s3:
            assert {each.limit for each in connectors(s3)} == {3}

    async def test_a_server_of_ones_own(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url) as pool, pool.acquire() as s3:
            assert s3.meta.config.s3["addressing_style"] == "path"
            assert s3.meta.config.retries["mode"] == "standard"
            assert s3.meta.config.connect_timeout == pool.config.connect_timeout
            assert s3.meta.region_name == "us-east-1"

    async def test_everything_may_be_set(self, bucket_url: str) -> None:
        options = {
            "s3": {"addressing_style": "auto", "payload_signing_enabled": True},
            "retries": {"mode": "legacy", "max_attempts": 4},
            "connect_timeout": 3,
            "read_timeout": 4,
            "signature_version": "s3",
            "request_checksum_calculation": "when_supported",
            "connector_args": {"keepalive_timeout": 5},
            "user_agent": "mine",
        }
        backend = S3Backend(config_of(S3, bucket_url, options=options))
        config = (await made(backend)).meta.config
        assert config.s3 == options["s3"] | {"addressing_style": "auto"}
        assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("legacy", 5)
        assert (config.connect_timeout, config.read_timeout) == (3, 4)
        assert config.signature_version == "s3"
        assert config.request_checksum_calculation == "when_supported"
        assert config.connector_args["keepalive_timeout"] == 5
        assert config.user_agent.startswith("mine")

    async def test_a_number_of_attempts_leaves_the_rest_of_the_retries(
        self, bucket_url: str
    ) -> None:
        options = {"retries": {"total_max_attempts": 7}}
        config = (await made(S3Backend(config_of(S3, bucket_url, options=options)))).meta.config
        assert (config.retries["mode"], config.retries["total_max_attempts"]) == ("standard", 7)

    async def test_aws_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        client = await made(S3Backend(config_of(S3, "s3://media?region=eu-west-1")))
        url = await client.generate_presigned_url(
            "get_object", Params={"Bucket": "media", "Key": "a"}
        )
        assert url.startswith("https://media.s3.")
        assert "amazonaws.com/a?" in url
        assert client.meta.region_name == "eu-west-1"
        assert client.meta.config.request_checksum_calculation == "when_supported"

    async def test_keys_from_a_profile(
        self, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key, secret = keys_of(bucket_url)
        file = tmp_path / "credentials"
        file.write_text(f"[work]\naws_access_key_id={key}\naws_secret_access_key={secret}\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        url = bucket_url.replace(f"{key}:{secret}@", "")
        async with s3_pool(url, options={"profile_name": "work"}) as pool:
            assert not await pool.exists("nothing")
        async with s3_pool(url, options={"profile_name": "play"}, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="ProfileNotFound"):
                await pool.acquire()

    async def test_the_long_form_of_a_location(self, bucket_url: str) -> None:
        host, port = address(bucket_url)
        key, secret = keys_of(bucket_url)
        bucket = urlsplit(bucket_url).path.strip("/")
        url = f"s3://{key}:{secret}@{bucket}?endpoint=http://{host}:{port}&region=us-east-1"
        async with s3_pool(url) as pool:
            await pool.put("key", b"content")
            assert await pool.get("key") == b"content"


def connectors(client: Any) -> list[Any]:
    return [each.connector for each in client._endpoint.http_session._sessions.values()]


async def made(backend: S3Backend) -> Any:
    """A client that was never used."""
    from poolapp.backends.s3.client import make

    return await asyncio.to_thread(make, backend.config)


class TestRefusals:
    async def told_at_once(self, url: str, match: str, **settings: Any) -> str:
        async with s3_pool(url, acquire_timeout=60, **settings) as pool:
            with heard(pool.alias) as events, pytest.raises(BackendUnavailable, match=match):
                await pool.acquire()
            assert len(events.connect_errors) == 1
            return events.connect_errors[0]

    async def test_a_wrong_secret_key(self, bucket_url: str) -> None:
        key, _ = keys_of(bucket_url)
        await self.told_at_once(with_keys(bucket_url, key, "wrong"), "SignatureDoesNotMatch")

    async def test_a_wrong_access_key(self, bucket_url: str) -> None:
        await self.told_at_once(with_keys(bucket_url, "who", "wrong"), "InvalidAccessKeyId")

    async def test_a_wrong_key_without_a_bucket(self, s3_url: str) -> None:
        await self.told_at_once(with_keys(s3_url, "who", "wrong"), "InvalidAccessKeyId")

    async def test_no_keys_anywhere(self, bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        key, secret = keys_of(bucket_url)
        await self.told_at_once(bucket_url.replace(f"{key}:{secret}@", ""), "NoCredentialsError")

    async def test_an_impossible_region(self, bucket_url: str) -> None:
        url = bucket_url.replace("us-east-1", "us_east_1!")
        await self.told_at_once(url, "InvalidRegionError")

    async def test_a_bucket_that_is_not_there_is_no_outage(self, s3_url: str) -> None:
        async with s3_pool(f"{s3_url}/not-there-yet") as pool:
            async with pool.acquire() as s3:
                await s3.create_bucket(Bucket="not-there-yet")
            await pool.put("key", b"")
            assert await pool.exists("key")

    async def test_keys_that_may_not_list_are_good_keys(self) -> None:
        async with (
            answering(lambda request: refusal(403, "AccessDenied")) as url,
            s3_pool(url, check_after=0.0) as pool,
        ):
            for _ in range(3):
                async with pool.acquire():
                    pass
            assert pool.stats().connected == 1
            assert await pool.ping() > 0

    @pytest.mark.parametrize("status", [502, 503, 504])
    async def test_a_gateway_without_a_server_is_an_outage(self, status: int) -> None:
        async with (
            answering(lambda request: web.Response(status=status)) as url,
            s3_pool(url, acquire_timeout=3.0, breaker=None) as pool,
        ):
            with pytest.raises(PoolTimeout, match=str(status)):
                await pool.acquire()

    async def test_a_server_that_limits_the_rate_is_there(self) -> None:
        async with (
            answering(lambda request: refusal(503, "SlowDown")) as url,
            s3_pool(url) as pool,
            pool.acquire(),
        ):
            assert pool.stats().connected == 1

    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        url = f"http://KEY:secret@127.0.0.1:{free_port()}/bucket"
        async with s3_pool(url, acquire_timeout=3.0, breaker=None) as pool:
            with (
                heard(pool.alias) as events,
                pytest.raises(PoolTimeout, match="EndpointConnectionError"),
            ):
                await pool.acquire()
            assert len(events.connect_errors) > 1, "the driver's own repeats don't use up the time"


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    async def check(self, bucket_url: str, context: ssl.SSLContext, **options: Any) -> None:
        async with Proxy(*address(bucket_url), tls=context) as proxy:
            url = through(proxy.port, bucket_url, scheme="https")
            async with s3_pool(url, options=options, acquire_timeout=60) as pool:
                await pool.put("key", b"secret")
                assert await pool.get("key") == b"secret"

    async def test_with_an_authority_of_ones_own(
        self, bucket_url: str, authority: Authority
    ) -> None:
        await self.check(bucket_url, authority.server_context(), verify=str(authority.file))

    async def test_verification_is_on_by_default(
        self, bucket_url: str, authority: Authority
    ) -> None:
        with pytest.raises(BackendUnavailable, match=r"SSLError.*certificate verify failed"):
            await self.check(bucket_url, authority.server_context())

    async def test_verification_may_be_turned_off(
        self, bucket_url: str, authority: Authority
    ) -> None:
        await self.check(bucket_url, authority.server_context(), verify=False)

    async def test_a_certificate_of_another_host_is_refused(
        self, bucket_url: str, authority: Authority
    ) -> None:
        """The driver by itself takes any certificate that the authority has signed."""
        context = authority.server_context("other", "other.example")
        with pytest.raises(BackendUnavailable, match="IP address mismatch"):
            await self.check(bucket_url, context, verify=str(authority.file))

    @pytest.mark.parametrize("trusted", [True, False])
    async def test_what_goes_through_a_proxy_is_verified_too(
        self, bucket_url: str, authority: Authority, trusted: bool
    ) -> None:
        """The driver by itself takes any certificate there."""
        options: dict[str, Any] = {"verify": str(authority.file)} if trusted else {}
        async with connect_proxy() as port:
            options["proxies"] = {"https": f"http://127.0.0.1:{port}"}
            checking = self.check(bucket_url, authority.server_context(), **options)
            if trusted:
                await checking
            else:
                with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                    await checking

    async def test_a_client_certificate(self, bucket_url: str, authority: Authority) -> None:
        context = authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
        file, key, _ = authority.sign("client")
        both = file.with_name("both.pem")
        both.write_bytes(file.read_bytes() + key.read_bytes())
        ours = {"verify": str(authority.file)}
        await self.check(bucket_url, context, client_cert=(str(file), str(key)), **ours)
        await self.check(bucket_url, context, client_cert=str(both), **ours)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"verify": "/nowhere/ca.pem"}, r"OPTIONS\['verify'\].*/nowhere/ca.pem"),
            ({"client_cert": "/nowhere/me.pem"}, r"OPTIONS\['client_cert'\].*/nowhere/me.pem"),
            ({"verify": __file__}, r"OPTIONS\['verify'\].*test_s3_connecting"),
            ({"client_cert": __file__}, r"OPTIONS\['client_cert'\].*test_s3_connecting"),
        ],
    )
    async def test_a_file_that_can_not_be_used_is_told_at_once(
        self, bucket_url: str, authority: Authority, options: dict[str, str], told: str
    ) -> None:
        with pytest.raises(BackendUnavailable, match=told):
            await self.check(bucket_url, authority.server_context(), **options)

    async def test_a_renewed_authority_is_loaded_anew(
        self, bucket_url: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "ca.pem"
        for name in ("first", "second"):
            authority = Authority(tmp_path, name)
            file.write_bytes(authority.file.read_bytes())
            context = authority.server_context(f"{name} server")
            await self.check(bucket_url, context, verify=str(file))


@contextlib.asynccontextmanager
async def connect_proxy() -> AsyncIterator[int]:
    """The port of an HTTP proxy that knows CONNECT."""
    tasks: set[asyncio.Task[Any]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        one, other = (
            asyncio.create_task(relay(*pair)) for pair in ((reader, back), (there, writer))
        )
        try:
            await asyncio.wait([one, other], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (one, other):
                each.cancel()
            await asyncio.gather(one, other, return_exceptions=True)
            back.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class TestApart:
    """Scenario 37: configurations that differ only in a password, a size or TLS share nothing."""

    async def first(self, url: str, **settings: Any) -> Awaitable[Any]:
        return await self.stack.enter_async_context(s3_pool(url, acquire_timeout=60, **settings))

    @pytest.fixture(autouse=True)
    async def opened(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as self.stack:
            yield

    async def test_passwords(self, bucket_url: str) -> None:
        key, _ = keys_of(bucket_url)
        good: Any = await self.first(bucket_url)
        assert not await good.exists("nothing")
        wrong: Any = await self.first(with_keys(bucket_url, key, "wrong"))
        with pytest.raises(BackendUnavailable, match="SignatureDoesNotMatch"):
            await wrong.exists("nothing")

    async def test_sizes(self, bucket_url: str) -> None:
        small: Any = await self.first(bucket_url, max_size=1)
        large: Any = await self.first(bucket_url, max_size=5)
        async with small.acquire() as one, large.acquire() as other:
            assert one is not other
            assert {each.limit for each in connectors(one)} == {1}
            assert {each.limit for each in connectors(other)} == {5}

    async def test_tls(self, bucket_url: str, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        async with Proxy(*address(bucket_url), tls=authority.server_context()) as proxy:
            url = through(proxy.port, bucket_url, scheme="https")
            trusting: Any = await self.first(url, options={"verify": False})
            assert not await trusting.exists("nothing")
            verifying: Any = await self.first(url)
            with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                await verifying.exists("nothing")
            await self.stack.aclose()


class TestSecrets:
    """Scenario 39: no secret anywhere."""

    @pytest.mark.parametrize("quoted", [True, False])
    @pytest.mark.parametrize("fault", ["secret", "server"])
    async def test_of_a_url(
        self, bucket_url: str, caplog: pytest.LogCaptureFixture, quoted: bool, fault: str
    ) -> None:
        caplog.set_level(logging.DEBUG)
        key, _ = keys_of(bucket_url)
        secret = quote(PASSWORD, safe="") if quoted else PASSWORD.replace("%", "%25")
        where = through(free_port(), bucket_url) if fault == "server" else bucket_url
        url = with_keys(where, key, secret)
        async with s3_pool(url, acquire_timeout=1.5) as pool:
            backend = pool.backend
            (location,) = pool.config.where()
            assert location.password.reveal() == PASSWORD
            with heard(pool.alias) as events:
                with pytest.raises((BackendUnavailable, PoolTimeout)) as info:
                    await pool.get("key")
                assert events.connect_errors
            shown = [*events.connect_errors, *traceback.format_exception(info.value)]
            shown += [repr(pool), repr(pool.config), repr(backend), repr(pool.stats())]
            shown += [str(each) for each in S3Backend.problems(pool.config)]
        for text in [*shown, caplog.text]:
            for form in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe="")):
                assert form not in text
