"""A process of a fleet: ``python -m tests.integration.relaying FEED_URL REDIS_URL``. It prints what
it is told, one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import django
from django.conf import settings


def topic_of(message: Any) -> Any:
    text = message.decode() if isinstance(message, bytes) else message
    return text.split()[0]


async def main(feed_url: str, redis_url: str) -> None:
    from channels_redis.core import RedisChannelLayer

    from poolapp import pools
    from poolapp.core.subscription import Gap
    from poolapp.integrations import fleet_relay
    from tests.feed import WEBSOCKET
    from tests.real import config_of

    fleet_relay.LOCK_SECONDS = 0.5
    redis = "poolapp.backends.redis.RedisBackend"
    pools.register("locks", config_of(redis, redis_url, alias="locks"))
    pools.register("prices", config_of(WEBSOCKET, feed_url, alias="prices"))
    layer = RedisChannelLayer(hosts=[redis_url])

    async def tell() -> None:
        while not messages.connected:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        print(json.dumps({"connected": True}))

    async with fleet_relay.subscribe_in_fleet("locks", layer, "prices") as messages:
        print(json.dumps({"ready": True}))
        telling = asyncio.create_task(tell())
        async for each in messages:
            if isinstance(each, Gap):
                print(json.dumps({"gap": each.reason}))
            else:
                print(json.dumps({"message": each}))
                (member,) = fleet_relay._members.values()
                print(json.dumps({"leads": member.leads}))
        await telling


if __name__ == "__main__":
    settings.configure(INSTALLED_APPS=["poolapp"], DATABASES={})
    django.setup()
    asyncio.run(main(*sys.argv[1:]))
