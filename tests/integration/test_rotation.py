"""A password that is changed while a pool works under load: nobody sees an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import quote, urlsplit

import pytest

from poolapp import conf, pools
from tests.real import eventually, heard, sessions

ROLE = "rotating"
POSTGRES = "poolapp.backends.postgres.PostgresBackend"
FIRST, SECOND = "spring:@/#%?", "summer'&=+ \\"


class Vault:
    """Where the password is kept."""

    def __init__(self, admin: Any, url: str) -> None:
        self._admin = admin
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self.password = FIRST

    def __call__(self) -> str:
        return f"postgresql://{ROLE}:{quote(self.password, safe='')}@{self._host}/postgres"

    async def rotate(self, password: str) -> None:
        """The server first, as a rotation does: connects with the old one fail from then on."""
        quoted = password.replace("'", "''")
        await self._admin.execute(f"ALTER ROLE {ROLE} PASSWORD '{quoted}'")
        self.password = password


@pytest.fixture
async def vault(pg_admin: Any, postgres_url: str) -> AsyncIterator[Vault]:
    await pg_admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{FIRST}'")
    yield Vault(pg_admin, postgres_url)
    await pg_admin.execute(f"DROP ROLE {ROLE}")


@pytest.fixture
async def declare(settings: Any) -> AsyncIterator[Any]:
    """Declare the alias ``rotated`` in the settings, with this LOCATION."""

    def declare(location: object) -> None:
        settings.POOLS = {
            "rotated": {
                "BACKEND": POSTGRES,
                "LOCATION": location,
                "MIN_SIZE": 2,
                "MAX_SIZE": 6,
                "ACQUIRE_TIMEOUT": 20,
            }
        }

    yield declare
    await pools.remove("rotated")


class Load:
    """Callers that come and go until the block ends, more than there are connections."""

    def __init__(self, tasks: int = 12) -> None:
        self._count = tasks
        self._stop = False
        self.answers = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)  # raises what any of them was told

    async def _call(self) -> None:
        while not self._stop:
            async with pools["rotated"].acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
            self.answers += 1

    async def answered(self, more: int) -> None:
        enough = self.answers + more

        async def so_many() -> bool:
            return self.answers >= enough

        await eventually(so_many)


async def all_replaced(admin: Any, before: set[int]) -> None:
    """Wait until the server serves none of these sessions any more."""

    async def gone() -> bool:
        return not before & set(await sessions(admin, "poolapp:rotated:%"))

    await eventually(gone)


async def all_open(admin: Any) -> set[int]:
    """The sessions of the pool, once there are as many as there may be."""

    async def found() -> set[int]:
        pids = set(await sessions(admin, "poolapp:rotated:%"))
        return pids if len(pids) == 6 else set()

    return set(await eventually(found))


async def test_a_function_is_asked_at_the_next_connect_and_the_old_password_drained(
    declare: Any, vault: Vault, pg_admin: Any
) -> None:
    declare(vault)
    async with Load() as load:
        with heard("rotated") as events:
            await load.answered(50)
            before = await all_open(pg_admin)
            await vault.rotate(SECOND)
            await load.answered(50)
            assert await all_open(pg_admin) == before, "they work on until somebody connects"
            pools.resize("rotated", max_size=7)
            await all_replaced(pg_admin, before)
            await load.answered(50)
            assert events.connect_errors == []
            assert events.closed_because == ["drained"] * len(before)


async def test_a_drain_after_the_change_has_it_taken_up_at_once(
    declare: Any, vault: Vault, pg_admin: Any
) -> None:
    declare(vault)
    async with Load() as load:
        await load.answered(50)
        before = await all_open(pg_admin)
        await vault.rotate(SECOND)
        pools.drain("rotated")
        await all_replaced(pg_admin, before)
        await load.answered(50)


async def test_settings_that_name_another_password_drain_the_old_one(
    declare: Any, vault: Vault, pg_admin: Any
) -> None:
    declare(vault())
    async with Load() as load:
        await load.answered(50)
        pool, before = pools["rotated"], await all_open(pg_admin)
        await vault.rotate(SECOND)
        declare(vault())
        await all_replaced(pg_admin, before)
        await load.answered(50)
        assert pools["rotated"] is pool


async def test_those_who_live_serve_until_the_vault_knows_the_new_password_too(
    declare: Any, vault: Vault, pg_admin: Any
) -> None:
    declare(vault)
    async with Load() as load:
        await load.answered(50)
        before = await all_open(pg_admin)
        await vault.rotate(SECOND)
        vault.password = FIRST
        with heard("rotated") as events:
            pools.resize("rotated", max_size=7)
            await events.until(lambda: events.connect_errors)
            await load.answered(50)
            assert await all_open(pg_admin) == before
            vault.password = SECOND
            await all_replaced(pg_admin, before)
            assert all("password authentication failed" in each for each in events.connect_errors)


async def test_neither_password_is_shown_after_the_change(
    declare: Any, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    declare(vault)
    async with pools["rotated"].acquire():
        pass
    await vault.rotate(SECOND)
    pools.drain("rotated")
    async with pools["rotated"].acquire():
        pass
    config = pools.config("rotated")
    for password in (FIRST, SECOND):
        quoted = quote(password, safe="")
        assert config.scrub(f"{password} {quoted}") == "*** ***"
        shown = f"{config!r} {conf.effective_settings('rotated')} {caplog.text}"
        assert password not in shown
        assert quoted not in shown


async def test_a_shared_client_is_replaced_too(settings: Any, redis_url: str) -> None:
    now = [redis_url]
    settings.POOLS = {
        "rotated": {
            "BACKEND": "poolapp.backends.redis.RedisBackend",
            "LOCATION": lambda: now[0],
        }
    }
    async with pools["rotated"].acquire() as first:
        await first.execute_command("ACL", "SETUSER", ROLE, "on", ">summer:@", "~*", "+@all")
        try:
            now[0] = f"redis://{ROLE}:summer:@@{urlsplit(redis_url).netloc.rpartition('@')[2]}"
            pools.drain("rotated")
            async with asyncio.timeout(10), pools["rotated"].acquire() as second:
                assert second is not first
                whoami = await second.execute_command("ACL", "WHOAMI")
                assert whoami in (ROLE, ROLE.encode())
        finally:
            await first.execute_command("ACL", "DELUSER", ROLE)
    await pools.remove("rotated")
