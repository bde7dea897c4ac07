"""The short cuts of a MongoDB pool: databases, single operations, transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
)
from pymongo.read_concern import ReadConcern

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from poolapp.core.exceptions import ConfigurationError
from poolapp.devservices.ports import free_port
from tests.mongodb_server import MONGODB, failing, mongodb_pool, outsider, own_server
from tests.real import config_of


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that can be told to fail; its URL names the database ``shop``."""
    folder: Path = tmp_path_factory.mktemp("mongodb")
    with own_server(folder, "--enable-test-commands") as url:
        yield url


@pytest.fixture
async def admin(url: str) -> AsyncIterator[Any]:
    async with outsider(url) as admin:
        # Of an earlier test, whose commit never came to an end.
        await admin.admin.command("killAllSessions", [])
        await admin.drop_database("shop")
        yield admin


@pytest.fixture
async def pool(url: str, admin: Any) -> AsyncIterator[Any]:
    await admin.shop.create_collection("things")
    async with mongodb_pool(url, max_size=4, connect_timeout=2.0) as pool:
        yield pool


async def things(admin: Any) -> list[Any]:
    return [each["_id"] async for each in admin.shop.things.find().sort("_id")]


class TestDatabase:
    async def test_it_is_that_of_the_url_or_the_one_that_is_named(self, pool: Any) -> None:
        async with pool.database() as shop, pool.database("other") as other:
            assert (shop.name, other.name) == ("shop", "other")
            assert pool.in_use == 2
        assert pool.in_use == 0

    async def test_where_none_is_named_the_caller_is_told_what_to_write(self, url: str) -> None:
        async with mongodb_pool(url.removesuffix("/shop")) as pool:
            with pytest.raises(ConfigurationError, match="LOCATION names no database"):
                async with pool.database():
                    pass
            with pytest.raises(ConfigurationError, match="LOCATION names no database"):
                await pool.run(lambda db: db.things.find_one({}))
            assert pool.in_use == 0

    async def test_the_lease_is_known_by_the_line_of_its_block(self, pool: Any) -> None:
        async with pool.database():
            (lease,) = pool.leases()
            assert "in TestDatabase.test_the_lease_is_known" in lease.site

    async def test_it_waits_for_a_seat_as_long_as_it_is_told(self, pool: Any) -> None:
        held = [await pool.acquire() for _ in range(4)]
        with pytest.raises(PoolTimeout):
            async with pool.database(timeout=0):
                pass
        for lease in held:
            lease.release()


class TestRun:
    async def test_one_operation(self, pool: Any) -> None:
        await pool.run(lambda db: db.things.insert_one({"_id": 1}))
        assert await pool.run(lambda db: db.things.find_one({"_id": 1})) == {"_id": 1}
        assert await pool.run(lambda db: db.things.find_one({}), database="other") is None

    async def test_an_error_of_the_server_comes_out_as_it_is(self, pool: Any) -> None:
        await pool.run(lambda db: db.things.insert_one({"_id": 1}))
        with pytest.raises(DuplicateKeyError):
            await pool.run(lambda db: db.things.insert_one({"_id": 1}))
        assert pool.stats().lost == 0

    async def test_a_cursor_is_refused_with_the_way_out(self, pool: Any) -> None:
        with pytest.raises(TypeError, match=r"not 'AsyncCursor'; end a cursor with .to_list\(\)"):
            await pool.run(lambda db: db.things.find({}))
        assert await pool.run(lambda db: db.things.find({}).to_list()) == []
        assert pool.in_use == 0

    async def test_a_lost_connection_is_told_as_an_outage(self, pool: Any, admin: Any) -> None:
        async with failing(admin, "count", "aggregate", times=2, closeConnection=True):
            with pytest.raises(BackendUnavailable, match="may or may not") as info:
                await pool.run(lambda db: db.things.count_documents({}))
        assert isinstance(info.value.__cause__, AutoReconnect)
        assert await pool.run(lambda db: db.things.count_documents({})) == 0

    async def test_from_another_loop(self, url: str, admin: Any) -> None:
        config = config_of(MONGODB, url, loops="shared", max_size=2)
        pools.register(config.alias, config)

        async def ask(number: int) -> Any:
            await pools[config.alias].run(lambda db: db.things.insert_one({"_id": number}))

        def from_sync() -> None:
            for number in range(5):
                asyncio.run(ask(number))

        await asyncio.to_thread(from_sync)
        assert await things(admin) == [0, 1, 2, 3, 4]
        (home,) = [each for each in pools.all(initialized_only=True) if each.stats().connected]
        assert (home.alias, home.stats().connected) == (config.alias, 1)
        await pools.remove(config.alias)


class TestTransaction:
    async def test_the_end_of_the_block_commits(self, pool: Any, admin: Any) -> None:
        async with pool.transaction(read_concern=ReadConcern("snapshot")) as session:
            shop = session.client.get_default_database()
            await shop.things.insert_one({"_id": 1}, session=session)
            await shop.things.insert_one({"_id": 2}, session=session)
            assert await things(admin) == []
            assert pool.in_use == 1
        assert await things(admin) == [1, 2]
        assert pool.in_use == 0

    async def test_an_exception_aborts(self, pool: Any, admin: Any) -> None:
        with pytest.raises(DuplicateKeyError):
            async with pool.transaction() as session:
                for _ in range(2):
                    await session.client.shop.things.insert_one({"_id": 1}, session=session)
        assert await things(admin) == []
        assert pool.in_use == 0

    async def test_a_cancel_aborts(self, pool: Any, admin: Any) -> None:
        written = asyncio.Event()

        async def hold() -> None:
            async with pool.transaction() as session:
                await session.client.shop.things.insert_one({"_id": 1}, session=session)
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The document is free again: nothing of the transaction is left.
        await admin.shop.things.insert_one({"_id": 1})
        assert pool.in_use == 0

    async def test_one_that_the_block_ended_itself_stays_ended(self, pool: Any, admin: Any) -> None:
        async with pool.transaction() as session:
            await session.client.shop.things.insert_one({"_id": 1}, session=session)
            await session.abort_transaction()
        assert await things(admin) == []

    async def test_an_empty_one_asks_nobody(self, pool: Any) -> None:
        async with pool.transaction() as session:
            assert session.in_transaction
        assert not session.in_transaction

    async def test_a_session_is_of_no_use_after_the_block(self, pool: Any) -> None:
        async with pool.transaction() as session:
            pass
        with pytest.raises(InvalidOperation):
            await session.client.shop.things.find_one({}, session=session)

    @pytest.mark.parametrize("how", ["code", "connection"])
    async def test_a_commit_of_unknown_result_is_repeated(
        self, pool: Any, admin: Any, how: str
    ) -> None:
        """The driver itself repeats it once."""
        data = {
            "code": {"errorCode": 89, "errorLabels": ["UnknownTransactionCommitResult"]},
            "connection": {"closeConnection": True},
        }
        async with (
            failing(admin, "commitTransaction", times=3, **data[how]),
            pool.transaction() as session,
        ):
            await session.client.shop.things.insert_one({"_id": 1}, session=session)
        assert await things(admin) == [1]

    async def test_a_commit_that_stays_unknown_is_an_outage(self, url: str, admin: Any) -> None:
        async with mongodb_pool(url, connect_timeout=0.3) as pool:
            async with failing(admin, "commitTransaction", times=1000, closeConnection=True):
                with pytest.raises(BackendUnavailable, match="during a commit, which may or may"):
                    async with pool.transaction() as session:
                        await session.client.shop.things.insert_one({"_id": 1}, session=session)
            assert pool.in_use == 0

    async def test_a_refused_commit_comes_out_as_it_is(self, pool: Any, admin: Any) -> None:
        async with failing(admin, "commitTransaction", times=1, errorCode=251):
            with pytest.raises(OperationFailure) as info:
                async with pool.transaction() as session:
                    await session.client.shop.things.insert_one({"_id": 1}, session=session)
        assert info.value.code == 251

    async def test_a_commit_that_took_too_long_is_not_repeated(self, pool: Any, admin: Any) -> None:
        """``max_commit_time_ms`` is told as the driver tells it."""
        labels = ["UnknownTransactionCommitResult"]
        async with failing(admin, "commitTransaction", times=9, errorCode=50, errorLabels=labels):
            with pytest.raises(ExecutionTimeout):
                async with pool.transaction(max_commit_time_ms=100) as session:
                    await session.client.shop.things.insert_one({"_id": 1}, session=session)

    async def test_a_transient_error_in_the_block_keeps_its_label(
        self, pool: Any, admin: Any
    ) -> None:
        labels = ["TransientTransactionError"]
        async with failing(admin, "insert", times=1, errorCode=112, errorLabels=labels):
            with pytest.raises(OperationFailure) as info:
                async with pool.transaction() as session:
                    await session.client.shop.things.insert_one({"_id": 1}, session=session)
        assert info.value.has_error_label("TransientTransactionError")

    async def test_to_begin_raises_what_acquire_raises(self) -> None:
        url = f"mongodb://127.0.0.1:{free_port()}"
        async with mongodb_pool(url, acquire_timeout=0.2) as pool:
            with pytest.raises(PoolError):
                async with pool.transaction():
                    pass
