"""Change streams: what happens to a collection or a database, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from random import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from poolapp.backends.mongodb.databases import database_of
from poolapp.backends.mongodb.tasks import begin, end
from poolapp.core.exceptions import BackendUnavailable, PoolClosed, PoolError
from poolapp.core.lease import LastingLease
from poolapp.core.resilience import repeat_delay
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from pymongo.asynchronous.change_stream import AsyncChangeStream

    from poolapp.backends.mongodb.client import PooledMongoClient

    Stream = AsyncChangeStream[dict[str, Any]]

logger = logging.getLogger("poolapp.mongodb")

LONGEST_DELAY = 5.0
"""Seconds between two attempts to go on, at most. They ask the pool, which spares the server."""


class Changes:
    """What ``pool.watch("things")`` gives: ``async with`` watches, ``async for`` reads.

    It holds one seat of the pool until the block ends. When the server is lost the iteration waits
    for it, for as long as that takes, and goes on behind the last change it gave: none is lost and
    none comes twice. The same after a ``drain``, and after an iteration that was cancelled.

    To begin raises what ``acquire`` raises. The iteration ends when the pool begins to close, and
    when the server ends the stream (its collection was dropped); it raises the driver's
    OperationFailure when the server can't go on there, since its log reaches no longer that far
    back, and BackendUnavailable when the server was lost before it had given a token.
    """

    def __init__(
        self,
        lease: LastingLease[Any],
        collection: str | None,
        pipeline: Sequence[Mapping[str, Any]] | None,
        database: str | None,
        resume_after: Mapping[str, Any] | None,
        options: Mapping[str, Any],
        watching: set[Changes],
    ) -> None:
        self.resume_token = resume_after
        """Of the last change that was given: keep it, and ``watch(resume_after=...)`` goes on
        there, in another process too. None when the server has given none yet."""
        self._lease = lease
        self._collection = collection
        self._pipeline = pipeline
        self._database = database
        self._options = dict(options)
        self._watching = watching
        self._stream: Stream | None = None
        self._ended: asyncio.Future[None] | None = None
        self._over = False
        self._fetching: asyncio.Task[dict[str, Any] | None] | None = None

    async def __aenter__(self) -> Self:
        client = await self._lease.__aenter__()
        try:
            self._stream = await self._open(client)
        except BaseException as error:
            self._lease.release(error)
            if self._lost(client, error):
                raise BackendUnavailable(
                    f"pool {self._alias!r}: the change stream could not be opened: "
                    f"{self._describe(error)}"
                ) from error
            raise
        self._ended = asyncio.get_running_loop().create_future()
        self._watching.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended = None
        self._watching.discard(self)
        try:
            if self._fetching is not None:
                await end(self._fetching, self._lease.pool.config.check_timeout)
            await self._leave_stream()
        finally:
            if self._lease.entry is not None:
                self._lease.release(error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        if self._ended is None:
            raise PoolError("watch() is used with 'async with': nothing is watched here")
        if self._over or self._ended.done():
            raise StopAsyncIteration
        # In a task, which goes on when who reads is cancelled: it may have a change in hand.
        if self._fetching is None:
            self._fetching = begin(self._next())
        fetching = self._fetching
        either: list[asyncio.Future[Any]] = [fetching, self._ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not fetching.done():
            raise StopAsyncIteration
        self._fetching = None
        change = fetching.result()
        if change is None:
            raise StopAsyncIteration
        return change

    def end(self) -> None:
        """End the iteration."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def _next(self) -> dict[str, Any] | None:
        """The next change; None when there will be no more."""
        while True:
            stream = await self._opened()
            if stream is None:
                return None
            client = self._lease.connection
            try:
                change = await stream.try_next()
            except BaseException as error:
                self._stream = None
                if not self._lost(client, error):
                    raise
                self._interrupted(error)
                continue
            self.resume_token = stream.resume_token
            if not stream.alive:
                self._over = True
                return change
            if change is not None:
                return change

    # -- going on ------------------------------------------------------------------------------

    async def _opened(self) -> Stream | None:
        """The stream, opened again where it was lost, or where its client is to be replaced; None
        when the pool has ended."""
        entry = self._lease.entry
        if self._stream is not None and entry is not None and not entry.condemned:
            return self._stream
        await self._leave_stream()
        if entry is not None and entry.condemned:
            self._lease.release()
        attempt = 0
        while True:
            try:
                if self._lease.entry is None:
                    await self._lease.__aenter__()
                self._stream = await self._open(self._lease.connection)
            except PoolClosed:
                return None
            except PoolError as error:
                if not error.retryable:
                    raise
            except Exception as error:
                if not self._lost(self._lease.connection, error):
                    raise
                self._lease.release(error)
            else:
                return self._stream
            attempt += 1
            await asyncio.sleep(min(repeat_delay(attempt, random), LONGEST_DELAY))

    async def _open(self, client: PooledMongoClient) -> Stream:
        target: Any = database_of(self._lease.pool, client, self._database)
        if self._collection is not None:
            target = target[self._collection]
        options = dict(self._options)
        if codec_options := options.pop("codec_options", None):
            target = target.with_options(codec_options=codec_options)
        if self.resume_token is not None:
            beginnings = ("start_after", "start_at_operation_time")
            options = {name: each for name, each in options.items() if name not in beginnings}
            options["resume_after"] = self.resume_token
        stream: Stream = await target.watch(self._pipeline, **options)
        self.resume_token = stream.resume_token or self.resume_token
        return stream

    def _interrupted(self, error: BaseException) -> None:
        self._lease.release(error)
        if self.resume_token is None and "start_at_operation_time" not in self._options:
            raise BackendUnavailable(
                f"pool {self._alias!r}: the change stream was lost before the server had given a "
                f"token to go on by: {self._describe(error)}"
            ) from error
        logger.warning(
            "Pool %r: a change stream was interrupted and goes on when the server is back: %s",
            self._alias,
            self._describe(error),
            extra={"alias": self._alias, "event": "stream_interrupted"},
        )

    async def _leave_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            import pymongo

            # The server forgets a cursor by itself: a lost one is not told goodbye for ever.
            with pymongo.timeout(self._lease.pool.config.check_timeout):
                await stream.close()

    def _lost(self, client: PooledMongoClient, error: BaseException) -> bool:
        pool = self._lease.pool
        return isinstance(error, Exception) and pool.backend.breaks(client, error)

    @property
    def _alias(self) -> str:
        return self._lease.pool.alias

    def _describe(self, error: BaseException) -> str:
        return describe(error, self._lease.pool.config.scrub)
