"""How a Redis pool reaches its server, signs in, and what it says when it can't."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from redis.credentials import UsernamePasswordCredentialProvider

from poolapp import BackendUnavailable, pools
from poolapp.backends.redis import RedisBackend
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.real import Proxy, heard
from tests.valkey import Valkey, redis_config, redis_pool

PASSWORD = "p@ss/w#rd:1%2"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


class TestPlaces:
    async def test_a_value_goes_in_and_comes_out(self, redis_url: str) -> None:
        async with redis_pool(redis_url) as pool, pool.acquire() as client:
            await client.set("pooled", "one", ex=60)
            assert await client.get("pooled") == b"one"
            await client.delete("pooled")

    async def test_the_database_stands_in_the_path_or_in_the_query(self, server: Valkey) -> None:
        for tail in ("3", "?db=3"):
            url = f"redis://127.0.0.1:{server.port}/{tail}"
            async with redis_pool(url) as pool, pool.acquire() as client:
                assert (await client.client_info())["db"] == 3

    async def test_by_a_socket_file(self, tmp_path: Path) -> None:
        path = tmp_path / "valkey@%.sock"
        async with Valkey(tmp_path, f'unixsocket "{path}"') as server:
            url = f"unix://{quote(str(path))}?db=2"
            async with redis_pool(url, max_size=3) as pool:
                assert await pool.execute("SET", "there", "1") is True
                assert pool.stats().sockets.open == 1
                assert {each["db"] for each in await server.clients(pool.alias)} == {"2"}

    async def test_who_is_connected_is_told_to_the_server(self, server: Valkey) -> None:
        async with redis_pool(server.url, alias="the 'shop'") as pool:
            await pool.ping()
            names = [each["name"] for each in await server.admin.client_list()]
            assert any(name.startswith("poolapp:the_'shop':") for name in names)

    async def test_parameters_of_the_url_and_options_reach_the_connections(
        self, server: Valkey
    ) -> None:
        options = {"decode_responses": True, "client_name": "me", "socket_connect_timeout": 2.5}
        url = f"{server.url}?socket_timeout=0.7&health_check_interval=9&protocol=3"
        async with redis_pool(url, options=options) as pool:
            await pool.execute("SET", "k", "text")
            assert await pool.execute("GET", "k") == "text"
            async with pool.acquire() as client:
                arguments = client.get_connection_kwargs()
                assert (await client.client_info())["name"] == "me"
        expected = {
            "socket_timeout": 0.7,
            "health_check_interval": 9,
            "socket_connect_timeout": 2.5,
            "socket_keepalive": True,
        }
        assert expected.items() <= arguments.items()
        assert int(arguments["protocol"]) == 3

    async def test_connect_timeout_bounds_every_connect_of_the_driver(self, server: Valkey) -> None:
        async with redis_pool(server.url, connect_timeout=3.5) as pool, pool.acquire() as client:
            assert client.get_connection_kwargs()["socket_connect_timeout"] == 3.5


class TestSigningIn:
    @pytest.fixture
    async def locked(self, tmp_path: Path) -> AsyncIterator[Valkey]:
        user = f'user ann on ">{PASSWORD}" ~* &* +@all'
        async with Valkey(tmp_path, user, password=PASSWORD) as server:
            yield server

    @pytest.mark.parametrize("user", ["", "ann"])
    @pytest.mark.parametrize("written", [PASSWORD, quote(PASSWORD, safe="")])
    async def test_with_a_password_that_holds_all_that_urls_are_made_of(
        self, locked: Valkey, user: str, written: str
    ) -> None:
        url = f"redis://{user}:{written}@127.0.0.1:{locked.port}/0"
        async with redis_pool(url) as pool:
            assert await pool.execute("ACL", "WHOAMI") == (user or "default").encode()

    @pytest.mark.parametrize(
        "options",
        [
            {"username": "ann", "password": PASSWORD},
            {"credential_provider": UsernamePasswordCredentialProvider("ann", PASSWORD)},
        ],
        ids=["password", "provider"],
    )
    async def test_with_options(self, locked: Valkey, options: Any) -> None:
        async with redis_pool(locked.url, options=options) as pool:
            assert await pool.execute("ACL", "WHOAMI") == b"ann"

    @pytest.mark.parametrize("credentials", [":wr0ng-secret@", "nobody:wr0ng-secret@", ""])
    async def test_a_wrong_password_or_none_is_told_at_once_and_not_shown(
        self, locked: Valkey, credentials: str
    ) -> None:
        url = f"redis://{credentials}127.0.0.1:{locked.port}/0"
        async with redis_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="Authentication") as info:
                await pool.execute("GET", "k")
            assert "wr0ng-secret" not in f"{info.value}{pool.config!r}{pool!r}{pool.stats()}"

    async def test_two_aliases_that_differ_in_the_password_are_two_pools(
        self, locked: Valkey
    ) -> None:
        """Scenario 37: a wrong password never gets another alias's connection."""
        right = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{locked.port}/0"
        wrong = f"redis://:wrong@127.0.0.1:{locked.port}/0"
        async with redis_pool(right) as one, redis_pool(wrong) as other:
            assert await one.execute("PING")
            with pytest.raises(BackendUnavailable):
                await other.execute("PING")
            assert (one.size, other.size) == (1, 0)

    async def test_two_aliases_that_differ_in_the_database_are_two_pools(
        self, server: Valkey
    ) -> None:
        async with redis_pool(server.url) as one, redis_pool(server.url[:-1] + "1") as other:
            await one.execute("SET", "k", "in 0")
            assert await other.execute("GET", "k") is None

    async def test_a_user_who_may_only_use_some_keys_connects(self, locked: Valkey) -> None:
        await locked.admin.execute_command(
            "ACL", "SETUSER", "small", "on", ">s", "~mine:*", "+get", "+set", "+ping",
            "+client|setname", "+client|setinfo", "+hello",
        )  # fmt: skip
        async with redis_pool(f"redis://small:s@127.0.0.1:{locked.port}/0") as pool:
            assert await pool.execute("SET", "mine:1", "x") is True
            with pytest.raises(redis.exceptions.NoPermissionError):
                await pool.execute("SET", "yours", "x")
            async with pool.acquire() as client:
                assert await pool.backend.server_info(client) == {}
            assert pool.stats().lost == 0


class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path)

    async def test_with_an_authority_of_ones_own(
        self, server: Valkey, authority: Authority
    ) -> None:
        async with Proxy("127.0.0.1", server.port, tls=authority.server_context()) as proxy:
            options = {"ssl_ca_certs": str(authority.file)}
            url = f"rediss://127.0.0.1:{proxy.port}/1"
            async with redis_pool(url, options=options, max_size=4) as pool:
                assert await pool.execute("SET", "k", "v") is True
                leases = [await pool.acquire() for _ in range(4)]
                await asyncio.gather(*(lease.connection.ping() for lease in leases))
                contexts = {
                    id(each.ssl_context) for each in leases[0].connection.registers[0].open()
                }
                for lease in leases:
                    lease.release()
                assert len(contexts) == 1, "authorities are loaded once, not for each connection"
                async with pool.subscribe("news") as messages:
                    await pool.publish("news", "x")
                    assert (await anext(messages)).data == b"x"

    async def test_verification_is_on_by_default(
        self, server: Valkey, authority: Authority
    ) -> None:
        async with Proxy("127.0.0.1", server.port, tls=authority.server_context()) as proxy:
            url = f"rediss://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                    await pool.acquire()

    async def test_a_certificate_of_another_host_is_refused(
        self, server: Valkey, authority: Authority
    ) -> None:
        context = authority.server_context("other", "example.com")
        async with Proxy("127.0.0.1", server.port, tls=context) as proxy:
            options = {"ssl_ca_certs": str(authority.file)}
            url = f"rediss://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, options=options, acquire_timeout=60) as pool:
                with pytest.raises(BackendUnavailable, match="certificate verify failed"):
                    await pool.acquire()

    async def test_verification_may_be_turned_off(
        self, server: Valkey, authority: Authority
    ) -> None:
        async with Proxy("127.0.0.1", server.port, tls=authority.server_context()) as proxy:
            options = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
            async with redis_pool(f"rediss://127.0.0.1:{proxy.port}/0", options=options) as pool:
                assert await pool.ping() > 0

    async def test_a_client_certificate(self, server: Valkey, authority: Authority) -> None:
        context = authority.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.file)
        file, key, _ = authority.sign("client")
        options = {
            "ssl_ca_certs": str(authority.file),
            "ssl_certfile": str(file),
            "ssl_keyfile": str(key),
        }
        async with Proxy("127.0.0.1", server.port, tls=context) as proxy:
            url = f"rediss://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, options=options) as pool:
                assert await pool.ping() > 0

    async def test_a_certificate_file_that_is_not_there_is_told_at_once(self) -> None:
        options = {"ssl_ca_certs": "/nowhere/ca.pem"}
        url = f"rediss://127.0.0.1:{free_port()}/0"
        async with redis_pool(url, options=options, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="FileNotFoundError"):
                await pool.acquire()


class TestRefusals:
    async def test_a_database_that_is_not_there_is_told_at_once(self, server: Valkey) -> None:
        url = f"redis://127.0.0.1:{server.port}/99"
        async with redis_pool(url, acquire_timeout=60) as pool:
            with pytest.raises(BackendUnavailable, match="index is out of range"):
                await pool.acquire()

    async def test_a_server_that_is_not_there_is_waited_for(self) -> None:
        url = f"redis://127.0.0.1:{free_port()}/0"
        async with redis_pool(url, acquire_timeout=2.0, breaker=None) as pool:
            with heard(pool.alias) as events, pytest.raises(TimeoutError, match="ConnectionError"):
                await pool.acquire()
            assert len(events.connect_errors) > 1

    async def test_a_server_that_is_full_is_waited_for(self, tmp_path: Path) -> None:
        async with Valkey(tmp_path, "maxclients 2") as server:
            _, other = await asyncio.open_connection("127.0.0.1", server.port)
            async with redis_pool(server.url, acquire_timeout=0.4, breaker=None) as pool:
                with pytest.raises(TimeoutError, match="max number of clients"):
                    await pool.acquire()
                other.close()
                await other.wait_closed()
                async with pool.acquire(timeout=10) as client:
                    assert await client.ping()


async def test_fifty_first_acquires_make_one_client(server: Valkey) -> None:
    """Scenario 16: 50 concurrent first acquires make one client."""
    config = redis_config(server.url, max_size=50)
    pools.register(config.alias, config)

    async def first() -> Any:
        async with pools[config.alias].acquire() as client:
            return client

    clients = await asyncio.gather(*(first() for _ in range(50)))
    assert len(set(map(id, clients))) == 1
    assert len(await server.clients(config.alias)) == 1
    await pools.remove(config.alias)


async def test_a_connect_that_is_cancelled_leaves_nothing_open(server: Valkey) -> None:
    backend = RedisBackend(redis_config(server.url))
    await backend.close(await backend.connect())
    for turns in range(25):
        task = asyncio.create_task(backend.connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        client = (await asyncio.gather(task, return_exceptions=True))[0]
        if not isinstance(client, BaseException):
            await backend.close(client)
    del client, task
    gc.collect()


async def test_a_socket_keeps_no_context_of_the_borrower_who_opened_it(server: Valkey) -> None:
    request: ContextVar[str] = ContextVar("request")

    async def borrow(pool: Any) -> None:
        request.set("of the borrower")
        async with pool.acquire() as client:
            await asyncio.gather(*(client.ping() for _ in range(3)))

    async with redis_pool(server.url, max_size=3) as pool:
        await asyncio.create_task(borrow(pool))
        assert pool.stats().sockets.open == 3
        loop: Any = asyncio.get_running_loop()
        watched = [key.data[0] for key in loop._selector.get_map().values() if key.data[0]]
        assert len(watched) >= 3
        assert not [handle for handle in watched if request in handle._context]
