"""Run as a process: reads a stream of documents, writes a part of it elsewhere, and prints the
megabytes it had."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator
from typing import Any

import django


async def stream(url: str, count: int) -> None:
    from poolapp.managers import RedisManager
    from tests.stores.models import Author, bind
    from tests.valkey import redis_pool

    async with redis_pool(url) as pool:
        authors = bind(RedisManager(pool.alias, prefix="authors"), Author)
        others = bind(RedisManager(pool.alias, prefix="others"), Author)
        seen = total = 0

        async def tenth() -> AsyncIterator[Any]:
            nonlocal seen, total
            async for author in authors.all().aiterator(chunk_size=1000):
                seen += 1
                total += author.id
                if author.id % 10 == 0:
                    yield author

        result = await others.abulk_create(tenth(), batch_size=500)
        assert result.succeeded == count // 10, result
        assert (seen, total) == (count, count * (count + 1) // 2), seen


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    asyncio.run(stream(sys.argv[1], int(sys.argv[2])))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
