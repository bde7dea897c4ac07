"""A second pool, of a driver that has no backend here: Valkey, one connection for each holder.

Each connection counts itself in and out at the server, so that a goodbye can be told from a
process that merely ended.
"""

import os

from django.apps import AppConfig
from django.conf import settings
from redis.asyncio import Redis

from poolapp import pools


class ServedConfig(AppConfig):
    name = "served"

    def ready(self) -> None:
        pools.register(
            "keys", create=_hello, validate=_ping, close=_goodbye, max_size=settings.MAX_SIZE,
            acquire_timeout=60,
        )  # fmt: skip


async def _hello() -> Redis:
    client: Redis = Redis.from_url(
        os.environ["SERVED_REDIS_URL"], single_connection_client=True, client_name=settings.NAME
    )
    try:
        await client.initialize()
        await client.sadd(f"hello:{settings.NAME}", await client.client_id())
    except BaseException:
        # The loop may end while the pool connects. Nobody else knows of this connection yet.
        await _goodbye(client)
        raise
    return client


async def _ping(client: Redis) -> None:
    await client.ping()


async def _goodbye(client: Redis) -> None:
    try:
        await client.sadd(f"goodbye:{settings.NAME}", await client.client_id())
    finally:
        await client.aclose()
