"""Django's QuerySet, whose asynchronous methods run natively."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any

from asgiref.sync import markcoroutinefunction
from django.db.models import Model
from django.db.models.query import REPR_OUTPUT_SIZE, QuerySet

from poolapp.core.lease import Site
from poolapp.managers.postgres import plans
from poolapp.managers.postgres.bulk import BATCH, batches, insert
from poolapp.managers.postgres.going import (
    chunks,
    is_native,
    natively,
    pool_of,
    run,
    users_line,
)
from poolapp.managers.postgres.raw import PostgresRawQuerySet
from poolapp.managers.postgres.refusing import is_cached, is_complete, refusal, refusing

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    M_co = TypeVar("M_co", bound=Model, covariant=True)
    Row_co = TypeVar("Row_co", covariant=True, default=M_co)
else:
    from typing import TypeVar

    M_co = TypeVar("M_co", bound=Model, covariant=True)
    Row_co = TypeVar("Row_co", covariant=True)


class PostgresQuerySet(QuerySet[M_co, Row_co]):
    """Every asynchronous method of a QuerySet, on asyncpg and without a thread.

    It is made, combined and sliced as any QuerySet, and may stand in another as a subquery. What
    would ask the database synchronously raises TypeError, which names the asynchronous form; but
    not in code that runs natively, nor once the rows are there.
    """

    if not TYPE_CHECKING:  # what it makes is known to the plugin of django-stubs

        @classmethod
        def as_manager(cls) -> Any:
            """A PostgresManager with the methods of this class."""
            from poolapp.managers.postgres.manager import PostgresManager

            manager = PostgresManager.from_queryset(cls)()
            manager._built_with_as_manager = True
            return manager

        as_manager.__func__.queryset_only = True

    def raw(self, *args: Any, **named: Any) -> Any:
        """A raw query, whose model instances come by ``async for``."""
        return PostgresRawQuerySet.like(super().raw(*args, **named))

    # -- its rows ------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Row_co]:
        return self._each(users_line())

    async def _each(self, site: Site) -> AsyncIterator[Row_co]:
        if not is_complete(self):
            await run(site, lambda: self.db, self._fetch_all)
        for each in self._result_cache or ():
            yield each

    def aget(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Row_co]:
        key = plans.key_of(self, kwargs) if kwargs and not args and _is_usual(type(self)) else None
        if key is None:
            return natively(lambda: self.db, self.get, *args, **kwargs)
        return plans.get(self, key, kwargs, users_line())

    def __contains__(self, row: object) -> bool:
        if not (is_native() or is_complete(self)):
            raise refusal(self, "'in'", "await queryset.acontains(instance)")
        self._fetch_all()
        return row in (self._result_cache or ())

    def __getitem__(self, key: Any) -> Any:
        if _fetches(key) and not (is_native() or is_cached(self)):
            raise refusal(self, "an index", "await queryset[3:4].aget()")
        return super().__getitem__(key)

    def __repr__(self) -> str:
        if self._result_cache is None:
            return f"<{type(self).__name__} of {self.model._meta.label}, not fetched>"
        rows: list[Any] = self._result_cache[:REPR_OUTPUT_SIZE]
        if len(self._result_cache) > REPR_OUTPUT_SIZE:
            rows = [*rows, "...(remaining elements truncated)..."]
        return f"<{type(self).__name__} {rows!r}>"

    def aiterator(self, chunk_size: int = 2000) -> AsyncIterator[Row_co]:
        """The rows one by one, fetched ``chunk_size`` at a time by a server-side cursor, with what
        is to be prefetched for them. Nothing is kept of those that are done with.

        The cursor holds a connection, in a transaction, for as long as the iteration takes; the
        end of the iteration closes it. Where that is left early, ``contextlib.aclosing`` has it
        closed there and then, else it is closed when the iterator is collected.
        """
        return self._stream(users_line(), chunk_size)

    async def _stream(self, site: Site, size: int) -> AsyncIterator[Row_co]:
        streamed = chunks(site, lambda: self.db, lambda: self.iterator(size), size)
        async with aclosing(streamed) as found:
            async for chunk in found:
                for each in chunk:
                    yield each

    # -- many at once --------------------------------------------------------------------------

    def bulk_create(self, objs: Any, *args: Any, returning: bool = True, **named: Any) -> Any:
        """See ``abulk_create``."""
        if not is_native():
            raise refusal(self, "bulk_create()", "await queryset.abulk_create()")
        objs = list(objs)
        size = (args[0] if args else named.get("batch_size")) or BATCH
        if objs and size > 0 and not args[1:] and not any(map(named.get, _ON_CONFLICT)):
            self._for_write = True
            if insert(self.model, objs, self.db, size=size, returning=returning):
                return objs
        return super().bulk_create(objs, *args, **named)

    def abulk_create(self, objs: Any, *args: Any, **named: Any) -> Coroutine[Any, Any, list[M_co]]:
        """Django's ``bulk_create(objs, batch_size, ignore_conflicts, update_conflicts,
        update_fields, unique_fields)``; the instances, with what the database made of them.

        By COPY when nothing has to come back: for instances that have their primary keys, or with
        ``returning=False``, which leaves those without one as they are. Else by an ``INSERT ...
        RETURNING`` of one array for each column, or where a field or a value is not for these, such
        as an expression, by Django's own.

        ``objs`` may be an async iterable, of which ``batch_size`` instances are inserted at a time,
        all in one transaction.
        """
        self._for_write = True
        if isinstance(objs, AsyncIterable):
            return self._create_streamed(users_line(), objs, *args, **named)
        return natively(lambda: self.db, self.bulk_create, objs, *args, **named)

    async def _create_streamed(
        self,
        site: Site,
        objs: AsyncIterable[Any],
        batch_size: int | None = None,
        *args: Any,
        **named: Any,
    ) -> list[M_co]:
        made: list[M_co] = []
        async with pool_of(self.db).atomic(savepoint=False, site=site):
            async for batch in batches(objs, batch_size or BATCH):
                create = partial(self.bulk_create, batch, batch_size, *args, **named)
                made += await run(site, lambda: self.db, create)
        return made

    def acopy(
        self, objs: Iterable[Any] | AsyncIterable[Any], batch_size: int = BATCH
    ) -> Coroutine[Any, Any, int]:
        """Insert any number of instances, ``batch_size`` at a time, all in one transaction; how
        many there were. By COPY, like ``abulk_create(..., returning=False)``; no instance is kept,
        so that an iterable, or an async one, may be longer than the memory."""
        self._for_write = True
        return self._copy_streamed(users_line(), objs, batch_size)

    async def _copy_streamed(self, site: Site, objs: Any, size: int) -> int:
        if size <= 0:
            raise ValueError("Batch size must be a positive integer.")
        count = 0
        async with pool_of(self.db).atomic(savepoint=False, site=site):
            async for batch in batches(objs, size):
                count += len(batch)
                create = partial(self.bulk_create, batch, size, returning=False)
                await run(site, lambda: self.db, create)
        return count

    # -- pickling ------------------------------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        own = type(self).__dict__.get("made_of")
        return (_unpickled, (own or type(self), own is not None), self.__getstate__())


_ON_CONFLICT = ("ignore_conflicts", "update_conflicts", "unique_fields", "update_fields")


@cache
def _is_usual(kind: type[QuerySet[Any]]) -> bool:
    """Whether nobody has changed what ``get()`` does."""
    usual = {"get": PostgresQuerySet, "filter": QuerySet, "order_by": QuerySet, "_chain": QuerySet}
    return all(getattr(kind, name) is getattr(base, name) for name, base in usual.items())


def _fetches(key: object) -> bool:
    """Whether indexing with it needs the rows: not so ``[3:9]``, nor what is refused anyway."""
    return (isinstance(key, int) and key >= 0) or (
        isinstance(key, slice)
        and bool(key.step)
        and not any(end is not None and end < 0 for end in (key.start, key.stop))
    )


def _unpickled(kind: type[QuerySet[Any]], is_plain: bool) -> QuerySet[Any]:
    made = native_class(kind) if is_plain else kind
    return made.__new__(made)


@cache
def native_class(kind: type[QuerySet[Any]]) -> type[PostgresQuerySet[Any]]:
    """A user's class of QuerySets, as one that runs natively. Its own methods come first, and
    ``super()`` leads to the native ones."""
    if issubclass(kind, PostgresQuerySet):
        return kind
    if issubclass(PostgresQuerySet, kind):
        return PostgresQuerySet
    return type(
        f"Postgres{kind.__name__}",
        (kind, PostgresQuerySet),
        {"__doc__": kind.__doc__, "__module__": kind.__module__, "made_of": kind},
    )


# -- every method that asks the database -----------------------------------------------------------

READS = (
    "aggregate", "contains", "count", "earliest", "exists", "explain", "first", "get", "in_bulk",
    "last", "latest",
)  # fmt: skip

WRITES = (
    "bulk_update", "create", "delete", "get_or_create", "update",
    "update_or_create",
)  # fmt: skip

ROWS = {
    "__bool__": ("its truth", "await queryset.aexists()"),
    "__getstate__": ("pickling", "[each async for each in queryset]"),
    "__iter__": ("iteration", "async for each in queryset"),
    "__len__": ("len()", "await queryset.acount()"),
}


def _asynchronous(name: str, *, writes: bool) -> Callable[..., Any]:
    """The asynchronous method, which calls the synchronous one natively."""

    @wraps(getattr(QuerySet, f"a{name}"))
    def method(self: Any, *args: Any, **named: Any) -> Any:
        if writes:
            self._for_write = True  # the routers are asked for the database before Django says so
        return natively(lambda: self.db, getattr(self, name), *args, **named)

    return markcoroutinefunction(method)


def _complete() -> None:
    """Give PostgresQuerySet those methods; their types are those of QuerySet's own."""
    for name in (*READS, *WRITES):
        refused = refusing(
            QuerySet,
            name,
            f"{name}()",
            f"await queryset.a{name}()",
            unless=is_cached if name in ("contains", "count", "exists") else None,
        )
        setattr(PostgresQuerySet, name, refused)
        if f"a{name}" not in vars(PostgresQuerySet):
            setattr(PostgresQuerySet, f"a{name}", _asynchronous(name, writes=name in WRITES))
    for name, (what, instead) in ROWS.items():
        setattr(PostgresQuerySet, name, refusing(QuerySet, name, what, instead, unless=is_complete))
    PostgresQuerySet.iterator = refusing(  # type: ignore[method-assign]
        QuerySet, "iterator", "iterator()", "async for each in queryset.aiterator()"
    )


_complete()
