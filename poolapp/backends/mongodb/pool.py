"""The short cuts of a MongoDB pool: a database, one operation, a transaction, a change stream."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from poolapp.backends.mongodb.atomic import REPEATED_FOR, Atomic, Block, block_of
from poolapp.backends.mongodb.changes import Changes
from poolapp.backends.mongodb.databases import database_of
from poolapp.backends.mongodb.transactions import transaction
from poolapp.core.lease import LastingLease, Lease
from poolapp.core.pool import Pool

if TYPE_CHECKING:
    import asyncio

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase
    from pymongo.read_concern import ReadConcern
    from pymongo.read_preferences import _ServerMode
    from pymongo.write_concern import WriteConcern

    from poolapp.backends.mongodb.client import PooledMongoClient

    Database = AsyncDatabase[dict[str, Any]]

T = TypeVar("T")


class MongoPool(Pool["PooledMongoClient"]):
    """``acquire()`` lends the ``AsyncMongoClient``; what is here lends what is made of it.

    Wherever a ``database`` is not named it is that of the URL's path.
    """

    crossing = ("run",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watching: set[Changes] = set()

    # These are plain functions, so that the frame above is the caller's.

    def database(
        self, name: str | None = None, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[Database]:
        """``async with pool.database() as db: await db.things.find_one(...)``.

        ``timeout`` is that of ``acquire()``. Raises what ``acquire`` raises, and ConfigurationError
        when neither the call nor LOCATION names a database.
        """
        return _borrowed(Lease(self, timeout, True, sys._getframe(1)), name)

    def run(
        self, operation: Callable[[Database], Awaitable[T]], *, database: str | None = None
    ) -> Coroutine[Any, Any, T]:
        """One operation: ``await pool.run(lambda db: db.things.find_one({"_id": 1}))``.

        Raises what ``acquire`` raises; BackendUnavailable, caused by the driver's error, when the
        server was lost meanwhile, so that nobody knows whether the operation took effect; and the
        driver's other errors.
        """

        def perform(client: PooledMongoClient) -> Awaitable[T]:
            result = operation(database_of(self, client, database))
            if not inspect.isawaitable(result):
                raise TypeError(
                    f"run() takes an operation that is awaited, not {type(result).__name__!r}; "
                    "end a cursor with .to_list()"
                )
            return result

        return self._perform(Lease(self, None, True, sys._getframe(1)), perform)

    def transaction(
        self,
        *,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: _ServerMode | None = None,
        max_commit_time_ms: int | None = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncClientSession]:
        """``async with pool.transaction() as session``: committed at the end of the block, aborted
        by an exception.

        Every operation in it takes ``session=session``; its client is ``session.client``. A commit
        of unknown result is repeated for up to CONNECT_TIMEOUT, which never commits twice; then it
        raises BackendUnavailable. What the driver raises inside the block comes out as it is: with
        the label ``TransientTransactionError`` the whole block may be run again.
        """
        lease = Lease(self, timeout, True, sys._getframe(1))
        return transaction(lease, read_concern, write_concern, read_preference, max_commit_time_ms)

    def atomic(
        self,
        *,
        read_concern: ReadConcern | None = None,
        write_concern: WriteConcern | None = None,
        read_preference: _ServerMode | None = None,
        max_commit_time_ms: int | None = None,
        timeout: float | None = None,
        repeated_for: float = REPEATED_FOR,
    ) -> Atomic:
        """``async with pool.atomic() as session``: a transaction like ``transaction()``, and all
        that managers of this alias do in the block is part of it.

        A block within a block is part of the outer one: MongoDB has no savepoints, so an error
        that leaves the inner block has the whole rolled back, even where the outer block catches
        it. As a decorator of an async function it also runs the function again, whole, when the
        server says that this may help, for up to ``repeated_for`` seconds; the outermost one only.

        The transaction is the task's: another one that is started in the block can't work in it.
        Raises what ``transaction()`` raises, and Django's TransactionManagementError for what can't
        be done in a block: use by another task, after a failure, and a nested block's own options.
        """
        options = {
            "read_concern": read_concern,
            "write_concern": write_concern,
            "read_preference": read_preference,
            "max_commit_time_ms": max_commit_time_ms,
        }
        lease = Lease[Any](self, timeout, True, sys._getframe(1))
        return Atomic(self, lease, options, repeated_for)

    def block(self) -> Block | None:
        """The ``atomic()`` block that the running task is in; TransactionManagementError when it
        may not work in it."""
        return block_of(self)

    def joined(
        self,
        operation: Callable[[Database, AsyncClientSession | None], Awaitable[T]],
        *,
        database: str | None = None,
    ) -> Coroutine[Any, Any, T]:
        """One operation, as part of the task's ``atomic()`` block where it is in one, else as by
        ``run``: ``operation(database, session)``."""
        block = block_of(self)
        if block is None:
            return self.run(lambda db: operation(db, None), database=database)
        db = block.database(database)
        return block.perform(lambda session: operation(db, session))

    def watch(
        self,
        collection: str | None = None,
        pipeline: Sequence[Mapping[str, Any]] | None = None,
        *,
        database: str | None = None,
        resume_after: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Changes:
        """``async with pool.watch("things") as changes: async for change in changes``: the changes
        of a collection, or of the whole database; see Changes.

        ``options`` are those of the driver's ``watch()``, and ``codec_options``: how documents
        are decoded.
        """
        lease = LastingLease[Any](self, None, True, sys._getframe(1))
        return Changes(lease, collection, pipeline, database, resume_after, options, self._watching)

    def close_soon(self, timeout: float | None = None) -> asyncio.Task[None]:
        for each in list(self._watching):
            each.end()
        return super().close_soon(timeout)


@asynccontextmanager
async def _borrowed(lease: Lease[PooledMongoClient], name: str | None) -> AsyncIterator[Database]:
    async with lease as client:
        yield database_of(lease.pool, client, name)
