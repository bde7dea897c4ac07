"""The store: what the chain asks, as operations of the driver on the pool."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.db.models import Model

from poolapp.managers.documents.forms import Form
from poolapp.managers.documents.selection import Aggregate, Grouping, Order, Selection
from poolapp.managers.documents.store import Hit, ItemError, Operation, Store, WriteOptions
from poolapp.managers.mongodb.codec import ID, VERSION, Codec, codec_options
from poolapp.managers.mongodb.errors import translated
from poolapp.managers.mongodb.figures import Figures
from poolapp.managers.mongodb.form import NativeForm
from poolapp.managers.mongodb.indexes import ensured
from poolapp.managers.mongodb.matching import LOOKUPS, Matcher
from poolapp.managers.mongodb.writing import Batch

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

    Collection = AsyncCollection[dict[str, Any]]
    Work = Callable[[Collection, AsyncClientSession | None], Awaitable[Any]]

T = TypeVar("T")

RANDOM = "?"


class MongoStore(Store):
    """One collection. Inside ``pool.atomic()`` everything is part of that transaction."""

    name: ClassVar[str] = "MongoDB"
    lookups: ClassVar[frozenset[str]] = LOOKUPS
    form: ClassVar[Form] = NativeForm()
    versioned: ClassVar[bool] = True
    batch_size: ClassVar[int] = 500
    concurrency: ClassVar[int] = 2
    page_size: ClassVar[int] = 1000

    def __init__(
        self, model: type[Model], alias: str, collection: str, database: str | None
    ) -> None:
        super().__init__(model, alias, f"{database}.{collection}" if database else collection)
        self.collection = collection
        self.database = database
        self.codec = Codec(self.schema)
        self._matcher = Matcher(self.codec)
        self._figures = Figures(self.codec)

    @property
    def what(self) -> str:
        """For messages."""
        return f"MongoDB {self.place!r}"

    @property
    def pool(self) -> Any:
        return super().pool

    # -- asking --------------------------------------------------------------------------------

    async def _ask(self, work: Work) -> Any:
        """One operation on the collection, in the task's transaction where there is one."""
        with translated(self.what):
            return await self.pool.joined(
                lambda db, session: work(self._of(db), session), database=self.database
            )

    def _of(self, database: Any) -> Collection:
        collection: Collection = database.get_collection(
            self.collection, codec_options=codec_options()
        )
        if not collection.write_concern.acknowledged:
            from pymongo import WriteConcern

            # Else nobody would hear of what the server did not take.
            return collection.with_options(write_concern=WriteConcern(w=1))
        return collection

    async def _pages(
        self, start: Callable[[Collection, AsyncClientSession | None], Awaitable[Any]], size: int
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """All that a cursor gives, a page at a time, on one borrowed client."""
        pool = self.pool
        block = pool.block()

        async def ask(work: Callable[[AsyncClientSession | None], Awaitable[T]]) -> T:
            with translated(self.what):
                return await (work(None) if block is None else block.perform(work))

        async with AsyncExitStack() as stack:
            if block is None:
                database = await stack.enter_async_context(pool.database(self.database))
            else:
                database = block.database(self.database)
            cursor = await ask(lambda session: start(self._of(database), session))
            try:
                while page := await ask(lambda session: cursor.to_list(size)):
                    yield page
            finally:
                await self._close(cursor)

    async def _close(self, cursor: Any) -> None:
        import pymongo
        from pymongo.errors import PyMongoError

        # The server forgets a cursor by itself: one that is lost is not told goodbye for ever.
        try:
            with pymongo.timeout(self.pool.config.check_timeout):
                await cursor.close()
        except PyMongoError:
            pass

    # -- reading -------------------------------------------------------------------------------

    def check(self, selection: Selection) -> None:
        self._matcher.query(selection.condition)

    async def pages(self, selection: Selection, size: int) -> AsyncGenerator[Sequence[Hit], None]:
        limit = selection.limit
        if limit is not None and limit <= size:

            async def all_of(
                collection: Collection, session: AsyncClientSession | None
            ) -> list[dict[str, Any]]:
                cursor = await self._found(collection, session, selection, size)
                found: list[dict[str, Any]] = await cursor.to_list()
                return found

            yield self._hits(await self._ask(all_of))
            return

        async def start(collection: Collection, session: AsyncClientSession | None) -> Any:
            return await self._found(collection, session, selection, size)

        pages = self._pages(start, size)
        try:
            async for page in pages:
                yield self._hits(page)
        finally:
            await pages.aclose()

    def _hits(self, page: list[dict[str, Any]]) -> list[Hit]:
        codec = self.codec
        return [Hit(codec.load(each), version=codec.version(each)) for each in page]

    async def _found(
        self,
        collection: Collection,
        session: AsyncClientSession | None,
        selection: Selection,
        size: int,
    ) -> Any:
        query = self._matcher.query(selection.condition)
        projection = self._projection(selection)
        if any(each.path or each.special for each in selection.order):
            stages = [{"$match": query}, *self._slice(selection)]
            if projection is not None:
                stages.append({"$project": projection})
            return await collection.aggregate(
                stages, session=session, batchSize=size, allowDiskUse=True
            )
        cursor = collection.find(query, projection, session=session, batch_size=size)
        order = self._order(selection.order)
        if order:
            cursor = cursor.sort(order).allow_disk_use(True)
        if selection.low:
            cursor = cursor.skip(selection.low)
        return cursor if selection.limit is None else cursor.limit(selection.limit)

    def _order(self, order: Sequence[Order]) -> list[tuple[str, int]]:
        keys: dict[str, int] = {}
        for each in order:
            assert each.field is not None
            direction = -1 if each.descending else 1
            keys.setdefault(self.codec.name(each.field), direction)
            if self.codec.is_split(each.field):
                keys.setdefault(self.codec.microseconds(each.field), direction)
        return list(keys.items())

    def _slice(self, selection: Selection) -> list[dict[str, Any]]:
        """Order and slice as stages of a pipeline."""
        computed: dict[str, Any] = {}
        keys: dict[str, int] = {}
        for at, each in enumerate(selection.order):
            if each.special == RANDOM or each.path:
                name = f"_order{at}"
                computed[name] = {"$rand": {}}
                if each.field is not None:
                    computed[name] = self._matcher.expressions.path(each.field, each.path)
                keys[name] = -1 if each.descending else 1
            else:
                keys.update((name, way) for name, way in self._order([each]) if name not in keys)
        stages: list[dict[str, Any]] = [{"$set": computed}] if computed else []
        if keys:
            stages.append({"$sort": keys})
        if selection.low:
            stages.append({"$skip": selection.low})
        if selection.limit is not None:
            stages.append({"$limit": selection.limit})
        if computed:
            stages.append({"$unset": list(computed)})
        return stages

    def _projection(self, selection: Selection) -> dict[str, int] | None:
        if selection.only is None:
            return None
        names = {ID: 1, VERSION: 1}
        for field in selection.only:
            names[self.codec.name(field)] = 1
            if self.codec.is_split(field):
                names[self.codec.microseconds(field)] = 1
        return names

    async def count(self, selection: Selection) -> int:
        query = self._matcher.query(selection.condition)
        how: dict[str, int] = {"skip": selection.low} if selection.low else {}
        if selection.limit is not None:
            how["limit"] = selection.limit

        async def work(collection: Collection, session: AsyncClientSession | None) -> int:
            return await collection.count_documents(query, session=session, **how)

        found: int = await self._ask(work)
        return found

    async def exists(self, selection: Selection) -> bool:
        query = self._matcher.query(selection.condition)

        async def work(collection: Collection, session: AsyncClientSession | None) -> Any:
            return await collection.find_one(query, {ID: 1}, skip=selection.low, session=session)

        return await self._ask(work) is not None

    # -- writing -------------------------------------------------------------------------------

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        """Raises the error of the first operation that the server refuses inside ``atomic()``,
        which ends its transaction."""
        from pymongo.errors import BulkWriteError

        joined = self.pool.block() is not None
        ordered = bool(options.extras.get("ordered"))
        batch = Batch(
            self.codec,
            self.what,
            operations,
            ordered=ordered,
            keep=(joined or ordered) and bool(options.extras.get("keep")),
        )

        async def work(collection: Collection, session: AsyncClientSession | None) -> None:
            await batch.send(collection, session)

        try:
            await self._ask(work)
        except Exception as error:
            refused = error.__cause__
            if not isinstance(refused, BulkWriteError):
                raise
            if joined:
                first = next(each for each in batch.outcomes if each is not None)
                raise first.error from refused
        return batch.outcomes

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        query = self._matcher.query(selection.condition)
        changes = self.codec.changes(values)

        async def work(collection: Collection, session: AsyncClientSession | None) -> int:
            return (await collection.update_many(query, changes, session=session)).matched_count

        found: int = await self._ask(work)
        return found

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        query = self._matcher.query(selection.condition)

        async def work(collection: Collection, session: AsyncClientSession | None) -> int:
            return (await collection.delete_many(query, session=session)).deleted_count

        found: int = await self._ask(work)
        return found

    # -- figures -------------------------------------------------------------------------------

    async def aggregate(
        self, selection: Selection, aggregates: Mapping[str, Aggregate]
    ) -> Mapping[str, Any]:
        self._figures.check(aggregates.values())
        head = [{"$match": self._matcher.query(selection.condition)}]
        if selection.is_sliced:
            head += self._slice(selection)
        together, distinct = self._figures.split(aggregates)
        found: dict[str, Any] = {}
        if together:
            row = await self._one([*head, *self._figures.total(together)])
            found |= self._figures.loaded(together, row)
        for name, each in distinct.items():
            row = await self._one([*head, *self._figures.of_distinct(each)])
            found[name] = self._figures.value(each, row.get("f0"))
        return found

    async def _one(self, stages: list[dict[str, Any]]) -> dict[str, Any]:
        async def work(collection: Collection, session: AsyncClientSession | None) -> Any:
            cursor = await collection.aggregate(stages, session=session, allowDiskUse=True)
            return await cursor.to_list()

        rows: list[dict[str, Any]] = await self._ask(work)
        return rows[0] if rows else {}

    async def groups(
        self, selection: Selection, grouping: Grouping
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        self._figures.check(grouping.aggregates.values())
        if grouping.high is not None and grouping.high <= grouping.low:
            return
        stages = [
            {"$match": self._matcher.query(selection.condition)},
            *self._figures.groups(grouping),
        ]

        async def start(collection: Collection, session: AsyncClientSession | None) -> Any:
            return await collection.aggregate(
                stages, session=session, batchSize=self.page_size, allowDiskUse=True
            )

        pages = self._pages(start, self.page_size)
        try:
            async for page in pages:
                for each in page:
                    yield self._figures.row(grouping, each)
        finally:
            await pages.aclose()

    # -- the rest ------------------------------------------------------------------------------

    async def ensure(self) -> list[str]:
        said: list[str] = await self._ask(lambda collection, session: ensured(self, collection))
        return said

    def special_order(self, term: object) -> Order | None:
        is_random = isinstance(term, str) and term.removeprefix("-") == RANDOM
        return Order(None, special=RANDOM) if is_random else None
