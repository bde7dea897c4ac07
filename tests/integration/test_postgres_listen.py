"""LISTEN and NOTIFY on a connection of the pool's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from poolapp import BackendUnavailable, PoolError
from poolapp.backends.postgres import Notification
from tests.real import eventually, kill_sessions, postgres_pool


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[Any]:
    async with postgres_pool(postgres_url, alias="listening", max_size=2) as pool:
        yield pool


async def test_notifications_of_all_channels_come_in_their_order(pool: Any, pg_admin: Any) -> None:
    async with pool.listen("news", 'odd "name"') as notifications:
        await pg_admin.execute("NOTIFY news, 'first'")
        await pg_admin.execute('NOTIFY "odd ""name""", \'second\'')
        await pg_admin.execute("NOTIFY elsewhere")
        await pg_admin.execute("NOTIFY news")
        pid = pg_admin.get_server_pid()
        assert [await anext(notifications) for _ in range(3)] == [
            Notification("news", "first", pid),
            Notification('odd "name"', "second", pid),
            Notification("news", "", pid),
        ]


async def test_async_for_waits_for_what_comes_later(pool: Any, pg_admin: Any) -> None:
    heard: list[str] = []

    async def listen() -> None:
        async with pool.listen("later") as notifications:
            listening.set()
            async for each in notifications:
                heard.append(each.payload)
                if each.payload == "end":
                    break

    listening = asyncio.Event()
    task = asyncio.create_task(listen())
    await listening.wait()
    for payload in ("one", "two", "end"):
        await pg_admin.execute("SELECT pg_notify('later', $1)", payload)
    await task
    assert heard == ["one", "two", "end"]
    assert pool.in_use == 0


async def test_it_holds_one_connection_and_gives_it_back_silent(pool: Any, pg_admin: Any) -> None:
    async with pool.listen("held"):
        assert pool.in_use == 1
        (lease,) = pool.leases()
        assert lease.lasting
    assert pool.in_use == 0
    async with pool.acquire() as connection:
        assert await connection.fetch("SELECT pg_listening_channels()") == []
    assert pool.stats().connected == 1


async def test_a_slow_reader_loses_the_oldest_and_is_told(
    pool: Any, pg_admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with pool.listen("flood", "done", limit=3) as notifications:
        with caplog.at_level(logging.WARNING, "poolapp.postgres"):
            for number in range(5):
                await pg_admin.execute("SELECT pg_notify('flood', $1)", str(number))
            await pg_admin.execute("NOTIFY done")

            async def all_have_come() -> bool:
                return notifications.dropped == 3

            await eventually(all_have_come)
            seen = [(await anext(notifications)).payload for _ in range(3)]
    assert seen == ["3", "4", ""]
    assert len([each for each in caplog.records if "dropped" in each.message]) == 1


async def test_a_lost_connection_ends_it_with_an_outage(pool: Any, pg_admin: Any) -> None:
    async with pool.listen("lost") as notifications:
        await pg_admin.execute("NOTIFY lost, 'before'")
        assert (await anext(notifications)).payload == "before"
        await kill_sessions(pg_admin, "poolapp:listening:%")
        with pytest.raises(BackendUnavailable, match="'listening'"):
            await anext(notifications)
    assert pool.in_use == 0
    async with pool.listen("lost") as notifications:
        await pg_admin.execute("NOTIFY lost, 'after'")
        assert (await anext(notifications)).payload == "after"


async def test_it_ends_when_the_pool_closes(postgres_url: str) -> None:
    async with postgres_pool(postgres_url) as pool:
        listening = asyncio.Event()

        async def listen() -> str:
            async with pool.listen("closing") as notifications:
                listening.set()
                async for _ in notifications:
                    pass
            return "ended"

        task = asyncio.create_task(listen())
        await listening.wait()
        await pool.close(timeout=60)
        assert await task == "ended"


async def test_a_cancelled_listener_gives_its_connection_back(pool: Any) -> None:
    listening = asyncio.Event()

    async def listen() -> None:
        async with pool.listen("cancelled") as notifications:
            listening.set()
            await anext(notifications)

    task = asyncio.create_task(listen())
    await listening.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pool.in_use == 0
    async with pool.acquire() as one, pool.acquire() as other:
        assert await one.fetchval("SELECT 1") == await other.fetchval("SELECT 1") == 1


async def test_a_channel_that_can_not_be_listened_to_leaks_nothing(pool: Any) -> None:
    with pytest.raises(asyncpg.PostgresError):
        async with pool.listen(""):
            pass
    assert pool.in_use == 0
    assert await pool.fetchval("SELECT 1") == 1


async def test_outside_of_its_block_it_says_how_it_is_used(pool: Any) -> None:
    notifications = pool.listen("early")
    with pytest.raises(PoolError, match="async with"):
        await anext(notifications)
