"""Where a PostgreSQL pool connects to, as whom, and what it says when it can't."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from poolapp import BackendUnavailable, pools
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.real import Proxy, eventually, heard, postgres_config, postgres_pool, sessions
from tests.servers import SESSION, PostgresServer


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def moved(url: str, hosts: str, query: str = "", name: str = "postgres") -> str:
    """The same user at other hosts."""
    user = urlsplit(url).netloc.rpartition("@")[0]
    return f"postgresql://{user}@{hosts}/{name}{query}"


@pytest.fixture
async def role(pg_admin: Any) -> Any:
    """A role whose password has every character that means something in a URL."""
    name, password = "o'brien@home", "p@ss/w#rd:1%2?x=&y"
    quoted = '"' + name.replace('"', '""') + '"'
    secret = password.replace("'", "''")
    with contextlib.suppress(asyncpg.UndefinedObjectError):
        await pg_admin.execute(f"DROP ROLE {quoted}")
    await pg_admin.execute(f"CREATE ROLE {quoted} LOGIN PASSWORD '{secret}'")
    yield name, password
    await pg_admin.execute(f"DROP ROLE {quoted}")


class TestWhere:
    async def test_both_names_of_the_scheme_connect(self, postgres_url: str) -> None:
        for scheme in ("postgres", "postgresql"):
            url = postgres_url.replace("postgresql://", f"{scheme}://")
            async with postgres_pool(url) as pool:
                assert await pool.fetchval("SELECT 1") == 1

    async def test_a_user_and_a_password_with_special_characters(
        self, postgres_url: str, role: tuple[str, str]
    ) -> None:
        host, port = address(postgres_url)
        name, password = (quote(part, safe="") for part in role)
        async with postgres_pool(f"postgresql://{name}:{password}@{host}:{port}/postgres") as pool:
            assert await pool.fetchval("SELECT current_user") == role[0]

    async def test_a_database_whose_name_needs_encoding(
        self, postgres_url: str, pg_admin: Any
    ) -> None:
        await pg_admin.execute('DROP DATABASE IF EXISTS "a b/c"')
        await pg_admin.execute('CREATE DATABASE "a b/c"')
        try:
            hosts = urlsplit(postgres_url).netloc.rpartition("@")[2]
            async with postgres_pool(moved(postgres_url, hosts, name="a%20b%2Fc")) as pool:
                assert await pool.fetchval("SELECT current_database()") == "a b/c"
        finally:
            await pg_admin.execute('DROP DATABASE "a b/c" WITH (FORCE)')

    async def test_a_host_that_refuses_gives_way_to_the_next(self, postgres_url: str) -> None:
        host, port = address(postgres_url)
        url = moved(postgres_url, f"127.0.0.1:{free_port()},{host}:{port}")
        async with postgres_pool(url) as pool:
            assert await pool.fetchval("SELECT inet_server_port()") == port

    async def test_a_silent_host_leaves_time_for_the_next(self, postgres_url: str) -> None:
        host, port = address(postgres_url)
        async with Proxy(host, port) as silent:
            silent.fall_silent()
            url = moved(postgres_url, f"127.0.0.1:{silent.port},{host}:{port}")
            async with postgres_pool(url, connect_timeout=2.0) as pool:
                assert await pool.fetchval("SELECT inet_server_port()") == port

    async def test_hosts_and_ports_may_stand_in_the_query(self, postgres_url: str) -> None:
        host, port = address(postgres_url)
        query = f"?host=127.0.0.1,{host}&port={free_port()},{port}"
        async with postgres_pool(moved(postgres_url, "", query)) as pool:
            assert await pool.fetchval("SELECT inet_server_port()") == port


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


class TestUnixSocket:
    @pytest.fixture
    def socket_url(
        self, request: pytest.FixtureRequest, socket_folder: Path
    ) -> Iterator[tuple[str, str]]:
        session = request.config.stash[SESSION]
        server = session.postgres(
            f"socket-{os.getpid()}", {"unix_socket_directories": socket_folder}
        )
        user = urlsplit(server.url).netloc.rpartition("@")[0]
        yield user, str(address(server.url)[1])
        server.discard()

    async def test_its_folder_is_given_as_host(
        self, socket_url: tuple[str, str], socket_folder: Path
    ) -> None:
        user, port = socket_url
        for url in (
            f"postgresql://{user}@/postgres?host={socket_folder}&port={port}",
            f"postgresql://{user}@{quote(str(socket_folder), safe='')}:{port}/postgres",
        ):
            async with postgres_pool(url) as pool:
                assert await pool.fetchval("SELECT inet_server_port()") is None


READ_ONLY = pytest.mark.parametrize(
    "postgres_server", [{"default_transaction_read_only": "on"}], indirect=True
)


class TestRoles:
    @READ_ONLY
    async def test_the_host_with_the_wanted_role_is_chosen(
        self, postgres_url: str, postgres_server: PostgresServer, pg_admin: Any
    ) -> None:
        secret = urlsplit(postgres_url).password
        admin = await asyncpg.connect(postgres_server.url)
        await admin.execute(f"BEGIN READ WRITE; ALTER ROLE postgres PASSWORD '{secret}'; COMMIT")
        await admin.close()
        writable, readable = address(postgres_url), address(postgres_server.url)
        both = f"{readable[0]}:{readable[1]},{writable[0]}:{writable[1]}"
        for wanted, port in (
            ("any", readable[1]),
            ("read-write", writable[1]),
            ("read-only", readable[1]),
            ("primary", readable[1]),
            ("prefer-standby", readable[1]),
        ):
            url = moved(postgres_url, both, f"?target_session_attrs={wanted}")
            async with postgres_pool(url) as pool:
                assert await pool.fetchval("SELECT inet_server_port()") == port, wanted

    async def test_no_host_with_the_wanted_role_is_an_outage_that_says_so(
        self, postgres_url: str
    ) -> None:
        options = {"target_session_attrs": "standby"}
        settings = {"options": options, "acquire_timeout": 1.0, "breaker": None}
        async with postgres_pool(postgres_url, **settings) as pool:
            with pytest.raises(TimeoutError, match="match the target attribute"):
                await pool.fetchval("SELECT 1")


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    @pytest.mark.parametrize(
        "query", ["sslmode=require", "sslmode=verify-full&sslrootcert={ca}", "sslmode=prefer"]
    )
    async def test_the_url_says_how_much_is_verified(
        self, postgres_url: str, authority: Authority, query: str
    ) -> None:
        context = authority.server_context()
        async with Proxy(*address(postgres_url), tls=context, postgres=True) as proxy:
            url = moved(
                postgres_url, f"127.0.0.1:{proxy.port}", "?" + query.format(ca=authority.file)
            )
            async with postgres_pool(url) as pool, pool.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
                assert connection._transport.get_extra_info("ssl_object") is not None

    @pytest.mark.parametrize("fault", ["unknown authority", "another name"])
    async def test_a_certificate_that_is_not_trusted_is_told_at_once(
        self, postgres_url: str, authority: Authority, tmp_path: Path, fault: str
    ) -> None:
        if fault == "another name":
            context, trusted = authority.server_context("other", "db.example.com"), authority
        else:
            context, trusted = authority.server_context(), Authority(tmp_path, "stranger")
        async with Proxy(*address(postgres_url), tls=context, postgres=True) as proxy:
            query = f"?sslmode=verify-full&sslrootcert={trusted.file}"
            url = moved(postgres_url, f"127.0.0.1:{proxy.port}", query)
            async with postgres_pool(url, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                    await pool.fetchval("SELECT 1")

    async def test_a_root_certificate_that_is_not_there_is_told_at_once(
        self, postgres_url: str, tmp_path: Path
    ) -> None:
        hosts = urlsplit(postgres_url).netloc.rpartition("@")[2]
        query = f"?sslmode=verify-full&sslrootcert={tmp_path}/none.pem"
        async with postgres_pool(moved(postgres_url, hosts, query), acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match=r"No such file|does not exist"):
                await pool.fetchval("SELECT 1")


async def init_dotted(connection: Any) -> None:
    await connection.execute("SET extra_float_digits = 0")


class TestWhatAConnectionIsGiven:
    async def test_its_name_tells_alias_and_process(self, postgres_url: str) -> None:
        async with postgres_pool(postgres_url, alias="named") as pool:
            shown = await pool.fetchval("SELECT current_setting('application_name')")
            assert shown == f"poolapp:named:{os.getpid()}"

    async def test_a_name_of_the_users_own_is_kept(self, postgres_url: str) -> None:
        name = "SELECT current_setting('application_name')"
        async with postgres_pool(f"{postgres_url}?application_name=mine") as pool:
            assert await pool.fetchval(name) == "mine"
        options = {"server_settings": {"application_name": "ours", "jit": "off"}}
        async with postgres_pool(postgres_url, options=options) as pool:
            assert await pool.fetchval(name) == "ours"
            assert await pool.fetchval("SELECT current_setting('jit')") == "off"

    async def test_the_drivers_options_arrive_untouched(self, postgres_url: str) -> None:
        class Row(asyncpg.Record):
            pass

        options = {"command_timeout": 0.5, "statement_cache_size": 0, "record_class": Row}
        async with postgres_pool(postgres_url, options=options) as pool:
            assert type(await pool.fetchrow("SELECT 1")) is Row
            with pytest.raises(TimeoutError):
                await pool.execute("SELECT pg_sleep(60)")
            async with pool.acquire() as connection:
                await connection.fetchval("SELECT 4711")
                kept = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
            assert kept == 0

    async def test_a_password_that_is_a_function_is_asked_at_each_connect(
        self, postgres_url: str
    ) -> None:
        password, asked = urlsplit(postgres_url).password, []

        async def current() -> str | None:
            asked.append(1)
            return password

        url = postgres_url.replace(f":{password}@", "@")
        options = {"password": current}
        async with postgres_pool(url, options=options) as pool, pool.acquire(), pool.acquire():
            assert len(asked) == 2

    async def test_init_sees_each_new_connection_before_anybody_else(
        self, postgres_url: str
    ) -> None:
        async def init(connection: Any) -> None:
            await connection.set_type_codec(
                "json", schema="pg_catalog", encoder=str, decoder=lambda text: f"<{text}>"
            )

        async with postgres_pool(postgres_url, options={"init": init}) as pool:
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT '{}'::json") == "<{}>"
            assert await pool.fetchval("SELECT '{}'::json") == "<{}>"

    async def test_init_may_be_a_dotted_path(self, postgres_url: str) -> None:
        options = {"init": f"{__name__}.init_dotted"}
        async with postgres_pool(postgres_url, options=options) as pool:
            assert await pool.fetchval("SELECT current_setting('extra_float_digits')") == "0"

    async def test_an_init_that_fails_leaves_no_connection_behind(
        self, postgres_url: str, pg_admin: Any
    ) -> None:
        async def init(connection: Any) -> None:
            raise ValueError("no such codec")

        async with postgres_pool(postgres_url, alias="initless", options={"init": init}) as pool:
            with pytest.raises(BackendUnavailable, match="no such codec"):
                await pool.fetchval("SELECT 1")

            async def gone() -> bool:
                return not await sessions(pg_admin, "poolapp:initless:%")

            await eventually(gone)


class TestRefusals:
    """What needs a human is told to those who wait, not after their whole timeout."""

    async def test_a_wrong_password(self, postgres_url: str) -> None:
        password = urlsplit(postgres_url).password
        url = postgres_url.replace(f":{password}@", ":wr0ng-secret@")
        async with postgres_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="password authentication failed") as info:
                await pool.fetchval("SELECT 1")
        assert "wr0ng-secret" not in str(info.value)

    async def test_an_unknown_role(self, postgres_url: str) -> None:
        host, port = address(postgres_url)
        url = f"postgresql://nobody_here:x@{host}:{port}/postgres"
        async with postgres_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="nobody_here"):
                await pool.fetchval("SELECT 1")

    async def test_an_unknown_database(self, postgres_url: str) -> None:
        hosts = urlsplit(postgres_url).netloc.rpartition("@")[2]
        url = moved(postgres_url, hosts, name="not_there")
        async with postgres_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match='database "not_there" does not exist'):
                await pool.fetchval("SELECT 1")

    async def test_a_server_that_is_not_there_is_waited_for(self, postgres_url: str) -> None:
        url = moved(postgres_url, f"127.0.0.1:{free_port()}")
        config = postgres_config(url, acquire_timeout=1.0, breaker=None)
        pools.register(config.alias, config)
        with heard(config.alias) as events, pytest.raises(TimeoutError, match=r"refused|Connect"):
            await pools[config.alias].fetchval("SELECT 1")
        assert len(events.connect_errors) > 1
        await pools.remove(config.alias)


async def test_the_server_tells_its_version_and_its_limits(postgres_url: str) -> None:
    async with postgres_pool(postgres_url) as pool, pool.acquire() as connection:
        info = await pool.backend.server_info(connection)
    assert info["version"].split(".")[0].isdigit()
    assert info["max_connections"] >= 5
    assert info["superuser_reserved_connections"] >= 0
    assert info["in_recovery"] is False
