"""A second pool, of a driver that has no backend here: Valkey, one connection for each holder.

Each connection counts itself in and out at the server, so that a goodbye can be told from a
process that merely ended.
"""

import os

from django.apps import AppConfig
from django.conf import settings
from redis.asyncio import Redis

from poolapp import pools


class Client(Redis):
    number = 0
    """Valkey's own for this connection."""


class ServedConfig(AppConfig):
    name = "served"

    def ready(self) -> None:
        pools.register(
            "keys",
            create=_hello,
            validate=_ping,
            close=_goodbye,
            max_size=settings.MAX_SIZE,
            acquire_timeout=60,
            close_timeout=settings.CLOSE_TIMEOUT,
        )


async def _hello() -> Client:
    client: Client = Client.from_url(
        os.environ["SERVED_REDIS_URL"], single_connection_client=True, client_name=settings.NAME
    )
    try:
        await client.initialize()
        client.number = await client.client_id()
        await client.sadd(f"hello:{settings.NAME}", client.number)
    except BaseException:
        # The loop may end while the pool connects. Nobody else knows of this connection yet.
        await _goodbye(client)
        raise
    return client


async def _ping(client: Client) -> None:
    await client.ping()


async def _goodbye(client: Client) -> None:
    try:
        await client.sadd(f"goodbye:{settings.NAME}", client.number)
    finally:
        await client.aclose()
