"""Which database native code meets, and in what state its session is."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished, request_started
from django.db import (
    connection,
    connections,
    reset_queries,
    router,
)
from django.db.backends.signals import connection_created
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError
from django.db.utils import ConnectionDoesNotExist
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from poolapp import Observer, PoolConfig, pools
from poolapp.backends.postgres.native import database
from poolapp.core.config import Options
from poolapp.databases import database_of, pool_for
from tests.ledger import Account, config, ledger, names, opened
from tests.real import pool_of, postgres_config


@pytest.fixture
async def tables(pg_admin: Any) -> AsyncIterator[None]:
    async with ledger(pg_admin):
        yield


@pytest.fixture
def pool(tables: None) -> Any:
    return "default"


@pytest.fixture
def second(monkeypatch: Any) -> dict[str, Any]:
    """Another database of DATABASES, which is the same one of the server."""
    settings = {**connections.settings["default"], "OPTIONS": {}}
    monkeypatch.setitem(connections.settings, "second", settings)
    return settings


def zone_and_role() -> tuple[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('TimeZone'), current_user")
        row: tuple[str, str] = cursor.fetchone()
        return row


def isolation(using: str = "default") -> str:
    with connections[using].cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        return str(cursor.fetchone()[0])


# -- which pool ------------------------------------------------------------------------------------


async def test_a_database_is_led_to_by_the_pool_that_names_it(second: Any) -> None:
    async with pool_of(config("elsewhere", "second")), pool_of(config("again", "second")):
        assert pool_for("second") == "elsewhere"
        assert pool_for("default") == "default"
        assert database_of("again") == "second"
        async with pool_of(config("second", "second")):
            assert pool_for("second") == "second"
        assert pool_for("second") == "elsewhere"


async def test_or_else_by_the_postgresql_pool_of_its_name(second: Any, postgres_url: str) -> None:
    async with pool_of(postgres_config(postgres_url, alias="second")) as pool:
        assert pool_for("second") == "second"
        assert await pool.natively(lambda: isolation("second")) == "read committed"


def test_a_database_without_a_pool_is_told_with_what_to_add(second: Any) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        pool_for("second")
    assert str(caught.value) == (
        "no pool leads to the database 'second'; add to POOLS: 'second': {\"BACKEND\": "
        '"poolapp.backends.postgres.PostgresBackend", "DATABASE": \'second\'}'
    )


def test_a_pool_of_another_store_leads_to_no_database(second: Any) -> None:
    pools.register(
        "second", PoolConfig(alias="second", backend="poolapp.backends.redis.RedisBackend")
    )
    try:
        with pytest.raises(ImproperlyConfigured, match="no pool leads to the database 'second'"):
            pool_for("second")
    finally:
        pools._plans.pop("second")
        pools.version += 1


def test_a_database_of_another_kind_is_told_with_what_to_do(monkeypatch: Any) -> None:
    monkeypatch.setitem(
        connections.settings, "lite", {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    )
    with pytest.raises(
        ImproperlyConfigured, match=r"'lite' has the engine .*sqlite3.*take a thread"
    ):
        pool_for("lite")


def test_an_unknown_database_is_told_with_those_there_are() -> None:
    with pytest.raises(ConnectionDoesNotExist, match="no database 'nowhere': DATABASES has 'def"):
        pool_for("nowhere")


async def test_native_code_is_told_the_same(tables: None, second: Any, monkeypatch: Any) -> None:
    pool = pools["default"]
    with pytest.raises(ImproperlyConfigured, match="no pool leads to the database 'second'"):
        await pool.natively(lambda: Account.objects.using("second").count())
    with pytest.raises(ConnectionDoesNotExist, match="there is no database 'nowhere'"):
        await pool.natively(lambda: Account.objects.using("nowhere").count())
    lite = {**second, "ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    monkeypatch.setitem(connections.settings, "lite", lite)
    with pytest.raises(ImproperlyConfigured, match="only PostgreSQL's are worked with natively"):
        await pool.natively(lambda: Account.objects.using("lite").count())


def test_a_missing_driver_is_told_with_what_to_install(tmp_path: Any) -> None:
    for name in ("psycopg", "greenlet"):
        code = (
            f"import sys; sys.modules[{name!r}] = None\n"
            "from poolapp.backends.postgres import atomic\n"
            "try: atomic()\n"
            "except Exception as error: print(type(error).__name__, error)"
        )
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        assert told.startswith("ImproperlyConfigured ")
        assert "pip install 'django-poolapp[postgres]' 'psycopg[binary]'" in told


async def test_an_old_driver_is_told_as_well(monkeypatch: Any, tables: None) -> None:
    database.wrapper_class.cache_clear()
    monkeypatch.delattr(psycopg, "IsolationLevel")
    monkeypatch.setattr(database, "_laid", database._Laid())
    with pytest.raises(ImproperlyConfigured, match="psycopg2 only; pip install 'psycopg"):
        await pools["default"].natively(Account.objects.count)


async def test_routers_and_using_lead_to_pools(
    tables: None, second: Any, pg_admin: Any, monkeypatch: Any
) -> None:
    class ReadsElsewhere:
        def db_for_read(self, model: Any, **hints: Any) -> str:
            return "second"

        def db_for_write(self, model: Any, **hints: Any) -> str:
            return "default"

    monkeypatch.setattr(router, "routers", [ReadsElsewhere()])
    async with pool_of(config("replica", "second")) as replica:
        await pools["default"].natively(opened, "a")

        def read() -> Any:
            return Account.objects.get(name="a")

        assert (await pools["default"].natively(read))._state.db == "second"
        assert replica.stats().acquired == 1
        assert (await replica.natively(read))._state.db == "second"
        assert replica.stats().acquired == 2


async def test_of_several_pools_of_a_database_the_one_that_is_asked_does_the_work(
    tables: None, pg_admin: Any
) -> None:
    async with pool_of(config("bulk")) as bulk:
        await bulk.natively(opened, "a")
        assert bulk.stats().acquired > 0
        assert pools["default"].stats().acquired == 0
        async with bulk.atomic():
            await bulk.natively(opened, "b")
            # One transaction on a database, whichever pool it was begun on.
            assert await pools["default"].natively(Account.objects.count) == 2
            assert await pools["default"].fetchval("SELECT count(*) FROM ledger_account") == 2
        assert pools["default"].stats().acquired == 0


async def test_a_pool_that_databases_does_not_name_has_transactions_too(
    tables: None, postgres_url: str, pg_admin: Any
) -> None:
    async with pool_of(postgres_config(postgres_url, alias="reports")) as pool:
        zone = await pool.fetchval("SHOW TimeZone")
        with pytest.raises(ZeroDivisionError):
            async with pool.atomic():
                await pool.execute("INSERT INTO ledger_account (name) VALUES ('a')")
                async with pool.atomic():
                    await pool.execute("INSERT INTO ledger_account (name) VALUES ('b')")
                assert await pool.fetchval("SHOW TimeZone") == zone
                raise ZeroDivisionError
        async with pool.atomic():
            await pool.execute("INSERT INTO ledger_account (name) VALUES ('c')")
            await pool.natively(lambda: opened("d", using="reports"))
        assert await names(pg_admin) == ["c", "d"]


# -- several databases -----------------------------------------------------------------------------


async def test_a_write_beside_a_block_is_refused_with_what_to_write(
    tables: None, second: Any, pg_admin: Any
) -> None:
    async with pool_of(config("second", "second")) as other:
        async with pools["default"].atomic():
            # As a manager asks: the pool of the database that it writes to.
            with pytest.raises(TransactionManagementError) as caught:
                await other.natively(lambda: opened("a", using="second"))
            assert 'async with pools["second"].atomic():' in str(caught.value)
            with pytest.raises(TransactionManagementError, match="inside an atomic"):
                await other.natively(lambda: Account.objects.using("second").update(name="x"))
            with pytest.raises(TransactionManagementError, match="inside an atomic"):
                await other.natively(
                    lambda: Account.objects.using("second").get_or_create(name="x")
                )
            assert await other.natively(lambda: Account.objects.using("second").count()) == 0
            async with other.atomic():
                await other.natively(lambda: opened("b", using="second"))
        assert await names(pg_admin) == ["b"]
        # What native code writes by the way is its own affair, as in Django.
        async with pools["default"].atomic():
            await pools["default"].natively(lambda: opened("c", using="second"))
        assert await names(pg_admin) == ["b", "c"]
        await other.natively(lambda: opened("d", using="second"))


async def test_blocks_of_two_databases_are_two_transactions(
    tables: None, second: Any, pg_admin: Any
) -> None:
    async with pool_of(config("second", "second")) as other:
        with pytest.raises(ZeroDivisionError):
            async with pools["default"].atomic():
                await pools["default"].natively(opened, "a")
                async with other.atomic():
                    await other.natively(lambda: opened("b", using="second"))
                raise ZeroDivisionError
        assert await names(pg_admin) == ["b"]


# -- the session -----------------------------------------------------------------------------------


async def test_connections_are_opened_in_djangos_time_zone_and_role(
    tables: None, pg_admin: Any, monkeypatch: Any
) -> None:
    await pg_admin.execute("CREATE ROLE clerk; GRANT ALL ON ledger_account TO clerk")
    settings = connections.settings["default"]
    monkeypatch.setitem(settings, "TIME_ZONE", "Asia/Tokyo")
    monkeypatch.setitem(settings, "OPTIONS", {"assume_role": "clerk", "pool": True})
    try:
        async with pool_of(config("clerks", max_size=1)) as pool:
            assert await pool.natively(zone_and_role) == ("Asia/Tokyo", "clerk")
            async with pool.acquire() as raw:
                assert await raw.fetchval("SELECT current_user::text") == "clerk"
                await raw.execute("RESET ROLE; SET ROLE postgres; SET TimeZone = 'UTC'")
            assert await pool.natively(zone_and_role) == ("Asia/Tokyo", "clerk")
            assert pool.stats().connected == 1
    finally:
        await pg_admin.execute("DROP OWNED BY clerk; DROP ROLE clerk")


async def test_a_session_in_another_time_zone_has_djangos_meanwhile(
    tables: None, second: Any, postgres_url: str
) -> None:
    options = Options({"server_settings": {"timezone": "Asia/Tokyo"}})
    made = postgres_config(postgres_url, alias="second", options=options, max_size=1)

    def zone() -> str:
        with connections["second"].cursor() as cursor:
            cursor.execute("SELECT current_setting('TimeZone')")  # which calls for no reset
            return str(cursor.fetchone()[0])

    async with pool_of(made) as pool:
        assert await pool.natively(zone) == "UTC"
        assert await pool.fetchval("SHOW TimeZone") == "Asia/Tokyo"
        async with pool.atomic():
            assert await pool.natively(zone) == "UTC"
        assert await pool.fetchval("SHOW TimeZone") == "Asia/Tokyo"
        with pytest.raises(ZeroDivisionError):
            async with pool.atomic():
                assert await pool.natively(zone) == "UTC"
                raise ZeroDivisionError
        assert await pool.fetchval("SHOW TimeZone") == "Asia/Tokyo"
        assert pool.stats().connected == 1


async def test_the_isolation_level_of_databases_is_that_of_transactions(
    tables: None, second: Any
) -> None:
    second["OPTIONS"] = {"isolation_level": psycopg.IsolationLevel.SERIALIZABLE}
    async with pool_of(config("second", "second")) as pool:
        async with pool.atomic():
            assert await pool.fetchval("SHOW transaction_isolation") == "serializable"
        assert await pool.natively(lambda: isolation("second")) == "read committed"


async def test_a_wrong_isolation_level_is_told(tables: None, second: Any) -> None:
    second["OPTIONS"] = {"isolation_level": 17}
    async with pool_of(config("second", "second")) as pool:
        with pytest.raises(ImproperlyConfigured, match=r"'isolation_level'. is 17"):
            await pool.natively(lambda: isolation("second"))


async def test_settings_that_a_test_overrides_reach_what_was_wrapped_before(tables: None) -> None:
    pool = pools["default"]
    moment = "2026-01-01T12:00:00+00:00"
    await pool.execute(
        "INSERT INTO ledger_account (name, since) VALUES ('a', $1::text::timestamptz)", moment
    )

    def since() -> Any:
        return Account.objects.get(name="a").since

    assert (await pool.natively(since)).isoformat() == moment
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        assert (await pool.natively(since)).isoformat() == "2026-01-01T21:00:00"
        assert (await pool.natively(zone_and_role))[0] == "Asia/Tokyo"
        async with pool.atomic():
            assert (await pool.natively(since)).isoformat() == "2026-01-01T21:00:00"
    assert (await pool.natively(since)).isoformat() == moment
    assert (await pool.natively(zone_and_role))[0] == "UTC"


# -- LOOPS = "shared" ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def shared_pool(**settings: Any) -> AsyncIterator[Any]:
    async with pool_of(config("shared", loops="shared", **settings)) as pool:
        yield pool


async def test_a_shared_pool_works_on_the_process_own_loop(tables: None, pg_admin: Any) -> None:
    threads = set()

    def work() -> int:
        threads.add(threading.current_thread().name)
        opened("a")
        return Account.objects.count()

    told: list[Any] = []

    async def tell() -> None:
        told.append(asyncio.get_running_loop() is not here)

    here = asyncio.get_running_loop()
    async with shared_pool() as pool:
        assert await pool.natively(work) == 1
        async with pool.atomic():
            await pool.natively(opened, "b")
            await pool.execute("INSERT INTO ledger_account (name) VALUES ('c')")
            with pytest.raises(ZeroDivisionError):
                async with pool.atomic():
                    await pool.natively(opened, "d")
                    raise ZeroDivisionError
            pool.on_commit(tell)
            assert await names(pg_admin) == ["a"]
            with pytest.raises(TransactionManagementError, match="started inside an atomic"):
                await asyncio.gather(pool.natively(Account.objects.count))
            with pytest.raises(TransactionManagementError, match="started inside an atomic"):
                await asyncio.gather(pool.fetchval("SELECT 1"))
        assert threads == {"poolapp"}
        assert told == [True]
        assert await names(pg_admin) == ["a", "b", "c"]
        with pytest.raises(ZeroDivisionError):
            async with pool.atomic():
                await pool.natively(opened, "e")
                raise ZeroDivisionError
        assert await names(pg_admin) == ["a", "b", "c"]
        assert pool.size == 0  # this loop has opened nothing
        (busy,) = [each for each in pools.info() if each.alias == "shared" and each.size]
        assert busy.in_use == 0


async def test_leases_of_a_shared_pool_are_known_by_the_users_lines(
    tables: None, pg_admin: Any
) -> None:
    sites: list[str] = []

    class Sites(Observer):
        def acquired(self, pool: Any, lease: Any, waited: float) -> None:
            sites.append(lease.site)

    observer = Sites()
    pools.observe(observer)
    try:
        async with shared_pool() as pool:
            await pool.fetchval("SELECT 1")
            await pool.natively(isolation)
            async with pool.atomic():
                await pool.natively(isolation)
    finally:
        pools.unobserve(observer)
    assert len(sites) == 3
    assert all("test_native_sessions.py" in each for each in sites), sites
    assert all("test_leases_of_a_shared_pool" in each for each in sites), sites


async def test_a_cancel_between_two_loops_rolls_back_and_leaks_nothing(
    tables: None, pg_admin: Any
) -> None:
    async with shared_pool(max_size=2) as pool:

        async def transfer() -> None:
            async with pool.atomic():
                await pool.natively(opened, "a")
                async with pool.atomic():
                    await pool.natively(opened, "b")

        for turns in range(25):
            task = asyncio.create_task(transfer())
            for _ in range(turns):
                await asyncio.sleep(0.0004 * (turns % 4))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with pool.atomic():
                assert await pool.natively(Account.objects.count) in (0, 2)
                await pool.execute("DELETE FROM ledger_account")
        in_use = [each.in_use for each in pools.info() if each.alias == "shared"]
        assert set(in_use) == {0}


async def test_a_transaction_of_one_loop_is_not_met_on_another(tables: None) -> None:
    async with pools["default"].atomic():
        await pools["default"].natively(opened, "a")

        async def count() -> Any:
            return await pools["default"].natively(Account.objects.count)

        with pytest.raises(TransactionManagementError, match="on another event loop"):
            await pools.arun(count)


async def test_pools_that_share_a_database_but_not_a_loop_are_told_apart(tables: None) -> None:
    async with shared_pool() as pool, pools["default"].atomic():
        await pools["default"].natively(opened, "a")
        with pytest.raises(TransactionManagementError, match="give pools that work together"):
            await pool.natively(Account.objects.count)


def test_sync_code_works_natively_by_pools_run(postgres_url: str) -> None:
    async def count() -> Any:
        pool = pools["default"]
        async with pool.atomic():
            return await pool.natively(isolation)

    assert [pools.run(count) for _ in range(20)] == ["read committed"] * 20
    pools.run(pools.close_all)


# -- what Django's tools see -----------------------------------------------------------------------


async def test_queries_are_captured_in_native_code(tables: None) -> None:
    def captured() -> list[str]:
        with CaptureQueriesContext(connection) as queries:
            Account.objects.filter(name="x").count()
        return [each["sql"] for each in queries.captured_queries]

    (sql,) = await pools["default"].natively(captured)
    assert sql.startswith("SELECT COUNT(*)")
    assert "'x'" in sql
    assert await pools["default"].natively(lambda: connection.queries) == []


async def test_queries_of_a_block_are_captured_from_without_by_its_wrapper(tables: None) -> None:
    pool = pools["default"]
    async with pool.atomic():
        capture = await pool.natively(
            lambda: CaptureQueriesContext(connections["default"]).__enter__()
        )
        await pool.natively(opened, "a")
        assert [each["sql"][:11] for each in capture.captured_queries] == ["INSERT INTO"]
        await pool.natively(lambda: capture.__exit__(None, None, None))


async def test_an_execute_wrapper_sees_what_runs_in_it_and_nothing_later(tables: None) -> None:
    pool = pools["default"]
    seen: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    def watched() -> None:
        with connection.execute_wrapper(watch):
            Account.objects.count()

    await pool.natively(watched)
    assert len(seen) == 1
    await pool.natively(lambda: connection.execute_wrappers.append(watch))
    for _ in range(3):
        await pool.natively(Account.objects.count)
    assert len(seen) == 1


async def test_a_wrapper_is_used_again_but_never_one_with_something_left_in_it(
    tables: None,
) -> None:
    pool = pools["default"]

    def me() -> Any:
        Account.objects.count()
        return connections["default"]

    first = await pool.natively(me)
    assert await pool.natively(me) is first

    def leave(name: str, value: Any) -> Any:
        wrapper = me()
        setattr(wrapper, name, value)
        return wrapper

    for name, value in (
        ("force_debug_cursor", True),
        ("in_atomic_block", True),
        ("needs_rollback", True),
        ("savepoint_ids", ["x"]),
        ("run_on_commit", [(set(), print, False)]),
        ("execute_wrappers", [print]),
        ("closed_in_transaction", True),
    ):
        left = await pool.natively(leave, name, value)
        assert await pool.natively(me) is not left, name


async def test_wrappers_are_kept_by_the_hundred(tables: None) -> None:
    pool = pools["default"]
    kept = database._laid.by_alias
    await asyncio.gather(*(pool.natively(Account.objects.count) for _ in range(300)))
    assert len(kept["default", "default"]) == database.KEPT


async def test_the_signals_of_requests_do_no_harm(tables: None, pg_admin: Any) -> None:
    pool = pools["default"]

    def request() -> None:
        opened("a")
        request_started.send(sender=None)
        opened("b")
        reset_queries()
        request_finished.send(sender=None)

    async with pool.atomic():
        await pool.natively(request)
        await pool.natively(opened, "c")
    assert await names(pg_admin) == ["a", "b", "c"]


@pytest.fixture
def receivers() -> Iterator[Any]:
    """Connects receivers of the signal that an account was saved."""
    connected = []

    def connect(receiver: Any) -> None:
        post_save.connect(receiver, sender=Account)
        connected.append(receiver)

    yield connect
    for each in connected:
        post_save.disconnect(each, sender=Account)


async def test_a_receiver_may_call_async_code_which_joins_the_transaction(
    tables: None, pg_admin: Any, receivers: Any
) -> None:
    async def note(name: str) -> None:
        await pools["default"].execute("INSERT INTO ledger_account (name) VALUES ($1)", name)

    def notify(sender: Any, instance: Any, **_: Any) -> None:
        async_to_sync(note)(f"{instance} was opened")

    receivers(notify)
    with pytest.raises(ZeroDivisionError):
        async with pools["default"].atomic():
            await pools["default"].natively(opened, "a")
            raise ZeroDivisionError
    assert await names(pg_admin) == []
    async with pools["default"].atomic():
        await pools["default"].natively(opened, "b")
    assert await names(pg_admin) == ["b", "b was opened"]


async def test_an_async_receiver_is_a_task_of_its_own(
    tables: None, pg_admin: Any, receivers: Any
) -> None:
    async def follow(sender: Any, instance: Any, **_: Any) -> None:
        if instance.name in "ab":
            await pools["default"].natively(opened, f"{instance} was opened")

    receivers(follow)
    await pools["default"].natively(opened, "a")
    assert await names(pg_admin) == ["a", "a was opened"]
    with pytest.raises(TransactionManagementError, match="started inside an atomic"):
        async with pools["default"].atomic():
            await pools["default"].natively(opened, "b")
    assert await names(pg_admin) == ["a", "a was opened"]


async def test_connection_created_is_sent_for_a_wrapper(tables: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(database, "_laid", database._Laid())
    created = []

    def note(sender: Any, connection: Any, **_: Any) -> None:
        created.append(connection.alias)

    connection_created.connect(note)
    try:
        for _ in range(3):
            await pools["default"].natively(Account.objects.count)
    finally:
        connection_created.disconnect(note)
    assert created == ["default"]


def test_outside_of_native_code_djangos_connections_are_as_ever(postgres_url: str) -> None:
    async def look() -> None:
        inside = await pools["default"].natively(lambda: connections["default"])
        assert type(inside).__name__ == "NativeDatabase"
        assert type(connections["default"]).__module__ == "django.db.backends.postgresql.base"
        assert await asyncio.to_thread(lambda: type(connections["default"])) is not type(inside)
        await pools.close_all()

    asyncio.run(look())


# -- processes -------------------------------------------------------------------------------------


def in_a_child(answers: Any) -> None:
    async def work() -> tuple[str, int]:
        count = await pools["default"].natively(isolation)
        pid = await pools["default"].fetchval("SELECT pg_backend_pid()")
        await pools.close_all()
        return count, pid

    answers.put(asyncio.run(work()))


def test_a_forked_child_works_natively_on_its_own(postgres_url: str) -> None:
    async def work() -> int:
        await pools["default"].natively(isolation)
        pid: int = await pools["default"].fetchval("SELECT pg_backend_pid()")
        return pid

    with asyncio.Runner() as runner:
        before = runner.run(work())
        fork = multiprocessing.get_context("fork")
        answers = fork.SimpleQueue()
        child = fork.Process(target=in_a_child, args=(answers,))
        child.start()
        level, pid = answers.get()
        child.join()
        assert (level, child.exitcode) == ("read committed", 0)
        assert runner.run(work()) == before != pid
        runner.run(pools.close_all())


LEFT_OPEN = """
import asyncio, django, logging
from django.conf import settings
from poolapp import pools
from django.db import connection, transaction
django.setup()
logging.getLogger("asyncio").disabled = True  # it tells of a task that the loop's end left alone

def ask():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")

def ask_long():
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(3)")
    finally:
        ask()

async def block(wait):
    async with pools["default"].atomic():
        await pools["default"].natively(ask)
        async with pools["default"].atomic():
            loop.call_soon(waiting.release)
            await wait()

async def begin():
    for _ in tasks:
        await waiting.acquire()

loop = asyncio.new_event_loop()
waiting = asyncio.Semaphore(0)
tasks = [
    loop.create_task(block(lambda: asyncio.sleep(3600))),
    loop.create_task(block(lambda: pools["default"].natively(ask_long))),
]
loop.run_until_complete(begin())
{end}
print("ended")
"""


@pytest.mark.parametrize(
    "end", ["", "loop.close()", "del tasks, loop, waiting; import gc; gc.collect()"]
)
def test_the_end_of_a_process_with_a_block_open_is_quiet(postgres_url: str, end: str) -> None:
    code = LEFT_OPEN.format(end=end)
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": ".",
            "POOLAPP_POSTGRES_URL": postgres_url,
        },
        check=False,
    )
    assert ended.stdout == "ended\n", ended.stderr
    assert ended.returncode == 0
    assert "Exception ignored" not in ended.stderr, ended.stderr
    assert "never awaited" not in ended.stderr
