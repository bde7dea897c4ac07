"""What PostgreSQL and Valkey know of the connections of one name: how many there are, and whether
those that are gone said goodbye."""

from __future__ import annotations

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

    async def until_gone(self) -> None:
        """Both servers have forgotten all of them."""

        async def gone() -> bool:
            return not await self.sessions() and not await self.clients()

        await eventually(gone)

    async def opened(self) -> set[str]:
        """The PostgreSQL server's processes for them, of all time."""
        told = rf"^(\d+)\|LOG:  connection authorized: .*application_name={re.escape(self.name)}$"
        return set(re.findall(told, self._log, re.MULTILINE))

    async def rude(self) -> list[str]:
        """What PostgreSQL's log says of those that left without a word after they were used.

        A connect that is given up halfway, because the loop ends, has nobody to say goodbye to.
        Returns when the log has told of the end of each.
        """
        opened = await self.opened()

        async def all_told() -> bool:
            ended = set(re.findall(r"^(\d+)\|LOG:  disconnection:", self._log, re.MULTILINE))
            return opened <= ended

        await eventually(all_told)
        used = set(re.findall(r"^(\d+)\|LOG:  (?:statement|execute)", self._log, re.MULTILINE))
        lines = [line.partition("|") for line in self._log.splitlines()]
        return [
            text
            for pid, _, text in lines
            if pid in opened & used and any(each in text for each in RUDE)
        ]

    async def hellos(self) -> int:
        """Connections that told Valkey that they were opened."""
        return int(await self._redis.scard(f"hello:{self.name}"))

    async def without_goodbye(self) -> set[str]:
        """Those that did not tell it that they are closed."""
        return set(await self._redis.sdiff([f"hello:{self.name}", f"goodbye:{self.name}"]))

    @property
    def _log(self) -> str:
        return (self._server.folder / "postgres.log").read_text(errors="replace")


@asynccontextmanager
async def watching(name: str, server: PostgresServer, redis_url: str) -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        admin = await asyncpg.connect(server.url)
        stack.push_async_callback(admin.close)
        redis: Redis = await stack.enter_async_context(
            Redis.from_url(redis_url, decode_responses=True)
        )
        yield Watch(name, server, admin, redis)
