"""Documents of the tests' models in the stand-in for Elasticsearch."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

from django.db import models

from poolapp.managers.elasticsearch import ElasticsearchManager
from tests.real import elasticsearch_pool
from tests.stores.models import bind

_numbers = itertools.count(1)

ALONE = {"number_of_replicas": 0}
"""Of an index in a cluster of one node, which would be told yellow else; other tests ask."""


def index_name() -> str:
    """One of a test's own, on a server that other runs may use as well."""
    return f"es-{os.getpid()}-{next(_numbers)}"


@contextlib.asynccontextmanager
async def documents_of(
    url: str, model: type[models.Model], *, ensure: bool = True, **options: Any
) -> AsyncIterator[Any]:
    """A manager of the model, on a pool and an index of its own, which are gone afterwards. What it
    writes is found at once, and long text is a keyword, unless ``options`` say otherwise: the
    stand-in takes a field of type wildcard for one of type text."""
    options = {
        "index": index_name(),
        "refresh": True,
        "long_text": "keyword",
        "settings": ALONE,
        **options,
    }
    async with elasticsearch_pool(url, max_size=10) as pool:
        manager = ElasticsearchManager(pool.alias, **options)
        documents = bind(manager, model)
        if ensure:
            await documents.ensure()
        try:
            yield documents
        finally:
            if ensure:
                async with pool.acquire() as es:
                    await es.options(ignore_status=404).indices.delete(index=options["index"])


async def pks(query: Any) -> list[Any]:
    """In their order."""
    return [each async for each in query.values_list("pk", flat=True)]


async def found(documents: Any, *conditions: Any, **lookups: Any) -> list[Any]:
    return sorted(await pks(documents.filter(*conditions, **lookups)))
