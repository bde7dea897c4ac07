"""Run as a process: writes and reads a stream of documents, and prints the megabytes it had."""

from __future__ import annotations

import asyncio
import os
import resource
import sys

import django


async def stream(url: str, index: str, count: int) -> None:
    from poolapp.managers.elasticsearch import ElasticsearchManager
    from tests.real import elasticsearch_pool
    from tests.stores.models import bind
    from tests.stores.models_elasticsearch import Line

    async with elasticsearch_pool(url, max_size=10) as pool:
        lines = bind(ElasticsearchManager(pool.alias, index), Line)
        made = (Line(id=number, parity=number % 2 == 0) for number in range(count))
        result = await lines.abulk_create(made, update_conflicts=True)
        assert result.succeeded == count, result
        seen = total = 0
        async for line in lines.all():
            seen += 1
            total += line.id
        assert (seen, total) == (count, count * (count - 1) // 2), seen


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    asyncio.run(stream(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
