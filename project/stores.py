"""Where the pages read, through poolapp, and the one error they get when that can't answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import elasticsearch

from poolapp import CircuitOpen, PoolError, pools

T = TypeVar("T")

logger = logging.getLogger(__name__)

INDEX = "entries"  # an alias: an import fills a new index, then moves this name to it


class StoreUnavailable(Exception):
    """A store can't answer now.

    `service` is its name for people, `reason` says what to do about it, and `retry_after` is the
    number of seconds after which to ask again.
    """

    def __init__(self, service: str, reason: str = "", retry_after: float = 5) -> None:
        super().__init__(f"{service} is unavailable")
        self.service = service
        self.reason = reason
        self.retry_after = retry_after


@asynccontextmanager
async def postgres() -> AsyncIterator[asyncpg.Connection]:
    """Lend a connection of the pool; an outage, also in the middle, is `StoreUnavailable`."""
    try:
        async with pools["default"].acquire() as connection:
            yield connection
    except asyncpg.UndefinedTableError as error:
        raise StoreUnavailable("PostgreSQL", "Its tables are missing: run `migrate`.") from error
    except (
        PoolError,
        OSError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
        asyncpg.InsufficientResourcesError,
    ) as error:
        raise unavailable("PostgreSQL", error) from error


@asynccontextmanager
async def search_engine() -> AsyncIterator[elasticsearch.AsyncElasticsearch]:
    """Lend the search client; an outage, also in the middle, is `StoreUnavailable`."""
    try:
        async with pools["search"].acquire() as client:
            yield client
    except elasticsearch.NotFoundError as error:
        raise StoreUnavailable(
            "The search index", "Nothing was imported yet: run `import_stdlib`."
        ) from error
    except elasticsearch.ApiError as error:
        if error.status_code != 429 and error.status_code < 500:
            raise
        raise unavailable("Elasticsearch", error) from error
    except (PoolError, OSError, elasticsearch.TransportError) as error:
        raise unavailable("Elasticsearch", error) from error


def unavailable(service: str, error: Exception) -> StoreUnavailable:
    """What to raise for a store's error, which is logged."""
    logger.warning("%s is unavailable: %s", service, error)
    if isinstance(error, CircuitOpen):
        return StoreUnavailable(service, retry_after=error.retry_after)
    return StoreUnavailable(service)


async def or_none(part: Coroutine[Any, Any, T]) -> T | None:
    """A part of a page that can do without it; None while its store is out."""
    try:
        return await part
    except StoreUnavailable:
        return None
