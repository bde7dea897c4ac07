"""Documents of a test's own: a manager on a fresh database."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

from poolapp.managers.mongodb import MongoManager
from tests.mongodb_server import mongodb_pool
from tests.stores.models import bind

_numbers = itertools.count(1)


def database_url(url: str, database: str = "shop") -> str:
    """The session's server with a database in the path."""
    return url.replace("/?", f"/{database}?")


@contextlib.asynccontextmanager
async def documents_of(url: str, *models: Any, **settings: Any) -> AsyncIterator[Any]:
    """A manager of each model, in collections of their own, on one pool."""
    async with mongodb_pool(url, **settings) as pool:
        managers = [
            bind(MongoManager(pool.alias, f"test_{os.getpid()}_{next(_numbers)}"), model)
            for model in models
        ]
        try:
            yield managers[0] if len(models) == 1 else managers
        finally:
            async with pool.database() as database:
                for manager in managers:
                    await database.drop_collection(manager.collection)


async def raw(manager: Any, **which: Any) -> dict[str, Any]:
    """A document as the server holds it."""
    async with manager.store().pool.database() as database:
        found: dict[str, Any] = await database[manager.collection].find_one(which)
        return found
