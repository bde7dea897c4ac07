"""Where the pages read, through poolapp, and the one error they get when that can't answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, TypeVar

from django.db import OperationalError, ProgrammingError

from poolapp import CircuitOpen, PoolError
from poolapp.managers.elasticsearch import MissingIndex

T = TypeVar("T")
Asking = TypeVar("Asking", bound=Callable[..., Coroutine[Any, Any, Any]])

logger = logging.getLogger(__name__)

INDEX: Final = "entries"  # an alias: an import fills a new index, then moves this name to it

# Any number that nothing else of this database locks.
IMPORT_LOCK: Final = 7_095_110_001


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


def _stored_in(service: str, *missing: tuple[type[Exception], str]) -> Callable[[Asking], Asking]:
    """Have an async function raise StoreUnavailable for an outage of the store that it asks."""

    def decorate(function: Asking) -> Asking:
        @wraps(function)
        async def asking(*args: Any, **named: Any) -> Any:
            try:
                return await function(*args, **named)
            except (PoolError, OperationalError) as error:
                raise unavailable(service, error) from error
            except Exception as error:
                for kind, reason in missing:
                    if isinstance(error, kind):
                        raise StoreUnavailable(service, reason) from error
                raise

        return asking  # type: ignore[return-value]

    return decorate


stored_in_postgres = _stored_in(
    "PostgreSQL", (ProgrammingError, "Its tables are missing: run `migrate`.")
)
stored_in_elasticsearch = _stored_in(
    "Elasticsearch", (MissingIndex, "Nothing was imported yet: run `import_stdlib`.")
)
stored_in_mongodb = _stored_in("MongoDB")
stored_in_redis = _stored_in("Redis")
stored_in_s3 = _stored_in("The store of source files")


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
