"""TLS as PostgreSQL itself speaks it: Debian's server, which the wheel's can't stand in for."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from django.db import connections

from poolapp import BackendUnavailable, PoolConfig
from poolapp.conf.database import DatabaseLocation
from poolapp.devservices import Supervisor
from poolapp.devservices.services import Postgres
from tests.certificates import Authority
from tests.debian import program
from tests.real import POSTGRES, pool_of, postgres_config, postgres_pool
from tests.servers import SESSION

PASSWORD = "p@ss/w#rd:1%"
CONNECTION = "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
WHO_MAY_COME = """
# TYPE    DATABASE USER      ADDRESS      METHOD
hostssl   all      certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl   all      encrypted 127.0.0.1/32 scram-sha-256
host      all      postgres  127.0.0.1/32 scram-sha-256
"""


class Debians(Postgres):
    """The same server from Debian's package, which was built with TLS."""

    def __init__(self, binaries: Path, settings: dict[str, object]) -> None:
        super().__init__(settings)
        self._binaries = binaries

    def programs(self, home: Path) -> Path:
        return self._binaries


class Server(NamedTuple):
    url: str
    """The superuser's, at 127.0.0.1. The server's certificate is for ``localhost`` alone."""
    port: int
    authority: Authority
    folder: Path

    def at(self, user: str, query: str = "", host: str = "localhost") -> str:
        return f"postgresql://{user}:{quote(PASSWORD, safe='')}@{host}:{self.port}/postgres{query}"


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    binaries = program("postgres", "postgresql").resolve().parents[1]
    folder = request.config.stash[SESSION].folder / "tls"
    folder.mkdir()
    folder.chmod(0o711)
    authority = Authority(folder)
    file, key, _ = authority.sign("server", "localhost")
    (folder / "hba.conf").write_text(WHO_MAY_COME)
    for each in (authority.file, file, folder / "hba.conf"):
        each.chmod(0o644)
    key.chmod(0o600)
    settings: dict[str, object] = {
        "ssl": "on",
        "ssl_cert_file": file,
        "ssl_key_file": key,
        "ssl_ca_file": authority.file,
        "hba_file": folder / "hba.conf",
    }
    service = Debians(binaries, settings)
    if account := service.account(folder):
        os.chown(key, *account)
    supervisor = Supervisor(folder, [service], environment={})
    url = supervisor.up()["postgres"]
    asyncio.run(_make_roles(url))
    port = urlsplit(url).port
    assert port
    yield Server(url, port, authority, folder)
    supervisor.down(discard=True)


async def _make_roles(url: str) -> None:
    admin = await asyncpg.connect(url, ssl=False)
    for role in ("certified", "encrypted"):
        await admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    await admin.close()


@pytest.fixture
def database(server: Server) -> Iterator[dict[str, Any]]:
    """``DATABASES["secure"]``, as a project has it that uses Django's own driver too."""
    known = connections.settings
    before = copy.deepcopy(dict(known))
    known["secure"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "localhost",
        "PORT": server.port,
        "USER": "encrypted",
        "PASSWORD": PASSWORD,
        "NAME": "postgres",
        "OPTIONS": {},
    }
    connections.configure_settings(known)
    yield known["secure"]
    known.clear()
    known.update(before)


def database_config(**settings: Any) -> PoolConfig:
    location = DatabaseLocation("secure")
    return PoolConfig(alias="secure", backend=POSTGRES, locations=location, **settings)


async def told(config: PoolConfig, message: str) -> str:
    """What whoever waits is told, which must be at once."""
    async with pool_of(config.replace(acquire_timeout=60.0)) as pool:
        with pytest.raises(BackendUnavailable, match=message) as caught:
            await pool.fetchval("SELECT 1")
        return str(caught.value)


class TestEncryption:
    @pytest.mark.parametrize(
        ("query", "encrypted"),
        [
            ("", True),
            ("?sslmode=disable", False),
            ("?sslmode=prefer", True),
            ("?sslmode=require", True),
            ("?sslmode=verify-ca&sslrootcert={ca}", True),
            ("?sslmode=verify-full&sslrootcert={ca}", True),
        ],
    )
    async def test_the_url_says_whether_to_encrypt(
        self, server: Server, query: str, encrypted: bool
    ) -> None:
        parts = urlsplit(server.url)
        url = f"postgresql://postgres:{parts.password}@localhost:{server.port}/postgres"
        async with postgres_pool(url + query.format(ca=server.authority.file)) as pool:
            assert (await pool.fetchrow(CONNECTION))["ssl"] is encrypted

    async def test_an_option_may_say_it_too(self, server: Server) -> None:
        context = ssl.create_default_context(cafile=server.authority.file)
        for given in ("require", context):
            async with postgres_pool(server.at("encrypted"), options={"ssl": given}) as pool:
                assert (await pool.fetchrow(CONNECTION))["ssl"] is True

    async def test_django_and_the_pool_connect_by_the_same_options(
        self, server: Server, database: dict[str, Any], django_db_blocker: Any
    ) -> None:
        database["OPTIONS"] = {
            "sslmode": "verify-full",
            "sslrootcert": server.authority.file,
        }
        async with pool_of(database_config()) as pool:
            assert (await pool.fetchrow(CONNECTION))["ssl"] is True

        def by_django() -> bool:
            connection = connections.create_connection("secure")
            try:
                with connection.cursor() as cursor:
                    cursor.execute(CONNECTION)
                    return bool(cursor.fetchone()[0])
            finally:
                connection.close()
                connections.close_all()  # Django asked for the types by one of the thread's own

        with django_db_blocker.unblock():
            assert await asyncio.to_thread(by_django)

    async def test_two_aliases_that_differ_in_tls_alone_are_two_pools(
        self, server: Server, database: dict[str, Any]
    ) -> None:
        plain = postgres_config(f"{server.url}?sslmode=disable", max_size=1)
        secret = postgres_config(f"{server.url}?sslmode=require", max_size=1)
        async with pool_of(plain) as one, pool_of(secret) as other:
            async with one.acquire() as open_one, other.acquire() as closed_one:
                assert (await open_one.fetchrow(CONNECTION))["ssl"] is False
                assert (await closed_one.fetchrow(CONNECTION))["ssl"] is True
                assert open_one.get_server_pid() != closed_one.get_server_pid()
            one.drain()
            assert (await one.fetchrow(CONNECTION))["ssl"] is False
            assert other.stats().size == 1


class TestVerification:
    @pytest.fixture
    def stranger(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path, "stranger")

    @pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
    async def test_another_authoritys_certificate_is_told_at_once(
        self, server: Server, stranger: Authority, mode: str
    ) -> None:
        query = f"?sslmode={mode}&sslrootcert={stranger.file}"
        await told(postgres_config(server.at("encrypted", query)), "certificate verify failed")

    async def test_the_same_of_a_database_of_django(
        self, server: Server, stranger: Authority, database: dict[str, Any]
    ) -> None:
        database["OPTIONS"] = {"sslmode": "verify-full", "sslrootcert": stranger.file}
        await told(database_config(), "certificate verify failed")

    async def test_a_certificate_for_another_name_is_told_at_once(self, server: Server) -> None:
        query = f"?sslmode=verify-full&sslrootcert={server.authority.file}"
        url = server.at("encrypted", query, host="127.0.0.1")
        await told(postgres_config(url), "not valid for '127.0.0.1'")

    async def test_the_name_does_not_matter_to_verify_ca(self, server: Server) -> None:
        query = f"?sslmode=verify-ca&sslrootcert={server.authority.file}"
        async with postgres_pool(server.at("encrypted", query, host="127.0.0.1")) as pool:
            assert (await pool.fetchrow(CONNECTION))["ssl"] is True

    async def test_a_server_without_tls_is_told_at_once(self, postgres_url: str) -> None:
        config = postgres_config(f"{postgres_url}?sslmode=require")
        await told(config, "rejected SSL upgrade")

    async def test_a_server_that_demands_tls_says_so_at_once(self, server: Server) -> None:
        url = server.at("encrypted", "?sslmode=disable")
        await told(postgres_config(url), "no pg_hba.conf entry .* no encryption")

    async def test_no_message_shows_the_password(
        self, server: Server, stranger: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        query = f"?sslmode=verify-full&sslrootcert={stranger.file}"
        config = postgres_config(server.at("encrypted", query))
        shown = await told(config, "certificate") + repr(config) + caplog.text
        assert PASSWORD not in shown
        assert quote(PASSWORD, safe="") not in shown


class TestClientCertificates:
    def client(self, server: Server, name: str, authority: Authority | None = None) -> PoolConfig:
        """A pool's configuration for the role ``certified``, with the certificate of ``name``."""
        file, key, _ = (authority or server.authority).sign(name)
        query = (
            f"?sslmode=verify-full&sslrootcert={server.authority.file}&sslcert={file}&sslkey={key}"
        )
        return postgres_config(server.at("certified", query))

    async def test_the_roles_own_is_accepted(self, server: Server) -> None:
        async with pool_of(self.client(server, "certified")) as pool:
            assert "CN=certif" in (await pool.fetchrow(CONNECTION))["client_dn"]

    async def test_a_context_may_hold_it(self, server: Server) -> None:
        file, key, _ = server.authority.sign("certified")
        context = ssl.create_default_context(cafile=server.authority.file)
        context.load_cert_chain(file, key)
        async with postgres_pool(server.at("certified"), options={"ssl": context}) as pool:
            assert "CN=certif" in (await pool.fetchrow(CONNECTION))["client_dn"]

    async def test_a_database_of_django_may_name_it(
        self, server: Server, database: dict[str, Any]
    ) -> None:
        file, key, _ = server.authority.sign("certified")
        database["USER"] = "certified"
        database["OPTIONS"] = {
            "sslmode": "verify-full",
            "sslrootcert": server.authority.file,
            "sslcert": file,
            "sslkey": key,
        }
        async with pool_of(database_config()) as pool:
            assert "CN=certif" in (await pool.fetchrow(CONNECTION))["client_dn"]

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("sslcert=/none.pem&sslkey={key}", r"no file '/none\.pem' \(sslcert\)"),
            ("sslcert={file}&sslkey=/none.key", r"no file '/none\.key' \(sslkey\)"),
            ("sslcert={file}&sslkey={other}", "key values mismatch"),
        ],
    )
    async def test_files_that_do_not_fit_are_told_at_once(
        self, server: Server, fault: str, message: str
    ) -> None:
        file, key, _ = server.authority.sign("certified")
        _, other, _ = server.authority.sign("other")
        files = fault.format(file=file, key=key, other=other)
        await told(postgres_config(server.at("certified", f"?sslmode=require&{files}")), message)

    async def test_none_is_told_at_once(self, server: Server) -> None:
        query = f"?sslmode=verify-full&sslrootcert={server.authority.file}"
        config = postgres_config(server.at("certified", query))
        await told(config, "requires a valid client certificate")

    async def test_another_roles_is_told_at_once(self, server: Server) -> None:
        config = self.client(server, "encrypted")
        await told(config, 'authentication failed for user "certified"')

    async def test_one_that_the_server_does_not_trust_is_told_at_once(
        self, server: Server, tmp_path: Path
    ) -> None:
        config = self.client(server, "certified", Authority(tmp_path, "stranger"))
        await told(config, "unknown ca")
