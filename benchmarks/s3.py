"""S3: 100 puts of 4 KB at once, beside one shared aioboto3 client and beside a client per call;
100 instances created at once by the manager, beside as many records by dataknobs-data.

The peers are aioboto3 and dataknobs-data as their documentation has them. Ours is the same driver,
told not to compute a CRC32 beside the SHA-256 that the signature of a server of one's own holds
anyway.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import aioboto3  # type: ignore[import-untyped]
from aiobotocore.config import AioConfig  # type: ignore[import-untyped]

from benchmarks import dataknobs, peers
from benchmarks.measure import Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ("s3",)

AT_ONCE = 100
SOCKETS = 10
BODY = bytes(4096)
TEXT = "Every connection a Django project keeps open. " * 90
FIELDS = {"title": "Pools", "body": TEXT, "likes": 7}
BUCKET = "poolapp-benchmark"
REGION = "us-east-1"

OURS = "ours"


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    label: str
    put: Callable[[str], Awaitable[Any]]
    """Writes BODY under a key."""

    async def work(self, count: int) -> int:
        """In batches of 100, or fewer where not even that many fit into a round."""
        done = 0
        while done < count:
            batch = min(AT_ONCE, count)
            await asyncio.gather(*(self.put(f"key{number}") for number in range(batch)))
            done += batch
        return done


async def run(lab: Lab) -> None:
    await puts(lab)
    await creates(lab)


async def puts(lab: Lab) -> None:
    lab.report.goals["s3.put_100_vs_pooled"] = Goal(">=", 1.0)
    lab.report.goals["s3.put_100_vs_client_per_call"] = Goal(">=", 20.0)
    async with contestants(lab.urls["s3"]) as field:
        found = await lab.race({each.name: each.work for each in field})
    section = lab.report.section(
        f"{AT_ONCE} puts of {len(BODY)} bytes at once over {SOCKETS} sockets: puts per second",
        "ours / it",
    )
    for each in field:
        speeds = [1 / seconds for seconds in found[each.name]]
        key = lab.report.add(f"s3.put_100_{each.name}_ops", speeds, "ops/s")
        ratio = None
        if each.name != OURS:
            times = ratios(found[each.name], found[OURS])
            ratio = lab.report.add(f"s3.put_100_vs_{each.name}", times, "x")
        section.rows.append(Row(each.label, key, ratio))


async def creates(lab: Lab) -> None:
    lab.report.goals["s3.create_100_vs_dataknobs"] = Goal(">=", 20.0)
    section = lab.report.section(
        f"{AT_ONCE} instances of {len(TEXT)} characters created at once: creates per second",
        "ours / it",
    )
    shipped_observers()
    async with pool_of(lab.urls["s3"]) as pool, AsyncExitStack() as stack:
        await pool.create_bucket()
        article = article_model()

        async def create() -> None:
            await article.files.acreate(**FIELDS)

        works = {OURS: Contestant(OURS, "", lambda key: create()).work}
        try:
            works["dataknobs"] = await stack.enter_async_context(
                dataknobs.peer(lab, "s3", dataknobs_settings(lab.urls["s3"]))
            )
        except dataknobs.NotInstalled as error:
            section.notes.append(f"Without dataknobs-data: {error}.")
        found = await lab.race(works)
    labels = {OURS: "poolapp, S3Manager.acreate", "dataknobs": "dataknobs-data, create"}
    for name, seconds in found.items():
        speeds = [1 / each for each in seconds]
        key = lab.report.add(f"s3.create_100_{name}_ops", speeds, "ops/s")
        ratio = None
        if name != OURS:
            times = ratios(seconds, found[OURS])
            ratio = lab.report.add(f"s3.create_100_vs_{name}", times, "x")
        section.rows.append(Row(labels[name], key, ratio))


@cache
def article_model() -> Any:
    """Made when Django is set up."""
    from django.db import models

    from poolapp.managers import S3Manager

    class S3Article(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        title = models.CharField(max_length=200)
        body = models.TextField()
        likes = models.IntegerField()

        files = S3Manager(pool=peers.ALIAS, prefix="articles/")

        class Meta:
            app_label = "benchmarks"

    return S3Article


def dataknobs_settings(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "bucket": BUCKET,
        "prefix": "dataknobs",
        "endpoint_url": f"{parts.scheme}://{parts.hostname}:{parts.port}",
        "region_name": REGION,
        "aws_access_key_id": parts.username,
        "aws_secret_access_key": parts.password,
        "fields": FIELDS,
    }


@asynccontextmanager
async def pool_of(url: str) -> AsyncIterator[Any]:
    pools.register(
        peers.ALIAS,
        PoolConfig(
            alias=peers.ALIAS,
            backend="poolapp.backends.s3.S3Backend",
            locations=(Location.parse(f"{url}/{BUCKET}?region={REGION}"),),
            max_size=SOCKETS,
        ),
    )
    try:
        yield pools[peers.ALIAS]
    finally:
        await pools.remove(peers.ALIAS)


@asynccontextmanager
async def contestants(url: str) -> AsyncIterator[list[Contestant]]:
    parts = urlsplit(url)
    session = aioboto3.Session(
        aws_access_key_id=parts.username,
        aws_secret_access_key=parts.password,
        region_name=REGION,
    )

    def client() -> Any:
        endpoint = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        config = AioConfig(max_pool_connections=SOCKETS)
        return session.client("s3", endpoint_url=endpoint, config=config)

    shipped_observers()
    async with AsyncExitStack() as stack:
        shared = await stack.enter_async_context(client())
        await shared.create_bucket(Bucket=BUCKET)
        pool = await stack.enter_async_context(pool_of(url))

        async def per_call(key: str) -> None:
            async with client() as own:
                await own.put_object(Bucket=BUCKET, Key=key, Body=BODY)

        yield [
            Contestant(OURS, "poolapp, pool.put", lambda key: pool.put(key, BODY)),
            Contestant(
                "pooled",
                "one aioboto3 client",
                lambda key: shared.put_object(Bucket=BUCKET, Key=key, Body=BODY),
            ),
            Contestant("client_per_call", "an aioboto3 client per call", per_call),
        ]
