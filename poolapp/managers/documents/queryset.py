"""The QuerySet of documents: what has to be awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from django.core.exceptions import FieldError
from django.db import IntegrityError
from django.db.models import Model, Q

from poolapp.managers.documents import aggregates as figures
from poolapp.managers.documents.bulk import Bulk, BulkResult, OnError
from poolapp.managers.documents.chain import Chain
from poolapp.managers.documents.exceptions import Conflict
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Action, Operation, WriteOptions
from poolapp.managers.documents.streaming import read_ahead
from poolapp.managers.documents.versions import forget, remember
from poolapp.managers.documents.writing import adopt, fill_in, must_be_of, operation_of

M = TypeVar("M", bound=Model)

UPDATE_ATTEMPTS = 10
"""Times that ``aupdate_or_create`` reads again because somebody else wrote meanwhile."""


class DocumentQuerySet(Chain[M]):
    """Django's asynchronous QuerySet methods, on documents.

    They raise what the pool raises (BackendUnavailable when the server is away, which is never
    "not found") and NotSupportedError for what the store can't do by itself. Nothing is kept:
    iterating twice asks twice. No signal is sent.
    """

    # -- reading -------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[M]:
        return self.aiterator()

    async def aiterator(
        self, chunk_size: int | None = None, *, prefetch: int = 1
    ) -> AsyncGenerator[M, None]:
        """The results one by one, read in pages of ``chunk_size``; ``prefetch`` pages are read
        while one is used."""
        selection = self._checked()
        size = self._page_size(chunk_size)
        grouping = self._grouping()
        if selection.is_empty:
            return
        if grouping is not None:
            make_group = self._group_maker()
            async with aclosing(self._store.groups(selection, grouping)) as groups:  # type: ignore[type-var]
                async for each in groups:
                    yield make_group(each)
            return
        make = self._maker()
        pages = read_ahead(self._store.pages(selection, size), prefetch)
        async with aclosing(pages):
            async for page in pages:
                for hit in page:
                    yield make(hit)

    def _page_size(self, chunk_size: int | None) -> int:
        size = self._store.page_size if chunk_size is None else chunk_size
        if size < 1:
            raise ValueError(f"chunk_size must be at least 1, not {size!r}")
        return size

    def _checked(self, *, ordered: bool = True) -> Selection:
        """The selection; of groups without a slice and an order, which are the groups' own."""
        selection = self.selection(ordered=ordered and self._grouping() is None)
        if self._grouping() is not None:
            high = 0 if selection.is_empty else None
            selection = replace(selection, order=(), low=0, high=high)
        self._store.check(selection)
        return selection

    async def _some(self, limit: int) -> list[M]:
        return [each async for each in self[:limit].aiterator(limit, prefetch=0)]

    async def aget(self, *conditions: Q, **lookups: Any) -> M:
        """The one that there is; the model's DoesNotExist or MultipleObjectsReturned."""
        found = (
            await self.filter(*conditions, **lookups)._some(2)
            if conditions or lookups
            else (await self._some(2))
        )
        name = self.model.__name__
        if not found:
            raise self.model.DoesNotExist(  # type: ignore[attr-defined]
                f"no {name} in {self._store.name} {self._store.place!r} matches the query"
            )
        if len(found) > 1:
            raise self.model.MultipleObjectsReturned(  # type: ignore[attr-defined]
                f"more than one {name} in {self._store.name} {self._store.place!r} matches the "
                "query"
            )
        return found[0]

    async def afirst(self) -> M | None:
        """The first; None when there is none. Where no order is given, it is the primary key's, or
        that of a store which has one of its own."""
        found = await self._ordered()._some(1)
        return found[0] if found else None

    async def alast(self) -> M | None:
        """The last of ``afirst``'s order."""
        found = await self._ordered().reverse()._some(1)
        return found[0] if found else None

    async def aearliest(self, *names: str) -> M:
        """The first by these fields, or by Meta.get_latest_by; DoesNotExist when there is none."""
        return await self._extreme(names, backwards=False)

    async def alatest(self, *names: str) -> M:
        return await self._extreme(names, backwards=True)

    def _ordered(self) -> DocumentQuerySet[M]:
        if not self._store.meta_ordering or self._grouping() or self.selection().order:
            return self
        return self.order_by("pk")

    async def _extreme(self, names: tuple[str, ...], *, backwards: bool) -> M:
        by = names or self.model._meta.get_latest_by or ()
        if not by:
            raise ValueError("aearliest() and alatest() need fields, or Meta.get_latest_by")
        ordered = self.order_by(*((by,) if isinstance(by, str) else by))
        found = await (ordered.reverse() if backwards else ordered)._some(1)
        if not found:
            raise self.model.DoesNotExist(  # type: ignore[attr-defined]
                f"no {self.model.__name__} in {self._store.name} {self._store.place!r}"
            )
        return found[0]

    async def acount(self) -> int:
        """How many, within the slice."""
        if self._grouping() is not None:
            return sum([1 async for _ in self.aiterator()])
        selection = self._checked(ordered=False)
        return 0 if selection.is_empty else await self._store.count(selection)

    async def aexists(self) -> bool:
        """Whether there is any."""
        selection = self._checked(ordered=False)
        return not selection.is_empty and await self._store.exists(selection)

    async def acontains(self, instance: M) -> bool:
        """Whether this instance is among them."""
        return await self.filter(pk=instance.pk).aexists()

    async def ain_bulk(
        self, id_list: Iterable[Any] | None = None, *, field_name: str = "pk"
    ) -> dict[Any, M]:
        """Value of a unique field -> instance, of those that there are."""
        field = self._lookups.field(field_name)
        if not field.unique:
            raise ValueError(
                f"ain_bulk()'s field_name must be a unique field but {field_name!r} isn't."
            )
        chosen = self if id_list is None else self.filter(**{f"{field_name}__in": list(id_list)})
        return {getattr(each, field.attname): each async for each in chosen}

    async def aaggregate(self, *aggregates: Any, **by_name: Any) -> dict[str, Any]:
        """Figures (Count, Sum, Avg, Min, Max) over all that are selected."""
        wanted = {
            name: figures.translate(each, self._lookups, self._store.name)
            for name, each in figures.named(aggregates, by_name).items()
        }
        selection = self._checked(ordered=False)
        if selection.is_empty:
            return {name: 0 if it.function == "count" else None for name, it in wanted.items()}
        found = await self._store.aggregate(selection, wanted) if wanted else {}
        return {name: it.load(self._store.schema, found[name]) for name, it in wanted.items()}

    # -- writing one ---------------------------------------------------------------------------

    async def acreate(self, **fields: Any) -> M:
        """Make an instance and write it; IntegrityError when there is one of this primary key."""
        instance = self.model(**fields)
        await self._write_one("create", instance)
        return instance

    async def asave(
        self,
        instance: M,
        *,
        force_insert: bool = False,
        update_fields: Iterable[str] | None = None,
        if_unchanged: bool = False,
    ) -> None:
        """Write an instance, whether or not there is one of this primary key.

        ``force_insert``: only when there is none, else IntegrityError. ``update_fields``: only
        these, of one that exists, else Missing. ``if_unchanged``: only when nobody else has written
        it since this instance was read from, or written to, this store, else Conflict.
        """
        if force_insert and (update_fields is not None or if_unchanged):
            raise ValueError("force_insert goes with neither update_fields nor if_unchanged")
        if update_fields is not None and not (names := list(update_fields)):
            return
        action: Action = "create" if force_insert else "index"
        only = None
        if update_fields is not None:
            action, only = "update", [self._lookups.field(name) for name in names]
        await self._write_one(action, instance, only=only, checked=if_unchanged)

    async def aremove(self, instance: M, *, if_unchanged: bool = False) -> None:
        """Delete the document of an instance; Missing when there is none."""
        await self._write_one("delete", instance, checked=if_unchanged)

    async def _write_one(
        self, action: Action, instance: M, *, only: Any = None, checked: bool = False
    ) -> None:
        if action != "delete":
            must_be_of(self._store, instance)
            await fill_in(instance, only)
        operation = operation_of(self._store, action, instance, only=only, checked=checked)
        (outcome,) = await self._store.write([operation], self._options())
        if outcome is not None:
            raise outcome.error
        self._written(operation)

    def _written(self, operation: Operation) -> None:
        instance = operation.instance
        assert instance is not None
        if operation.action == "delete":
            forget(instance, self._store)
            return
        adopt(instance)
        if operation.version is not None:
            remember(instance, self._store, operation.version)

    def _options(self, timeout: float | None = None) -> WriteOptions:
        return WriteOptions(timeout=timeout, extras=self._extras)

    async def aget_or_create(
        self, defaults: Mapping[str, Any] | None = None, **lookups: Any
    ) -> tuple[M, bool]:
        """The one that there is, or a new one; and whether it is new."""
        try:
            return await self.aget(**lookups), False
        except self.model.DoesNotExist:  # type: ignore[attr-defined]
            pass
        try:
            return await self.acreate(**_parameters(lookups, defaults)), True
        except IntegrityError:
            try:
                return await self.aget(**lookups), False
            except self.model.DoesNotExist:  # type: ignore[attr-defined]
                pass
            raise

    async def aupdate_or_create(
        self,
        defaults: Mapping[str, Any] | None = None,
        create_defaults: Mapping[str, Any] | None = None,
        **lookups: Any,
    ) -> tuple[M, bool]:
        """The one that there is, changed, or a new one; and whether it is new.

        Where the store has versions, somebody else's write in between is never overwritten.
        """
        for attempt in range(1, UPDATE_ATTEMPTS + 1):
            instance, created = await self.aget_or_create(
                defaults if create_defaults is None else create_defaults, **lookups
            )
            if created:
                return instance, True
            for name, value in (defaults or {}).items():
                setattr(instance, name, value() if callable(value) else value)
            try:
                await self.asave(instance, if_unchanged=self._store.versioned)
            except Conflict:
                if attempt == UPDATE_ATTEMPTS:
                    raise
            else:
                return instance, False
        raise AssertionError("unreachable")

    # -- writing many --------------------------------------------------------------------------

    async def abulk_create(
        self,
        objs: Any,
        batch_size: int | None = None,
        *,
        concurrency: int | None = None,
        on_error: OnError | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        timeout: float | None = None,
    ) -> BulkResult:
        """Write the instances of any iterable, async iterable or QuerySet, read no faster than they
        are written; what became of each.

        One that exists already is a failure; with ``ignore_conflicts`` it is left alone, with
        ``update_conflicts`` replaced. ``on_error`` is called with the failures of a batch, and
        ends the bulk by returning False. ``timeout`` is in seconds, for one batch.

        Raises BackendUnavailable, with the BulkResult so far as its ``result``, when the server is
        away.
        """
        if ignore_conflicts and update_conflicts:
            raise ValueError("ignore_conflicts and update_conflicts can't be used together.")
        action: Action = "index" if update_conflicts else "create"

        async def operation(instance: Model) -> Operation:
            must_be_of(self._store, instance)
            await fill_in(instance, None)
            return operation_of(self._store, action, instance)

        return await self._bulk(
            objs, operation, timeout, batch_size=batch_size, concurrency=concurrency,
            on_error=on_error, ignore_conflicts=ignore_conflicts,
        )  # fmt: skip

    async def abulk_update(
        self,
        objs: Any,
        fields: Sequence[str],
        batch_size: int | None = None,
        *,
        concurrency: int | None = None,
        on_error: OnError | None = None,
        if_unchanged: bool = False,
        timeout: float | None = None,
    ) -> BulkResult:
        """Write these fields of instances that exist; one that does not is a failure (Missing)."""
        only = [self._lookups.field(name) for name in fields]
        if not only:
            raise ValueError("Field names must be given to abulk_update().")
        if any(field.primary_key for field in only):
            raise ValueError("abulk_update() cannot be used with primary key fields.")

        async def operation(instance: Model) -> Operation:
            must_be_of(self._store, instance)
            await fill_in(instance, only)
            return operation_of(self._store, "update", instance, only=only, checked=if_unchanged)

        return await self._bulk(
            objs, operation, timeout, batch_size=batch_size, concurrency=concurrency,
            on_error=on_error,
        )  # fmt: skip

    async def abulk_delete(
        self,
        objs: Any,
        batch_size: int | None = None,
        *,
        concurrency: int | None = None,
        on_error: OnError | None = None,
        timeout: float | None = None,
    ) -> BulkResult:
        """Delete the documents of instances; one that is not there is a failure (Missing)."""

        async def operation(instance: Model) -> Operation:
            return operation_of(self._store, "delete", instance)

        return await self._bulk(
            objs, operation, timeout, batch_size=batch_size, concurrency=concurrency,
            on_error=on_error,
        )  # fmt: skip

    async def _bulk(
        self, objs: Any, operation: Any, timeout: float | None, **how: Any
    ) -> BulkResult:
        bulk = Bulk(self._store, operation, self._options(timeout), done=self._written, **how)
        return await bulk.run(objs)

    async def aupdate(self, **values: Any) -> int:
        """Set fields of all that are selected; how many there were."""
        selection = self._for_writing("update")
        held = {}
        for name, value in values.items():
            field = self._lookups.field(name)
            if field.primary_key:
                raise FieldError(f"a primary key can't be updated: {name!r}")
            if hasattr(value, "resolve_expression"):
                self._store.cannot("update by an expression", "values")
            plain = value.pk if isinstance(value, Model) else value
            held[self._store.schema.key(field)] = self._store.schema.dump(field, plain)
        if selection.is_empty or not held:
            return 0
        return await self._store.update(selection, held, self._options())

    async def adelete(self) -> tuple[int, dict[str, int]]:
        """Delete all that are selected; how many, and by model, as Django tells it."""
        selection = self._for_writing("delete")
        count = 0
        if not selection.is_empty:
            count = await self._store.delete(selection, self._options())
        return count, {self.model._meta.label: count} if count else {}

    def _for_writing(self, verb: str) -> Selection:
        if self._low or self._high is not None:
            raise TypeError(f"Cannot use 'limit' or 'offset' with {verb}().")
        if self._row is not None:
            raise TypeError(f"Cannot call {verb}() after .values() or .values_list()")
        selection = replace(self.selection(ordered=False), order=(), only=None)
        self._store.check(selection)
        return selection


def _parameters(lookups: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a new instance: the equalities that were looked for, and the defaults."""
    made = {
        name.removesuffix("__exact"): value
        for name, value in lookups.items()
        if "__" not in name.removesuffix("__exact")
    }
    for name, value in (defaults or {}).items():
        made[name] = value() if callable(value) else value
    return made
