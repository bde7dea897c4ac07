"""What PostgreSQL and Valkey know of the connections of one name: how many there are, and whether
those that are gone said goodbye."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from redis.asyncio import Redis

from tests.acceptance.servers.served.work import GATE
from tests.real import eventually
from tests.servers import PostgresServer

SETTINGS = {
    "log_connections": "on",
    "log_disconnections": "on",
    # The sudden end of a client that has no transaction open is told at this level only.
    "log_min_messages": "debug1",
    "log_statement": "all",
    "log_line_prefix": "%p|",
}
"""Of a PostgreSQL server whose log tells how its clients left."""

RUDE = (
    "unexpected EOF on client connection",
    "could not receive data from client",
    "could not send data to client",
    "connection to client lost",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Log:
    """What PostgreSQL's log says of the clients of one name."""

    opened: set[str]
    """The server's processes for them."""
    complete: bool
    """Whether the end of each is told."""
    rude: list[str]
    """Of those that left without a word after they were used. A connect that is given up halfway,
    because the loop ends, has nobody to say goodbye to."""


def log_of(server: PostgresServer, name: str) -> Log:
    log = (server.folder / "postgres.log").read_text(errors="replace")

    def told(what: str) -> set[str]:
        return set(re.findall(rf"^(\d+)\|LOG:  {what}", log, re.MULTILINE))

    opened = told(rf"connection authorized: .*application_name={re.escape(name)}$")
    served = opened & told("(?:statement|execute)")
    lines = [line.partition("|") for line in log.splitlines()]
    return Log(
        opened=opened,
        complete=opened <= told("disconnection:"),
        rude=[
            text for pid, _, text in lines if pid in served and any(each in text for each in RUDE)
        ],
    )


async def complete_log(server: PostgresServer, name: str) -> Log:
    """Once it tells of the end of each: the server writes that down after the client has gone."""

    async def complete() -> bool:
        return log_of(server, name).complete

    await eventually(complete)
    return log_of(server, name)


class Watch:
    """Of the connections of one name."""

    def __init__(
        self, name: str, server: PostgresServer, admin: asyncpg.Connection[Any], redis: Redis
    ) -> None:
        self.name = name
        self._server = server
        self._admin = admin
        self._redis = redis

    async def sessions(self) -> int:
        """Those of PostgreSQL that are open now."""
        return int(
            await self._admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", self.name
            )
        )

    async def clients(self) -> int:
        """Those of Valkey that are open now."""
        return sum(each["name"] == self.name for each in await self._redis.client_list())

    async def at_gate(self) -> int:
        """Sessions that wait there."""
        return int(
            await self._admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = $1 AND wait_event_type = 'Lock'",
                self.name,
            )
        )

    @asynccontextmanager
    async def gate_shut(self) -> AsyncIterator[None]:
        """Whoever asks waits meanwhile, with a connection in hand."""
        await self._admin.execute(f"SELECT pg_advisory_lock({GATE})")
        try:
            yield
        finally:
            await self._admin.execute(f"SELECT pg_advisory_unlock({GATE})")

    async def until_sessions(self, count: int) -> None:
        """PostgreSQL has that many of them open."""

        async def there() -> bool:
            return await self.sessions() == count

        await eventually(there)

    async def until_gone(self) -> None:
        """Both servers have forgotten all of them."""

        async def gone() -> bool:
            return not await self.sessions() and not await self.clients()

        await eventually(gone)

    async def opened(self) -> set[str]:
        """The PostgreSQL server's processes for them, of all time."""
        return log_of(self._server, self.name).opened

    async def rude(self) -> list[str]:
        """What PostgreSQL's log says of those that left without a word.

        Returns when it has told of the end of each.
        """
        return (await complete_log(self._server, self.name)).rude

    async def hellos(self) -> int:
        """Connections that told Valkey that they were opened."""
        return int(await self._redis.scard(f"hello:{self.name}"))

    async def without_goodbye(self) -> set[str]:
        """Those that did not tell it that they are closed."""
        return set(await self._redis.sdiff([f"hello:{self.name}", f"goodbye:{self.name}"]))


@asynccontextmanager
async def watching(name: str, server: PostgresServer, redis_url: str) -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(server.url)
        stack.push_async_callback(admin.close)
        redis: Redis = await stack.enter_async_context(
            Redis.from_url(redis_url, decode_responses=True)
        )
        yield Watch(name, server, admin, redis)
