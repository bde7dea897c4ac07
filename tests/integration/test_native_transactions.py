"""``pool.atomic()``: one transaction of a task, with Django's own state."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from asgiref.sync import iscoroutinefunction
from django.db import IntegrityError, InternalError, connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.db.utils import OperationalError

from poolapp import BackendUnavailable, pools
from poolapp.backends.postgres import atomic
from tests.ledger import Account, Entry, config, ledger, names, opened
from tests.real import Proxy, eventually, kill_sessions, pool_of, postgres_config, sessions

READ_ONLY = "SET default_transaction_read_only = on"


@pytest.fixture
async def pool(pg_admin: Any) -> AsyncIterator[Any]:
    async with ledger(pg_admin):
        yield pools["default"]


def is_at_rest(pool: Any) -> bool:
    return pool.in_use == 0 and pool.waiting == 0


# -- commit and rollback ---------------------------------------------------------------------------


async def test_the_end_of_a_block_commits_what_was_done_by_every_way(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "native")
        await pool.execute("INSERT INTO ledger_account (name) VALUES ($1)", "helper")
        await pool.executemany("INSERT INTO ledger_account (name) VALUES ($1)", [("many",)])
        assert await pool.fetchval("SELECT count(*) FROM ledger_account") == 3
        assert await pool.natively(Account.objects.count) == 3
        assert await names(pg_admin) == []
    assert await names(pg_admin) == ["native", "helper", "many"]
    assert is_at_rest(pool)


async def test_an_exception_rolls_back_and_goes_on(pool: Any, pg_admin: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pool.atomic():
            await pool.natively(opened, "a")
            raise ZeroDivisionError
    assert await names(pg_admin) == []
    assert is_at_rest(pool)
    assert pool.stats().connected == 1  # the same connection, without a reset
    assert await pool.natively(Account.objects.count) == 0


async def test_a_block_without_a_statement_borrows_nothing(pool: Any) -> None:
    async with pool.atomic():
        assert pool.in_use == 0
    assert pool.stats().acquired == 0


async def test_an_inner_block_is_a_savepoint(pool: Any, pg_admin: Any) -> None:
    async with pool.atomic():
        await pool.natively(opened, "outer")
        with pytest.raises(IntegrityError):
            async with pool.atomic():
                await pool.natively(opened, "inner", "outer")
        async with pool.atomic():
            await pool.natively(opened, "second")
    assert await names(pg_admin) == ["outer", "second"]


async def test_without_a_savepoint_an_inner_error_is_the_end_of_the_outer_block_too(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "outer")
        with pytest.raises(ZeroDivisionError):
            async with pool.atomic(savepoint=False):
                raise ZeroDivisionError
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block"):
            await pool.natively(Account.objects.count)
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block"):
            await pool.fetchval("SELECT 1")
    assert await names(pg_admin) == []


async def test_djangos_own_blocks_and_flags_are_part_of_it(pool: Any, pg_admin: Any) -> None:
    def half() -> None:
        with transaction.atomic():
            opened("kept")
        with transaction.atomic():
            opened("undone")
            transaction.set_rollback(True)
        assert connection.in_atomic_block

    async with pool.atomic():
        await pool.natively(half)
    assert await names(pg_admin) == ["kept"]
    async with pool.atomic():
        await pool.natively(opened, "never")
        await pool.natively(transaction.set_rollback, True)
    assert await names(pg_admin) == ["kept"]


async def test_a_durable_block_is_the_outermost(pool: Any, pg_admin: Any) -> None:
    async with pool.atomic(durable=True):
        await pool.natively(opened, "a")
        with pytest.raises(RuntimeError, match="durable atomic block cannot be nested"):
            async with pool.atomic(durable=True):
                pass
    assert await names(pg_admin) == ["a"]


async def test_a_block_object_may_be_entered_again_also_within_itself(
    pool: Any, pg_admin: Any
) -> None:
    block = pool.atomic()
    async with block:
        await pool.natively(opened, "a")
        with pytest.raises(ZeroDivisionError):
            async with block:
                await pool.natively(opened, "b")
                raise ZeroDivisionError
    async with block:
        await pool.natively(opened, "c")
    assert await names(pg_admin) == ["a", "c"]


async def test_a_commit_that_a_deferred_constraint_refuses_is_an_integrity_error(
    pool: Any, pg_admin: Any
) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with pool.atomic():
            await pool.natively(lambda: Entry.objects.create(account_id=4711, amount=1))
    assert "ledger_entry" in str(caught.value)
    assert caught.value.__cause__.sqlstate == "23503"  # type: ignore[union-attr]
    assert is_at_rest(pool)
    assert await pg_admin.fetchval("SELECT count(*) FROM ledger_entry") == 0
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().connected == 1


async def test_a_refused_statement_of_a_short_cut_leaves_only_a_rollback(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await pool.fetchval("SELECT 1/0")
        with pytest.raises(TransactionManagementError) as caught:
            await pool.natively(Account.objects.count)
        assert isinstance(caught.value.__cause__, asyncpg.DivisionByZeroError)
    assert await names(pg_admin) == []


async def test_what_is_acquired_in_a_block_is_another_connection(pool: Any) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        async with pool.acquire() as other:
            assert await other.fetchval("SELECT count(*) FROM ledger_account") == 0


# -- as a decorator --------------------------------------------------------------------------------


@atomic()
async def open_and_fail(name: str, *, fail: bool = True) -> str:
    """Made where no loop runs."""
    await pools["default"].natively(opened, name)
    if fail:
        raise ZeroDivisionError
    return name


async def test_a_decorated_function_runs_in_a_transaction_each_time(
    pool: Any, pg_admin: Any
) -> None:
    assert iscoroutinefunction(open_and_fail)
    assert open_and_fail.__name__ == "open_and_fail"
    with pytest.raises(ZeroDivisionError):
        await open_and_fail("a")
    assert await open_and_fail("b", fail=False) == "b"
    async with pool.atomic():
        with pytest.raises(ZeroDivisionError):
            await open_and_fail("c")
    assert await names(pg_admin) == ["b"]


async def test_concurrent_calls_of_a_decorated_function_are_apart(pool: Any, pg_admin: Any) -> None:
    outcomes = await asyncio.gather(
        *(open_and_fail(str(number), fail=number % 2 == 0) for number in range(8)),
        return_exceptions=True,
    )
    assert [type(each).__name__ for each in outcomes] == ["ZeroDivisionError", "str"] * 4
    assert sorted(await names(pg_admin)) == ["1", "3", "5", "7"]


async def test_a_synchronous_function_is_no_place_for_it(pool: Any) -> None:
    with pytest.raises(TypeError, match=r"decorates async functions, which .*opened is not"):
        pool.atomic()(opened)


# -- after the commit ------------------------------------------------------------------------------


async def test_callbacks_run_after_the_outermost_commit_and_may_work(
    pool: Any, pg_admin: Any
) -> None:
    told: list[Any] = []

    async def tell() -> None:
        told.append(("async", await pool.natively(Account.objects.count), await names(pg_admin)))
        await pool.natively(opened, "after")

    def write() -> None:
        told.append(("sync", Account.objects.count()))

    async with pool.atomic():
        async with pool.atomic():
            pool.on_commit(tell)
            await pool.on_commit(write)
            await pool.natively(opened, "a")
        with pytest.raises(ZeroDivisionError):
            async with pool.atomic():
                pool.on_commit(lambda: told.append("undone"))
                raise ZeroDivisionError
        await pool.natively(lambda: transaction.on_commit(lambda: told.append("Django's")))
        assert told == []
    assert told == [("async", 1, ["a"]), ("sync", 2), "Django's"]
    assert await names(pg_admin) == ["a", "after"]


async def test_no_callback_runs_after_a_rollback(pool: Any) -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with pool.atomic():
            pool.on_commit(lambda: told.append("x"))
            raise ZeroDivisionError
    async with pool.atomic():
        await pool.natively(opened, "a")
    assert told == []


async def test_a_robust_callback_is_logged_and_the_next_one_runs(pool: Any, caplog: Any) -> None:
    told: list[str] = []

    async def fail() -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR, "django.db.backends.base"):
        async with pool.atomic():
            pool.on_commit(fail, robust=True)
            pool.on_commit(lambda: told.append("x"))
    assert told == ["x"]
    assert "fail" in caplog.text


async def test_an_error_of_a_callback_is_raised_when_all_is_committed(
    pool: Any, pg_admin: Any
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with pool.atomic():
            await pool.natively(opened, "a")
            pool.on_commit(fail)
    assert await names(pg_admin) == ["a"]
    assert is_at_rest(pool)


async def test_a_callback_may_begin_another_transaction(pool: Any, pg_admin: Any) -> None:
    async def again() -> None:
        async with pool.atomic():
            await pool.natively(opened, "b")
            pool.on_commit(lambda: opened("c"))

    async with pool.atomic():
        await pool.natively(opened, "a")
        pool.on_commit(again)
    assert await names(pg_admin) == ["a", "b", "c"]


async def test_a_callback_may_divide_its_work_among_tasks(pool: Any) -> None:
    counts: list[int] = []

    async def count() -> None:
        once, again = pool.natively(Account.objects.count), pool.natively(Account.objects.count)
        counts.extend(await asyncio.gather(once, again))

    async with pool.atomic():
        await pool.natively(opened, "a")
        pool.on_commit(count)
    assert counts == [1, 1]


async def test_outside_of_a_block_a_callback_is_called_there_and_then(pool: Any) -> None:
    told: list[int] = []

    async def tell() -> None:
        told.append(await pool.natively(Account.objects.count))

    await pool.on_commit(tell)
    await pool.on_commit(lambda: told.append(Account.objects.count()))
    assert told == [0, 0]
    with pytest.raises(TypeError, match="must be a callable"):
        pool.on_commit(7)


# -- tasks -----------------------------------------------------------------------------------------


async def test_a_task_that_is_started_in_a_block_is_told_how_to_do_it(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        for work in (
            lambda: pool.natively(Account.objects.count),
            lambda: pool.fetchval("SELECT 1"),
            lambda: open_and_fail("b"),
        ):
            with pytest.raises(TransactionManagementError) as caught:
                await asyncio.gather(work())
            for said in ("gather()", "contextvars.Context()", "asyncio.timeout()", "'default'"):
                assert said in str(caught.value)
    assert await names(pg_admin) == ["a"]
    assert is_at_rest(pool)


async def test_what_such_a_task_begins_itself_is_refused_as_well(pool: Any) -> None:
    def begin() -> None:
        with transaction.atomic():
            Account.objects.count()

    async with pool.atomic():
        with pytest.raises(TransactionManagementError, match="started inside an atomic"):
            await asyncio.gather(pool.natively(begin))
    assert is_at_rest(pool)


async def test_such_a_task_works_on_its_own_when_the_block_has_ended(
    pool: Any, pg_admin: Any
) -> None:
    ended = asyncio.Event()

    async def later() -> None:
        await ended.wait()
        await pool.natively(opened, "later")
        with pytest.raises(ZeroDivisionError):
            await open_and_fail("never")

    async with pool.atomic():
        await pool.natively(opened, "a")
        task = asyncio.create_task(later())
    ended.set()
    await task
    assert await names(pg_admin) == ["a", "later"]


async def test_a_task_in_a_context_of_its_own_works_outside_of_the_transaction(pool: Any) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        task = asyncio.create_task(
            pool.natively(Account.objects.count), context=contextvars.Context()
        )
        assert await task == 0


async def test_a_task_in_a_block_may_use_another_database(pool: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(connections.settings, "other", dict(connections.settings["default"]))
    async with pool_of(config("other", "other")) as other, pool.atomic():
        await pool.natively(opened, "a")
        (seen,) = await asyncio.gather(
            other.natively(lambda: Account.objects.using("other").count())
        )
        assert seen == 0


async def test_tasks_side_by_side_each_have_a_transaction(pool: Any, pg_admin: Any) -> None:
    barrier = asyncio.Barrier(5)

    async def work(number: int) -> int:
        async with pool.atomic():
            await pool.natively(opened, str(number))
            await barrier.wait()
            seen: int = await pool.natively(Account.objects.count)
            await barrier.wait()
            return seen

    assert await asyncio.gather(*map(work, range(5))) == [1] * 5
    assert len(await names(pg_admin)) == 5


# -- cancellation ----------------------------------------------------------------------------------


async def test_a_cancel_at_any_turn_rolls_back_and_leaks_no_lease(pool: Any, pg_admin: Any) -> None:
    committed = 0

    async def transfer() -> None:
        async with pool.atomic():
            await pool.natively(opened, "a")
            async with pool.atomic():
                await pool.execute("INSERT INTO ledger_account (name) VALUES ('b')")
        nonlocal committed
        committed += 1

    for turns in range(60):
        task = asyncio.create_task(transfer())
        for _ in range(turns):
            await asyncio.sleep(0)
            if turns % 3 == 2:
                await asyncio.sleep(0.0005)  # the server has its turns as well
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        async def rested() -> bool:
            return is_at_rest(pool)

        await eventually(rested)
        assert await names(pg_admin) in ([], ["a", "b"])
        await pg_admin.execute("DELETE FROM ledger_account")
        # The next holder has a session that is fit for work.
        async with pool.atomic():
            assert await pool.natively(Account.objects.count) == 0
    assert pool.size <= 2


async def test_a_cancel_that_is_caught_in_the_block_does_not_pass_for_a_commit(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.natively(sleep)
        with pytest.raises(TransactionManagementError, match="until the end of the 'atomic' block"):
            await pool.natively(opened, "b")
    assert await names(pg_admin) == []
    assert is_at_rest(pool)


async def test_a_cancel_in_an_inner_block_leaves_the_outer_one_as_it_was(
    pool: Any, pg_admin: Any
) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), pool.atomic():
                await pool.natively(opened, "b")
                await pool.natively(sleep)
        await pool.natively(opened, "c")
    assert await names(pg_admin) == ["a", "c"]


def sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")


# -- a server that goes ----------------------------------------------------------------------------


async def test_a_connection_lost_in_a_block_is_an_outage_and_nothing_is_half_committed(
    pool: Any, pg_admin: Any
) -> None:
    with pytest.raises(OperationalError) as caught:
        async with pool.atomic():
            await pool.natively(opened, "a")
            assert await kill_sessions(pg_admin, "poolapp:default:%")
            with pytest.raises(OperationalError) as first:
                await pool.natively(Account.objects.count)
            assert isinstance(first.value, BackendUnavailable)
            assert is_at_rest(pool)  # the slot is free at once
            await pool.natively(opened, "b")
    assert isinstance(caught.value, BackendUnavailable)
    assert "lost in a transaction" in str(caught.value)
    assert await names(pg_admin) == []
    async with pool.atomic():
        await pool.natively(opened, "d")
    assert await names(pg_admin) == ["d"]


async def test_a_loss_that_is_swallowed_shows_at_the_commit(pool: Any, pg_admin: Any) -> None:
    with pytest.raises(OperationalError) as caught:
        async with pool.atomic():
            await pool.natively(opened, "a")
            await kill_sessions(pg_admin, "poolapp:default:%")
            with pytest.raises(BackendUnavailable):
                await pool.natively(Account.objects.count)
    assert isinstance(caught.value, BackendUnavailable)
    assert is_at_rest(pool)


async def test_a_loss_during_the_commit_is_told_as_what_it_is(pool: Any, pg_admin: Any) -> None:
    with pytest.raises(OperationalError, match="may or may not have taken effect"):
        async with pool.atomic():
            await pool.natively(opened, "a")
            await kill_sessions(pg_admin, "poolapp:default:%")
    assert is_at_rest(pool)


async def test_a_short_cut_tells_of_a_loss_in_a_block_as_of_any(pool: Any, pg_admin: Any) -> None:
    with pytest.raises(BackendUnavailable):
        async with pool.atomic():
            await pool.fetchval("SELECT 1")
            await kill_sessions(pg_admin, "poolapp:default:%")
            await pool.fetchval("SELECT 2")


async def test_a_network_that_falls_silent_in_a_block_holds_nobody_for_long(
    pool: Any, postgres_url: str, pg_admin: Any
) -> None:
    place = urlsplit(postgres_url)
    async with Proxy(str(place.hostname), place.port or 5432) as proxy:
        url = place._replace(netloc=f"{place.username}:{place.password}@127.0.0.1:{proxy.port}")
        made = postgres_config(url.geturl(), alias="silent", check_timeout=0.2, max_size=1)
        async with pool_of(made) as silent:
            with pytest.raises(TimeoutError):
                async with silent.atomic():
                    await silent.execute("INSERT INTO ledger_account (name) VALUES ('a')")
                    proxy.fall_silent()
                    async with asyncio.timeout(0.05):
                        await silent.execute("INSERT INTO ledger_account (name) VALUES ('b')")
            proxy.forget()
            proxy.speak()
            # The slot came back, with another connection in it.
            assert await silent.fetchval("SELECT 1") == 1
            assert silent.stats().connected == 2
    assert await names(pg_admin) == []


async def test_a_reset_that_fails_after_a_block_loses_the_connection_and_not_the_slot(
    pg_admin: Any, pool: Any
) -> None:
    async with pool_of(config("solo", max_size=1)) as solo:

        async def fail(connection: Any) -> None:
            raise OSError

        solo.backend.reset = fail
        async with solo.atomic():
            await solo.natively(opened, "a")
            await solo.execute("SET search_path = pg_catalog")
        assert await solo.fetchval("SHOW search_path") == '"$user", public'
        assert solo.stats().connected == 2
        assert await names(pg_admin) == ["a"]


async def test_a_server_that_has_become_read_only_is_left(pool: Any, pg_admin: Any) -> None:
    async with pool.acquire(clean=True) as raw:
        await raw.execute(READ_ONLY)
    before = await sessions(pg_admin, "poolapp:default:%")
    with pytest.raises(InternalError) as caught:
        await pool.natively(opened, "a")
    assert caught.value.__cause__.sqlstate == "25006"  # type: ignore[union-attr]
    async with pool.acquire(clean=True) as raw:
        assert raw.get_server_pid() not in before
        await raw.execute(READ_ONLY)
        stale = raw.get_server_pid()
    with pytest.raises(InternalError):
        async with pool.atomic():
            await pool.natively(opened, "a")
    async with pool.acquire() as raw:
        assert raw.get_server_pid() != stale
    await pool.natively(opened, "b")


# -- what is left behind ---------------------------------------------------------------------------


async def test_a_transaction_of_clean_statements_needs_no_reset(pool: Any) -> None:
    resets = 0
    reset = pool.backend.reset

    async def counted(connection: Any) -> None:
        nonlocal resets
        resets += 1
        await reset(connection)

    pool.backend.reset = counted
    async with pool.atomic():
        await pool.natively(opened, "a")
        async with pool.atomic():
            await pool.fetchval("SELECT 1")
    assert resets == 0
    async with pool.atomic():
        await pool.execute("SET search_path = pg_catalog")
    await eventually(lambda: asyncio.sleep(0, pool.idle == 1))
    assert resets == 1
    assert await pool.fetchval("SHOW search_path") == '"$user", public'


async def test_a_transaction_that_native_code_leaves_open_is_rolled_back(
    pool: Any, pg_admin: Any
) -> None:
    def leave_open() -> None:
        transaction.set_autocommit(False)
        opened("a")

    await pool.natively(leave_open)
    await eventually(lambda: asyncio.sleep(0, pool.idle == 1))
    assert await names(pg_admin) == []
    assert is_at_rest(pool)
    assert await pool.natively(transaction.get_autocommit) is True


async def test_manual_transactions_commit_and_roll_back(pool: Any, pg_admin: Any) -> None:
    def manual() -> None:
        transaction.set_autocommit(False)
        try:
            opened("a")
            transaction.commit()
            opened("b")
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)

    await pool.natively(manual)
    assert await names(pg_admin) == ["a"]


async def test_a_wrapper_closed_in_a_block_is_as_django_has_it(pool: Any, pg_admin: Any) -> None:
    with pytest.raises(TransactionManagementError):
        async with pool.atomic():
            await pool.natively(opened, "a")
            await pool.natively(lambda: connection.close())
            await pool.natively(opened, "b")
    assert await names(pg_admin) == []
    assert await pool.natively(Account.objects.count) == 0


async def test_the_lease_of_a_transaction_names_the_line_of_its_block(pool: Any) -> None:
    async with pool.atomic():
        await pool.natively(opened, "a")
        (lease,) = pool.leases()
        assert "test_native_transactions.py" in lease.site
        assert "test_the_lease_of_a_transaction" in lease.site
        assert lease.task is asyncio.current_task()
    lines = []

    def look() -> None:
        with transaction.atomic():
            opened("b")
            lines.extend(each.site for each in pool.leases())

    await pool.natively(look)
    assert "test_the_lease_of_a_transaction" in lines[0]
