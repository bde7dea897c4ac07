"""A worker process: opens the pools that it is told to, and does what its stdin says."""

import asyncio
import os
import sys

import django


async def work() -> None:
    from poolapp import pools
    from poolapp.monitoring import fleet

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    for alias in os.environ.get("FLEET_USES", "cache").split(","):
        await pools[alias].ping()
    print("ready", flush=True)
    held = []
    while words := (await reader.readline()).decode().split():
        match words:
            case ["hold", alias]:
                held.append(await pools[alias].acquire())
                print("held", flush=True)
            case ["release"]:
                held.pop().release()
                print("released", flush=True)
            case ["sizes", alias]:
                config = pools.config(alias)
                print(config.min_size, config.max_size, flush=True)
            case ["trouble"]:
                print(fleet.fleet.member.trouble.partition(":")[0], flush=True)
            case ["state", alias]:
                print(pools[alias].state, flush=True)
            case ["use", alias]:
                async with pools[alias].acquire() as client:
                    await client.ping()
                print("used", flush=True)
    for lease in held:
        lease.release()
    await pools.close_all()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
    django.setup()
    asyncio.run(work())
