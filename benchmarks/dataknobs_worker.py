"""Runs in the environment of dataknobs-data: reads orders from stdin, a JSON object in each line,
and answers each in a line of stdout. Uses it as its documentation has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

AT_ONCE = 100
BATCH = 5000


async def s3(settings: dict[str, Any]) -> Callable[[int], Awaitable[int]]:
    """Creates at once, 100 or fewer."""
    from dataknobs_data import Record  # type: ignore[import-not-found]
    from dataknobs_data.backends.s3_async import (  # type: ignore[import-not-found]
        AsyncS3Database,
    )

    fields = settings.pop("fields")
    database = AsyncS3Database(settings)
    await database.connect()

    async def work(count: int) -> int:
        done = 0
        while done < count:
            batch = min(AT_ONCE, count)
            await asyncio.gather(*(database.create(Record({**fields})) for _ in range(batch)))
            done += batch
        return done

    return work


async def elasticsearch(settings: dict[str, Any]) -> Callable[[int], Awaitable[int]]:
    """Batches of 5000, or fewer."""
    from dataknobs_data import Record
    from dataknobs_data.backends.elasticsearch_async import (  # type: ignore[import-not-found]
        AsyncElasticsearchDatabase,
    )

    documents = settings.pop("documents")
    database = AsyncElasticsearchDatabase(settings)
    await database.connect()

    async def work(count: int) -> int:
        done = 0
        while done < count:
            batch = documents[: min(BATCH, count)]
            written = await database.create_batch([Record({**each}) for each in batch])
            if len(written) != len(batch):
                raise RuntimeError(f"{len(written)} of {len(batch)} documents were written")
            done += len(batch)
        return done

    return work


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    stores = {"s3": s3, "elasticsearch": elasticsearch}
    work = await stores[order["store"]](order["settings"])
    print(json.dumps({"ready": True}), flush=True)
    # On the loop: it has nothing else to do meanwhile.
    for line in sys.stdin:
        done = await work(json.loads(line)["count"])
        print(json.dumps({"done": done}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
