"""Connections that break, servers that go away, holders that leave a mess: on real servers."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from poolapp.devservices.ports import free_port
from tests.fronts import Front
from tests.real import (
    Proxy,
    elasticsearch_config,
    elasticsearch_pool,
    eventually,
    heard,
    kill_sessions,
    pool_of,
    postgres_config,
    postgres_pool,
    sessions,
)
from tests.servers import PostgresServer


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def through(proxy: Proxy, url: str) -> str:
    host, port = address(url)
    return url.replace(f"{host}:{port}", f"127.0.0.1:{proxy.port}")


async def all_can_be_held(pool: Any) -> None:
    """Every slot is there, and works."""
    leases = [await pool.acquire(timeout=30) for _ in range(pool.config.max_size)]
    if pool.backend.shared:
        assert all([await lease.connection.ping() for lease in leases])
    else:
        for lease in leases:
            assert await lease.connection.fetchval("SELECT 1") == 1
    for lease in leases:
        lease.release()


class Load:
    """Tasks that ask again and again until the block ends, and what they were answered."""

    def __init__(self, ask: Any, tasks: int) -> None:
        self._ask = ask
        self._count = tasks
        self.answers = 0
        self.errors: list[Exception] = []
        self._over = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self) -> None:
        while not self._over:
            try:
                await self._ask()
                self.answers += 1
            except Exception as error:  # noqa: BLE001, RUF100 - the test looks at them
                self.errors.append(error)
                await asyncio.sleep(0.001)
            self._changed.set()

    async def until(self, *, answers: int = 0, errors: int = 0) -> None:
        """Wait for so many more of each."""
        answers, errors = self.answers + answers, len(self.errors) + errors
        while self.answers < answers or len(self.errors) < errors:
            self._changed.clear()
            await self._changed.wait()


# -- the server's own limit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "postgres_server", [{"max_connections": 5, "superuser_reserved_connections": 0}], indirect=True
)
async def test_a_server_that_allows_fewer_than_max_size_is_used_as_far_as_it_goes(
    postgres_server: PostgresServer,
) -> None:
    """Scenario 14: the server's limit lies below MAX_SIZE: no error to the caller while any
    connection lives."""
    async with postgres_pool(postgres_server.url, max_size=20, acquire_timeout=60) as pool:
        with heard(pool.alias) as events:
            await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.01)") for _ in range(200)))
        stats = pool.stats()
        assert 1 <= stats.connected <= 5
        assert stats.refused == stats.timed_out == 0
        assert not stats.breaker_open
        assert any("TooManyConnectionsError" in error for error in events.connect_errors)


# -- first acquires --------------------------------------------------------------------------------


async def test_fifty_first_acquires_make_one_elasticsearch_client() -> None:
    """Scenario 16: 50 concurrent first acquires make one client."""
    async with Front() as front:
        config = elasticsearch_config(front.url, max_size=50)
        pools.register(config.alias, config)

        async def first() -> Any:
            async with pools[config.alias].acquire() as es:
                return es

        clients = await asyncio.gather(*(first() for _ in range(50)))
        assert len(set(map(id, clients))) == 1
        assert [request.method for request in front.requests] == ["HEAD"]
        await pools.remove(config.alias)


async def test_fifty_first_acquires_make_one_postgresql_pool(
    postgres_url: str, pg_admin: Any
) -> None:
    """Scenario 16: 50 concurrent first acquires make one pool, of MAX_SIZE connections at most."""
    config = postgres_config(postgres_url, alias="first", max_size=5)
    pools.register(config.alias, config)

    async def first() -> Any:
        pool = pools["first"]
        await pool.fetchval("SELECT pg_sleep(0.01)")
        return pool

    found = await asyncio.gather(*(first() for _ in range(50)))
    assert len(set(map(id, found))) == 1
    assert len(await sessions(pg_admin, "poolapp:first:%")) <= 5
    await pools.remove("first")


# -- killed connections ----------------------------------------------------------------------------


class TestPostgresKilled:
    @pytest.fixture
    async def pool(self, postgres_url: str) -> AsyncIterator[Any]:
        async with postgres_pool(postgres_url, alias="killed", max_size=10) as pool:
            yield pool

    async def warm(self, pool: Any) -> None:
        leases = [await pool.acquire() for _ in range(10)]
        for lease in leases:
            lease.release()
        await all_can_be_held(pool)

    async def test_nobody_notices_that_all_idle_ones_were_killed(
        self, pool: Any, pg_admin: Any
    ) -> None:
        """Scenario 18: all idle killed: zero errors to callers."""
        await self.warm(pool)
        with heard("killed") as events:
            assert await kill_sessions(pg_admin, "poolapp:killed:%") == 10
            await events.until(lambda: events.lost_count == 10)
        assert pool.size == 0
        answers = await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(100)))
        assert answers == [1] * 100
        assert pool.stats().connect_failed == 0

    async def test_one_that_dies_while_idle_unnoticed_is_replaced_before_it_is_lent(
        self, postgres_url: str
    ) -> None:
        """Scenario 18: dead idle connections whose end nobody saw are found by the check."""
        async with Proxy(*address(postgres_url)) as proxy:
            settings = {"max_size": 3, "check_after": 0.0, "check_timeout": 0.2}
            async with postgres_pool(through(proxy, postgres_url), **settings) as pool:
                await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.01)") for _ in range(9)))
                proxy.forget()
                answers = await asyncio.gather(*(pool.fetchval("SELECT 1") for _ in range(20)))
                assert answers == [1] * 20
                assert pool.stats().lost >= 3

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(
        self, pool: Any, pg_admin: Any
    ) -> None:
        """Scenario 19: killed while borrowed: the error reaches the holder, the slot comes back."""
        await self.warm(pool)

        async def hold() -> None:
            async with pool.acquire() as connection:
                held.release()
                await connection.execute("SELECT pg_sleep(60)")

        held = asyncio.Semaphore(0)
        holders = [asyncio.create_task(hold()) for _ in range(10)]
        for _ in holders:
            await held.acquire()

        async def all_sleep() -> bool:
            count = await pg_admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                " AND application_name LIKE 'poolapp:killed:%'"
            )
            return bool(count == 10)

        await eventually(all_sleep)
        await kill_sessions(pg_admin, "poolapp:killed:%")
        errors = await asyncio.gather(*holders, return_exceptions=True)
        assert all(isinstance(error, asyncpg.PostgresConnectionError) for error in errors)
        assert pool.in_use == 0
        assert pool.stats().lost == 10
        await all_can_be_held(pool)

    async def test_one_killed_while_its_holder_does_something_else(
        self, pool: Any, pg_admin: Any
    ) -> None:
        """Scenario 19: a connection that dies while its holder is not looking is not lent again."""
        lease = await pool.acquire()
        with heard("killed") as events:
            await kill_sessions(pg_admin, "poolapp:killed:%")
            await events.until(lambda: events.lost_count == 1)
            with pytest.raises(asyncpg.InterfaceError, match="closed"):
                await lease.connection.fetchval("SELECT 1")
            lease.release()
            assert events.lost_count == 1
        await all_can_be_held(pool)


class TestElasticsearchKilled:
    @pytest.fixture
    def url(self, server_urls: dict[str, str]) -> str:
        return server_urls["elasticsearch"]

    async def test_nobody_notices_that_all_idle_sockets_were_killed(self, url: str) -> None:
        """Scenario 18, Elasticsearch: the client's idle sockets die: zero errors to callers."""
        async with Proxy(*address(url)) as proxy:
            async with elasticsearch_pool(through(proxy, url), max_size=10) as pool:

                async def ask() -> None:
                    async with pool.acquire() as es:
                        await es.info()

                await asyncio.gather(*(ask() for _ in range(10)))
                proxy.drop()
                await asyncio.gather(*(ask() for _ in range(50)))
            assert proxy.accepted > 1

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(self) -> None:
        """Scenario 19, Elasticsearch: requests cut while under way fail in their holders' hands."""
        async with Front() as front, Proxy("127.0.0.1", front.port) as proxy:
            settings = {"max_size": 4, "options": {"max_retries": 0, "request_timeout": 60}}
            async with elasticsearch_pool(f"http://127.0.0.1:{proxy.port}", **settings) as pool:

                async def ask() -> None:
                    async with pool.acquire() as es:
                        # A POST: the HTTP client repeats a GET whose connection breaks.
                        await es.search(index="a", query={"match_all": {}})

                await pool.ping()
                front.gate.clear()
                asking = [asyncio.create_task(ask()) for _ in range(4)]
                await front.until_inside(4)
                proxy.drop()
                errors = await asyncio.gather(*asking, return_exceptions=True)
                assert {type(error).__name__ for error in errors} == {"ConnectionError"}
                assert pool.in_use == 0
                front.gate.set()
                await all_can_be_held(pool)


# -- a server that goes and comes back -------------------------------------------------------------


async def test_a_postgresql_server_killed_under_load_and_started_again(
    postgres_server: PostgresServer,
) -> None:
    """Scenario 20: server restart (kill -9) under load: recovers, no permanent loss of slots, the
    reconnects are ramped."""
    settings = {"max_size": 8, "max_connecting": 4, "acquire_timeout": 10.0}
    async with postgres_pool(postgres_server.url, **settings) as pool:
        connecting: list[int] = []

        async def ask() -> None:
            assert await pool.fetchval("SELECT 1") == 1

        with heard(pool.alias) as events:
            async with Load(ask, tasks=40) as load:
                await load.until(answers=200)
                assert not load.errors
                postgres_server.kill()
                await load.until(errors=300)
                failed = len(events.connect_errors)
                events.on_connect = lambda: connecting.append(pool.stats().connecting)
                await asyncio.to_thread(postgres_server.restart)
                await load.until(answers=400)
            assert all(isinstance(error, PoolError) for error in load.errors)
            assert any(isinstance(error, BackendUnavailable) for error in load.errors)
            # Hundreds were refused, and yet the dead server was asked a few times only.
            assert failed < 30
            # One connect first, then two, then as many as may be: counted as each ends.
            assert connecting[0] == 0
            assert all(count < 4 for count in connecting)
        await all_can_be_held(pool)
        assert pool.budget.used == pool.size <= 8


async def test_an_elasticsearch_server_killed_under_load_and_started_again(
    server_urls: dict[str, str], services: Any
) -> None:
    """Scenario 20, Elasticsearch: recovers, no permanent loss of slots."""
    options = {"max_retries": 0, "request_timeout": 5}
    settings = {"max_size": 8, "acquire_timeout": 10.0, "options": options}
    async with elasticsearch_pool(server_urls["elasticsearch"], **settings) as pool:

        async def ask() -> None:
            async with pool.acquire() as es:
                await es.info()

        with heard(pool.alias) as events:
            async with Load(ask, tasks=20) as load:
                await load.until(answers=50)
                assert not load.errors
                await asyncio.to_thread(services.kill, "elasticsearch")
                await load.until(errors=200)
                assert len(events.connect_errors) < 30
                await asyncio.to_thread(services.restart, "elasticsearch")
                await load.until(answers=100)
        names = {type(error).__name__ for error in load.errors}
        assert names <= {"ConnectionError", "BackendUnavailable", "CircuitOpen", "PoolTimeout"}
        await all_can_be_held(pool)
        assert pool.in_use == 0


class TestReadOnly:
    """Scenario 21: the primary becomes read-only: the connection is retired on 25006."""

    async def turn(self, url: str, value: str) -> None:
        admin = await asyncpg.connect(url)
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()

    async def table(self, url: str) -> None:
        admin = await asyncpg.connect(url)
        await admin.execute("CREATE TABLE written (a int)")
        await admin.close()

    async def test_the_connection_is_retired_and_a_later_one_can_write(
        self, postgres_server: PostgresServer
    ) -> None:
        await self.table(postgres_server.url)
        async with postgres_pool(postgres_server.url, max_size=1) as pool:
            pids = set()

            async def refused() -> bool:
                pids.add(await pool.fetchval("SELECT pg_backend_pid()"))
                try:
                    await pool.execute("INSERT INTO written VALUES (1)")
                except asyncpg.ReadOnlySQLTransactionError:
                    return True
                return False

            await self.turn(postgres_server.url, "on")
            await eventually(refused)
            assert pool.stats().lost == 1
            await self.turn(postgres_server.url, "off")

            async def written() -> bool:
                return not await refused()

            await eventually(written)
            assert len(pids) > 1

    async def test_raw_leases_too(self, postgres_server: PostgresServer) -> None:
        await self.table(postgres_server.url)
        await self.turn(postgres_server.url, "on")
        async with postgres_pool(postgres_server.url, max_size=1) as pool:
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                async with pool.acquire() as connection:
                    await connection.execute("INSERT INTO written VALUES (1)")
            assert pool.stats().lost == 1

    async def test_of_two_hosts_the_other_takes_over(
        self, postgres_server: PostgresServer, postgres_url: str, pg_admin: Any
    ) -> None:
        password = urlsplit(postgres_url).password
        admin = await asyncpg.connect(postgres_server.url)
        await admin.execute(f"ALTER ROLE postgres PASSWORD '{password}'")
        await admin.close()
        here, there = address(postgres_server.url), address(postgres_url)
        hosts = f"{here[0]}:{here[1]},{there[0]}:{there[1]}"
        url = f"postgresql://postgres:{password}@{hosts}/postgres?target_session_attrs=read-write"
        first_only = url.replace(f",{there[0]}:{there[1]}", "")
        await pg_admin.execute("DROP TABLE IF EXISTS written")
        await pg_admin.execute("CREATE TABLE written (a int)")
        await self.table(first_only)
        async with postgres_pool(url, max_size=4, check_after=60) as pool:
            await all_can_be_held(pool)
            assert await pool.fetchval("SELECT inet_server_port()") == here[1]
            await self.turn(first_only, "on")

            async def refused() -> bool:
                try:
                    await pool.execute("INSERT INTO written VALUES (1)")
                except asyncpg.ReadOnlySQLTransactionError:
                    return True
                return False

            await eventually(refused)
            # The others are suspect now: none of them says "read-only" to anybody.
            for _ in range(8):
                await pool.execute("INSERT INTO written VALUES (2)")
            assert await pool.fetchval("SELECT inet_server_port()") == there[1]
        await pg_admin.execute("DROP TABLE written")


# -- silence ---------------------------------------------------------------------------------------


class TestSilence:
    async def test_a_check_that_hangs_ends_at_its_timeout(self, postgres_url: str) -> None:
        """Scenario 22: a check that hangs in a black-holed network ends at CHECK_TIMEOUT, and the
        borrower gets another connection."""
        async with Proxy(*address(postgres_url)) as proxy:
            settings = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.1}
            async with postgres_pool(through(proxy, postgres_url), **settings) as pool:
                first = await pool.fetchval("SELECT pg_backend_pid()")
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(pool.fetchval("SELECT pg_backend_pid()"))
                    await proxy.swallowed.wait()
                    await events.until(lambda: events.lost_count)
                    proxy.speak()
                    assert await asking != first
            assert pool.stats().timed_out == 0

    async def test_a_server_that_hangs_is_a_timeout_and_then_forgotten(
        self, postgres_server: PostgresServer
    ) -> None:
        """Scenario 22: a server that is frozen (SIGSTOP) gives PoolTimeout, and connections again
        as soon as it goes on."""
        settings = {"max_size": 2, "connect_timeout": 0.4, "acquire_timeout": 1.0, "breaker": None}
        async with postgres_pool(postgres_server.url, **settings) as pool:
            postgres_server.pause()
            with pytest.raises(PoolTimeout, match=r"TimeoutError: no answer within 0\.4 s"):
                await pool.fetchval("SELECT 1")
            postgres_server.resume()

            async def answered() -> Any:
                try:
                    return await pool.fetchval("SELECT 1")
                except PoolTimeout:
                    return None

            assert await eventually(answered) == 1
            await all_can_be_held(pool)

    async def test_an_elasticsearch_that_hangs_is_found_by_the_check(
        self, server_urls: dict[str, str]
    ) -> None:
        """Scenario 22, Elasticsearch: the client is replaced, and the borrower does not fail."""
        url = server_urls["elasticsearch"]
        async with Proxy(*address(url)) as proxy:
            settings = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.1}
            async with elasticsearch_pool(through(proxy, url), **settings) as pool:
                await pool.ping()
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(pool.ping())
                    await events.until(lambda: events.lost_count)
                    proxy.speak()
                    assert await asking > 0


# -- what a holder leaves --------------------------------------------------------------------------


class TestLeftovers:
    """Scenario 23: the next holder gets a clean connection."""

    @pytest.fixture
    async def pool(self, postgres_url: str) -> AsyncIterator[Any]:
        async with postgres_pool(postgres_url, alias="leftovers", max_size=1) as pool:
            yield pool

    async def assert_clean(self, pool: Any) -> None:
        async with pool.acquire() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT current_setting('work_mem')") != "77kB"
            assert await connection.fetch("SELECT pg_listening_channels()") == []
            async with connection.transaction():
                assert await connection.fetchval("SELECT 1") == 1
        assert pool.in_use == 0

    @pytest.mark.parametrize(
        "statements",
        [
            ["BEGIN"],
            ["BEGIN", "SELECT 1/0"],
            ["BEGIN", "SET LOCAL work_mem = '77kB'"],
            ["SET work_mem = '77kB'"],
            ["LISTEN news"],
            ["SELECT 1/0"],
        ],
        ids=" ".join,
    )
    @pytest.mark.parametrize("how", ["raw lease", "helper"])
    async def test_returned_with_something_open(
        self, pool: Any, statements: list[str], how: str
    ) -> None:
        if how == "helper":
            for statement in statements:
                try:
                    await pool.execute(statement)
                except asyncpg.DivisionByZeroError:
                    pass
        else:
            async with pool.acquire() as connection:
                for statement in statements:
                    try:
                        await connection.execute(statement)
                    except asyncpg.DivisionByZeroError:
                        pass
        await self.assert_clean(pool)
        assert pool.stats().connected == 1

    async def test_returned_by_an_error_inside_a_transaction(self, pool: Any) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT 1/0")
        await self.assert_clean(pool)
        assert pool.stats().connected == 1

    async def test_returned_by_a_cancel_in_the_middle_of_a_query(
        self, pool: Any, pg_admin: Any
    ) -> None:
        async def hold() -> None:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_sleep(60)")

        async def asleep() -> Any:
            return await pg_admin.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                " AND application_name LIKE 'poolapp:leftovers:%'"
            )

        task = asyncio.create_task(hold())
        await eventually(asleep)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await self.assert_clean(pool)
        assert not await asleep()

    async def test_returned_while_another_task_still_uses_it(
        self, pool: Any, pg_admin: Any
    ) -> None:
        """The reset can't be done, so the connection goes (scenario 24) and its query with it."""
        async with pool.acquire() as connection:
            pid = connection.get_server_pid()
            astray = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))

            async def asleep() -> Any:
                return await pg_admin.fetchval(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", pid
                )

            await eventually(asleep)
        await self.assert_clean(pool)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await astray
        assert pid not in await sessions(pg_admin, "poolapp:leftovers:%")
        assert pool.stats().closed == {"dirty": 1}


async def test_a_goodbye_that_hangs_does_not_keep_the_slot(postgres_url: str) -> None:
    """Scenario 24: a close in a black-holed network is given up after CHECK_TIMEOUT, not after all
    of CLOSE_TIMEOUT."""
    async with Proxy(*address(postgres_url)) as proxy:
        settings = {"max_size": 1, "check_timeout": 0.1, "close_timeout": 600.0}
        async with postgres_pool(through(proxy, postgres_url), **settings) as pool:
            await pool.fetchval("SELECT 1")
            proxy.fall_silent()
            with heard(pool.alias) as events:
                pool.drain()
                await events.until(lambda: events.closed_because == ["drained"])
            proxy.speak()
            await all_can_be_held(pool)


async def test_a_reset_that_hangs_loses_the_connection_not_the_slot(postgres_url: str) -> None:
    """Scenario 24: a slow reset loses the connection, not the slot; a goodbye that would hang as
    well is not waited for."""
    async with Proxy(*address(postgres_url)) as proxy:
        settings = {"max_size": 1, "check_timeout": 0.1, "close_timeout": 600.0}
        async with postgres_pool(through(proxy, postgres_url), **settings) as pool:
            lease = await pool.acquire()
            proxy.fall_silent()
            with heard(pool.alias) as events:
                lease.release()
                await events.until(lambda: events.closed_because == ["lost"])
            proxy.speak()
            await all_can_be_held(pool)


# -- who is who ------------------------------------------------------------------------------------


async def test_pools_that_differ_only_in_their_password_share_nothing(postgres_url: str) -> None:
    """Scenario 37: a wrong password does not connect through the pool of a right one."""
    password = urlsplit(postgres_url).password
    wrong = postgres_url.replace(f":{password}@", ":wrong@")
    async with postgres_pool(postgres_url) as good, postgres_pool(wrong) as bad:
        assert await good.fetchval("SELECT 1") == 1
        with pytest.raises(BackendUnavailable, match="password authentication failed"):
            await bad.fetchval("SELECT 1")
        assert good is not bad


async def test_a_changed_password_makes_a_new_pool(postgres_url: str) -> None:
    """Scenario 37: what was open under the right password is not lent under a wrong one."""
    config = postgres_config(postgres_url, alias="changing")
    password = urlsplit(postgres_url).password
    wrong = postgres_config(postgres_url.replace(f":{password}@", ":no@"), alias="changing")
    pools.register("changing", config)
    assert await pools["changing"].fetchval("SELECT 1") == 1
    await pools.remove("changing")
    async with pool_of(wrong) as pool:
        with pytest.raises(BackendUnavailable):
            await pool.fetchval("SELECT 1")


async def test_pools_that_differ_only_in_their_size_share_nothing(
    postgres_url: str, pg_admin: Any
) -> None:
    """Scenario 37: each alias has its own budget."""
    async with (
        postgres_pool(postgres_url, max_size=1) as small,
        postgres_pool(postgres_url, max_size=3) as large,
    ):
        held = [await small.acquire(), *[await large.acquire() for _ in range(3)]]
        for pool in (small, large):
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=0)
        pids = {lease.connection.get_server_pid() for lease in held}
        assert len(pids) == 4
        for lease in held:
            lease.release()


# -- secrets ---------------------------------------------------------------------------------------

PASSWORD = "p@ss/w#rd:1%2"


class TestSecrets:
    """Scenario 39: a password with ``@ / # : %`` is shown nowhere."""

    @pytest.fixture
    async def role(self, pg_admin: Any) -> AsyncIterator[str]:
        await pg_admin.execute("DROP ROLE IF EXISTS keeper")
        await pg_admin.execute(f"CREATE ROLE keeper LOGIN PASSWORD '{PASSWORD}'")
        yield "keeper"
        await pg_admin.execute("DROP ROLE keeper")

    def assert_hidden(self, *texts: object) -> None:
        for text in map(str, texts):
            for form in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "w#rd", "w%23rd"):
                assert form not in text

    async def test_of_a_pool_that_works(
        self, postgres_url: str, role: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        host, port = address(postgres_url)
        for form in (PASSWORD, quote(PASSWORD, safe="")):
            url = f"postgresql://{role}:{form}@{host}:{port}/postgres?application_name=x"
            options = {"server_settings": {"jit": "off"}}
            async with postgres_pool(url, options=options) as pool:
                assert await pool.fetchval("SELECT current_user") == role
                lease = await pool.acquire()
                info = await pool.backend.server_info(lease.connection)
                self.assert_hidden(pool, repr(pool), lease, repr(lease), lease.stack(), info)
                lease.release()
                self.assert_hidden(pool.config, repr(pool.config), pool.config.where())
                self.assert_hidden(pool.stats(), pool.stats().as_dict(), pools.info())
                self.assert_hidden(repr(pool.config.options), pool.config.options.shown())
                with pytest.raises(asyncpg.PostgresError) as info:
                    await pool.fetchval("SELECT 1/0")
                self.assert_hidden(*traceback.format_exception(info.value))
        self.assert_hidden(caplog.text)

    @pytest.mark.parametrize("fault", ["password", "database", "server"])
    async def test_of_a_pool_that_does_not(
        self, postgres_url: str, role: str, fault: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        host, port = address(postgres_url)
        user = "postgres" if fault == "password" else role
        name = "not_there" if fault == "database" else "postgres"
        where = f"{host}:{free_port() if fault == 'server' else port}"
        url = f"postgresql://{user}:{quote(PASSWORD, safe='')}@{where}/{name}"
        async with postgres_pool(url, acquire_timeout=1.0) as pool:
            with heard(pool.alias) as events, pytest.raises(PoolError) as info:
                await pool.fetchval("SELECT 1")
            assert events.connect_errors
            self.assert_hidden(*events.connect_errors, pool.stats())
            self.assert_hidden(*traceback.format_exception(info.value))
        self.assert_hidden(caplog.text)

    async def test_of_an_elasticsearch_that_refuses_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with Front() as front:
            front.answers["/"] = (401, {"error": "security_exception"})
            url = front.url.replace("//", f"//elastic:{quote(PASSWORD, safe='')}@")
            async with elasticsearch_pool(url) as pool:
                with pytest.raises(BackendUnavailable) as info:
                    await pool.acquire()
                self.assert_hidden(*traceback.format_exception(info.value))
                self.assert_hidden(pool, repr(pool.config), pool.stats(), pool.backend)
        self.assert_hidden(caplog.text)
