"""Elasticsearch: a bulk of 5,000 instances, beside the client's own ``bulk`` of bytes that are
there already, and beside its ``async_bulk`` of documents made of the instances by hand.

All write the same fields under the same ids, each into an index of its own of the same mapping.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from elasticsearch import AsyncElasticsearch, JsonSerializer
from elasticsearch.helpers import async_bulk

from benchmarks import dataknobs, peers
from benchmarks.measure import SMOKE, Goal, Lab, Row, ratios
from benchmarks.observers import shipped_observers
from poolapp import PoolConfig, pools
from poolapp.core.config import Location

SERVICES = ("elasticsearch",)

BULK = 5000
OURS, BYTES, HELPER = "ours", "bytes", "async_bulk"
LABELS = {
    OURS: "ElasticsearchManager.abulk_create",
    BYTES: "client.bulk of bytes that are there",
    HELPER: "async_bulk of documents made by hand",
}

DATAKNOBS = {
    "dataknobs": "dataknobs-data, create_batch as it is",
    "dataknobs_unrefreshed": "dataknobs-data, told not to refresh",
}
"""It has the index refreshed after each batch, unless told otherwise."""

Write = Callable[[int], Awaitable[Any]]


async def run(lab: Lab) -> None:
    lab.report.goals["es.bulk_5000_vs_bytes"] = Goal(">=", 0.9)
    lab.report.goals["es.bulk_vs_dataknobs"] = Goal(">=", 1.5)
    section = lab.report.section(
        f"{BULK:,} instances in one bulk: instances per second", "ours / it"
    )
    url = lab.urls["elasticsearch"]
    async with contestants(url) as writes, AsyncExitStack() as stack:
        works = {name: _work(lab, write) for name, write in writes.items()}
        try:
            for name, settings in _dataknobs_settings(url).items():
                peer = dataknobs.peer(lab, "elasticsearch", settings)
                works[name] = await stack.enter_async_context(peer)
        except dataknobs.NotInstalled as error:
            section.notes.append(f"Without dataknobs-data: {error}.")
        found = await lab.race(works)
    for name, label in LABELS.items():
        speeds = [1 / seconds for seconds in found[name]]
        key = lab.report.add(f"es.bulk_5000_{name}_ops", speeds, "ops/s")
        ratio = None
        if name != OURS:
            times = ratios(found[name], found[OURS])
            ratio = lab.report.add(f"es.bulk_5000_vs_{name}", times, "x")
        section.rows.append(Row(label, key, ratio))
    for name, label in DATAKNOBS.items():
        if name in found:
            times = ratios(found[name], found[OURS])
            speeds = [1 / seconds for seconds in found[name]]
            key = lab.report.add(f"es.bulk_{name}_ops", speeds, "ops/s")
            ratio = lab.report.add(f"es.bulk_vs_{name}", times, "x")
            section.rows.append(Row(label, key, ratio))


def _work(lab: Lab, write: Write) -> Callable[[int], Awaitable[int]]:
    async def work(count: int) -> int:
        """Whole bulks, unless it is only to show that it runs."""
        size = min(count, BULK) if lab.effort is SMOKE else BULK
        done = 0
        while done < count:
            await write(size)
            done += size
        return done

    return work


@asynccontextmanager
async def contestants(url: str) -> AsyncIterator[dict[str, Write]]:
    """What writes the first so many of the instances."""
    shipped_observers()
    model = _model()
    pools.register(
        peers.ALIAS,
        PoolConfig(
            alias=peers.ALIAS,
            backend="poolapp.backends.elasticsearch.ElasticsearchBackend",
            locations=(Location.parse(url),),
            max_size=10,
        ),
    )
    instances = _instances(model)
    lines = [_lines(each) for each in instances]
    managers = {name: _manager(model, name) for name in LABELS}
    async with AsyncElasticsearch(url) as client:
        for manager in managers.values():
            await manager.ensure()
        everything = b"".join(lines)

        async def ours(count: int) -> None:
            result = await managers[OURS].abulk_create(instances[:count], update_conflicts=True)
            assert result.succeeded == count, result.failed[:1]

        async def as_bytes(count: int) -> None:
            body = everything if count == BULK else b"".join(lines[:count])
            answer = await client.bulk(index=_index(BYTES), operations=body)  # type: ignore[arg-type]
            assert not answer["errors"]

        async def by_helper(count: int) -> None:
            written, _ = await async_bulk(client, _actions(instances[:count]), chunk_size=500)
            assert written == count

        try:
            yield {OURS: ours, BYTES: as_bytes, HELPER: by_helper}
        finally:
            for name in (*LABELS, *DATAKNOBS):
                await client.indices.delete(index=_index(name), ignore_unavailable=True)
            await pools.remove(peers.ALIAS)


def _dataknobs_settings(url: str) -> dict[str, dict[str, Any]]:
    documents = [_document(each) for each in _instances(_model())]
    as_it_is, unrefreshed = (
        {"hosts": [url], "index": _index(name), "documents": documents} for name in DATAKNOBS
    )
    unrefreshed["refresh"] = False
    return dict(zip(DATAKNOBS, (as_it_is, unrefreshed), strict=True))


def _instances(model: Any) -> list[Any]:
    return [
        model(
            slug=f"entry-{at}", title=f"Entry {at}", body="Of what an entry says. " * 8, likes=at,
            rating=at / 7, is_public=at % 3 > 0,
            published=datetime(2024, 2, 29, 12, tzinfo=UTC) + timedelta(seconds=at),
        )
        for at in range(BULK)
    ]  # fmt: skip


def _index(name: str) -> str:
    return f"poolapp-benchmark-{name}"


def _actions(entries: Sequence[Any]) -> Iterator[dict[str, Any]]:
    for each in entries:
        yield {"_index": _index(HELPER), "_id": each.slug, "_source": _document(each)}


def _lines(entry: Any) -> bytes:
    """One operation of a bulk request."""
    serializer = JsonSerializer()
    action = {"index": {"_id": entry.slug}}
    return b"".join(serializer.dumps(each) + b"\n" for each in (action, _document(entry)))


def _document(entry: Any) -> dict[str, Any]:
    return {
        "slug": entry.slug,
        "title": entry.title,
        "body": entry.body,
        "likes": entry.likes,
        "rating": entry.rating,
        "is_public": entry.is_public,
        "published": entry.published.isoformat(),
    }


@cache
def _model() -> Any:
    """A model, once Django has its settings; its rows are nowhere."""
    from django.db import models

    class Document(models.Model):
        slug = models.CharField(max_length=100, primary_key=True)
        title = models.CharField(max_length=200)
        body = models.TextField()
        likes = models.IntegerField()
        rating = models.FloatField()
        is_public = models.BooleanField()
        published = models.DateTimeField()

        class Meta:
            app_label = "benchmarks"
            managed = False

    return Document


def _manager(model: Any, name: str) -> Any:
    from poolapp.managers.elasticsearch import ElasticsearchManager

    manager: Any = ElasticsearchManager(peers.ALIAS, index=_index(name), long_text="keyword")
    manager.name = "documents"
    return manager.__get__(None, model)
