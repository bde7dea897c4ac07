"""How a MongoDB pool reaches its servers, signs in, and what it says when it can't."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from pymongo.monitoring import CommandListener, ServerListener

from poolapp import BackendUnavailable, PoolError
from poolapp.backends.mongodb import MongoBackend
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.mongodb_server import MONGODB, address, mongodb_pool, outsider, own_server, through
from tests.real import Proxy, config_of, heard

PASSWORD = "p@ss/w#rd:1%2"


def made(url: str, **settings: Any) -> Any:
    """The client as the backend makes it, connected to nothing."""
    return MongoBackend(config_of(MONGODB, url, **settings))._make()


class TestServers:
    async def test_a_document_goes_in_and_comes_out(self, mongodb_url: str) -> None:
        async with mongodb_pool(mongodb_url) as pool, pool.acquire() as client:
            await client.pooled.things.insert_one({"_id": 1, "title": "one"})
            assert await client.pooled.things.find_one({"_id": 1}) == {"_id": 1, "title": "one"}
            await client.drop_database("pooled")

    async def test_a_dead_member_of_a_replica_set_is_passed_over(self, mongodb_url: str) -> None:
        host, port = address(mongodb_url)
        hosts = f"127.0.0.1:{free_port()},{host}:{port}"
        url = mongodb_url.replace(f"{host}:{port}", hosts) + "&replicaSet=secantus"
        async with mongodb_pool(url) as pool, pool.acquire() as client:
            assert await client.primary == (host, port)

    async def test_another_replica_set_is_told_at_once(self, mongodb_url: str) -> None:
        url = f"{mongodb_url}&replicaSet=other"
        async with mongodb_pool(url, connect_timeout=60, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match=r"no server is a member of .*'other'"):
                await pool.acquire()

    async def test_the_hosts_of_a_service_are_looked_for_by_dns(self) -> None:
        url = "mongodb+srv://cluster.poolapp.invalid/shop"
        async with mongodb_pool(url, connect_timeout=2.0, acquire_timeout=4.0) as pool:
            with heard(pool.alias) as events, pytest.raises(PoolError):
                await pool.acquire()
            assert events.connect_errors

    async def test_the_path_of_the_url_is_the_database(self, mongodb_url: str) -> None:
        async with mongodb_pool(mongodb_url.replace("/?", "/shop?")) as pool:
            assert await pool.run(lambda db: _name(db)) == "shop"


async def _name(database: Any) -> str:
    return str(database.name)


class TestOptions:
    def test_the_settings_of_the_alias_are_the_drivers(self) -> None:
        client = made(
            "mongodb://127.0.0.1",
            alias="events",
            min_size=2,
            max_size=7,
            max_connecting=3,
            connect_timeout=4.0,
            acquire_timeout=1.5,
            idle_timeout=60.0,
        )
        options = client.options.pool_options
        assert (options.min_pool_size, options.max_pool_size, options.max_connecting) == (2, 7, 3)
        assert (options.connect_timeout, options.wait_queue_timeout) == (4.0, 1.5)
        assert options.max_idle_time_seconds == 60.0
        assert client.options.server_selection_timeout == 4.0
        assert options.appname.startswith("poolapp:events:")

    @pytest.mark.parametrize("how", ["url", "options"])
    def test_what_is_given_stays_as_it_is(self, how: str) -> None:
        given = {
            "maxpoolsize": 3,  # the driver takes them in any case
            "appName": "mine",
            "serverSelectionTimeoutMS": 100,
            "retryWrites": False,
            "readPreference": "secondaryPreferred",
            "authSource": "$external",
            "authMechanism": "GSSAPI",
            "authMechanismProperties": "SERVICE_NAME:other,SERVICE_HOST:a",
        }
        if how == "url":
            given |= {"retryWrites": "false"}
            query = "&".join(f"{name}={value}" for name, value in given.items())
            client = made(f"mongodb://me@127.0.0.1/?{query}")
        else:
            client = made("mongodb://me@127.0.0.1", options=given)
        assert client.options.pool_options.max_pool_size == 3
        assert client.options.pool_options.appname == "mine"
        assert client.options.server_selection_timeout == 0.1
        assert client.options.retry_writes is False
        assert client.options.read_preference.mongos_mode == "secondaryPreferred"
        properties = client.options.pool_options._credentials.mechanism_properties
        assert (properties.service_name, properties.service_host) == ("other", "a")

    def test_an_alias_of_any_length_fits_into_the_name_of_the_application(self) -> None:
        client = made("mongodb://127.0.0.1", alias="ä" * 200)
        assert len(client.options.pool_options.appname.encode()) <= 128

    async def test_listeners_of_ones_own_are_told(self, mongodb_url: str) -> None:
        told = []

        class Commands(CommandListener):
            def started(self, event: Any) -> None:
                told.append(event.command_name)

            def succeeded(self, event: Any) -> None:
                pass

            def failed(self, event: Any) -> None:
                pass

        class Servers(ServerListener):
            def opened(self, event: Any) -> None:
                told.append("opened")

            def description_changed(self, event: Any) -> None:
                pass

            def closed(self, event: Any) -> None:
                told.append("closed")

        listeners = [Commands(), Servers()]
        options = {"event_listeners": listeners, "tls": False}  # which is not made in a thread
        async with mongodb_pool(mongodb_url, options=options) as pool:
            await pool.ping()
        assert {"ping", "opened", "closed"} <= set(told)


class TestSigningIn:
    @pytest.fixture
    async def keeper(self, mongodb_url: str) -> AsyncIterator[str]:
        """A URL of a user with a difficult password, to be put in."""
        host, port = address(mongodb_url)
        async with outsider(mongodb_url) as admin:
            await admin.admin.command("createUser", "ke@per", pwd=PASSWORD, roles=["root"])
            yield f"mongodb://ke%40per:{{}}@{host}:{port}/shop?authSource=admin"
            await admin.admin.command("dropUser", "ke@per")

    @pytest.mark.parametrize("form", [PASSWORD, quote(PASSWORD, safe="")], ids=["raw", "encoded"])
    async def test_with_the_user_and_password_of_the_url(self, keeper: str, form: str) -> None:
        async with mongodb_pool(keeper.format(form)) as pool:
            status = await pool.run(lambda db: db.command("connectionStatus"))
            assert status["authInfo"]["authenticatedUsers"][0]["user"] == "ke@per"

    async def test_with_those_of_the_options(self, mongodb_url: str) -> None:
        parts = urlsplit(mongodb_url)
        url = f"mongodb://{parts.hostname}:{parts.port}/"
        options = {"username": parts.username, "password": parts.password, "authSource": "admin"}
        async with mongodb_pool(url, options=options) as pool:
            assert await pool.ping() > 0

    async def test_a_wrong_password_is_told_at_once_and_not_shown(self, mongodb_url: str) -> None:
        url = mongodb_url.replace(f":{urlsplit(mongodb_url).password}@", ":wr0ng-secret@")
        async with mongodb_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="OperationFailure") as info:
                await pool.acquire()
        assert "wr0ng-secret" not in str(info.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_url(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file, key, _ = authority.sign("server")
    files = ("--tls-cert-file", str(file), "--tls-key-file", str(key))
    client = ("--tls-ca-file", str(authority.file), "--tls-require-client-cert")
    with own_server(tmp_path_factory.mktemp("mongodb"), *files, *client) as url:
        yield f"{url}?tls=true"


@pytest.fixture(scope="module")
def certificate(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A client's, and its key, in one file."""
    file, key, _ = authority.sign("client")
    both = tmp_path_factory.mktemp("client") / "both.pem"
    both.write_bytes(file.read_bytes() + key.read_bytes())
    return str(both)


class TestTls:
    """The server speaks TLS itself."""

    async def test_with_an_authority_and_a_client_certificate_of_ones_own(
        self, tls_url: str, authority: Authority, certificate: str
    ) -> None:
        options = {"tlsCAFile": str(authority.file), "tlsCertificateKeyFile": certificate}
        async with mongodb_pool(tls_url, options=options) as pool:
            assert await pool.ping() > 0
            assert pool.stats().sockets.open == 1

    async def test_verification_is_on_by_default(self, tls_url: str) -> None:
        async with mongodb_pool(tls_url, acquire_timeout=60, connect_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                await pool.acquire()

    async def test_an_authority_that_did_not_sign_is_told_at_once(
        self, tls_url: str, certificate: str, tmp_path: Path
    ) -> None:
        options = {
            "tlsCAFile": str(Authority(tmp_path, "stranger").file),
            "tlsCertificateKeyFile": certificate,
        }
        settings = {"options": options, "acquire_timeout": 60, "connect_timeout": 60}
        async with mongodb_pool(tls_url, **settings) as pool:
            with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                await pool.acquire()

    async def test_a_missing_client_certificate_fails_the_connect(
        self, tls_url: str, authority: Authority
    ) -> None:
        settings = {"options": {"tlsCAFile": str(authority.file)}, "breaker": None}
        async with mongodb_pool(tls_url, **settings) as pool:
            with heard(pool.alias) as events:
                with pytest.raises((BackendUnavailable, TimeoutError)):
                    await pool.acquire(timeout=0.5)
                assert events.connect_errors

    async def test_verification_may_be_turned_off(
        self, mongodb_url: str, authority: Authority
    ) -> None:
        context = authority.server_context("other", "other.example")
        async with Proxy(*address(mongodb_url), tls=context) as proxy:
            url = f"{through(proxy, mongodb_url)}&tls=true&tlsInsecure=true"
            async with mongodb_pool(url) as pool:
                assert await pool.ping() > 0

    async def test_the_name_of_the_host_is_verified(
        self, mongodb_url: str, authority: Authority
    ) -> None:
        context: ssl.SSLContext = authority.server_context("other", "other.example")
        async with Proxy(*address(mongodb_url), tls=context) as proxy:
            url = f"{through(proxy, mongodb_url)}&tls=true"
            options = {"tlsCAFile": str(authority.file)}
            settings = {"options": options, "acquire_timeout": 60, "connect_timeout": 60}
            async with mongodb_pool(url, **settings) as pool:
                with pytest.raises(BackendUnavailable, match="IP address mismatch"):
                    await pool.acquire()


class TestRefusals:
    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        """The driver alone would try for CONNECT_TIMEOUT; so the pool knows why it waits."""
        url = f"mongodb://127.0.0.1:{free_port()}"
        settings = {"acquire_timeout": 2.0, "connect_timeout": 60.0, "breaker": None}
        async with mongodb_pool(url, **settings) as pool:
            with heard(pool.alias) as events, pytest.raises(TimeoutError, match="AutoReconnect"):
                await pool.acquire()
            assert len(events.connect_errors) > 1

    async def test_of_several_servers_all_are_named(self) -> None:
        ports = [free_port(), free_port()]
        url = f"mongodb://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/?replicaSet=none"
        async with mongodb_pool(url, connect_timeout=60.0) as pool:
            with heard(pool.alias) as events, pytest.raises(TimeoutError):
                await pool.acquire(timeout=0.3)
            assert all(str(port) in events.connect_errors[0] for port in ports)
