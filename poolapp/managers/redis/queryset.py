"""What Redis has beside Django's methods: lifetimes, counters, get-or-set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, cast

from django.db import NotSupportedError
from django.db.models import Model

from poolapp.managers.documents.exceptions import Missing
from poolapp.managers.documents.kinds import INTEGERS, kind_of
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.redis import flights, scripts
from poolapp.managers.redis.layout import text_of
from poolapp.managers.redis.store import RedisStore, new_version

M = TypeVar("M", bound=Model)


class RedisQuerySet(DocumentQuerySet[M]):
    """Every write gives a document its whole lifetime again."""

    @property
    def _redis(self) -> RedisStore:
        return cast(RedisStore, self._store)

    def ttl(self, seconds: float | None) -> Self:
        """What is written by this one lives for so long, None for ever, in place of the manager's
        ``ttl``."""
        return self._with_extras(ttl=checked_ttl(seconds))

    async def aincrement(self, pk: Any, **by: int) -> dict[str, int]:
        """Add to integer fields of one document, in one step; the new values. Missing when there is
        no such document. Null counts from 0."""
        store = self._redis
        schema = store.schema
        arguments: list[Any] = []
        for name, amount in by.items():
            field = self._lookups.field(name)
            if kind_of(field) not in INTEGERS or field.is_relation or field.primary_key:
                raise TypeError(f"{name!r} is no integer field that could be counted with")
            if field in store.layout.indexed:
                raise NotSupportedError(
                    f"Redis can't count with {name!r}, of which it keeps an index"
                )
            arguments += [schema.key(field), int(amount)]
        key = schema.dump(schema.pk, pk)
        found = await store.call(
            scripts.INCREMENT,
            [new_version(), store.lifetime(self._extras), store.layout.member(key), *arguments],
        )
        if found is None:
            raise Missing(f"there is no {self.model.__name__} {key!r} in Redis {store.place!r}")
        return dict(zip(by, map(int, map(text_of, found)), strict=True))

    async def aget_or_set(
        self, pk: Any, make: Callable[[], Awaitable[M] | M], *, patience: float = 10.0
    ) -> M:
        """The document of this primary key; when there is none, that of the instance that ``make``
        returns, which is written.

        However many tasks and processes ask at once, one of them calls ``make``, and the others
        wait. ``patience`` (seconds) is how long a process that died with the work may hold them up;
        one that lives may take as long as it wants. What ``make`` raises comes out in its own
        process, and another process then tries for itself.

        Raises BackendUnavailable when the server is away: an outage is no miss.
        """
        store = self._redis
        key = store.schema.dump(store.schema.pk, pk)

        async def read() -> M | None:
            found = await self.filter(pk=pk)._some(1)
            return found[0] if found else None

        async def write(instance: M) -> None:
            if store.schema.dump(store.schema.pk, instance.pk) != key:
                raise ValueError(f"aget_or_set({pk!r}): an instance of pk={instance.pk!r} was made")
            await self._write_one("index", instance)

        there = await read()
        if there is not None:
            return there
        return await flights.join(store, key, patience, read, make, write)


def checked_ttl(seconds: float | None) -> float | None:
    """ValueError for what is no time to live."""
    if seconds is not None and not 0 < seconds < 10**9:
        raise ValueError(f"ttl is a positive number of seconds, or None: not {seconds!r}")
    return seconds
