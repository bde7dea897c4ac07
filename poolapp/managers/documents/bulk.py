"""Many writes: read as fast as they are written, told item by item."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError
from django.db.models import Model

from poolapp.core.exceptions import BackendUnavailable, CircuitOpen, PoolError
from poolapp.core.resilience import RetryBudget, repeat_delay
from poolapp.managers.documents.store import ItemError, Operation, Store, WriteOptions

TURN = 50
"""Documents that are made without a turn for others: about half a millisecond."""

ATTEMPTS = 3
"""Times that a batch is sent when the connection is lost, where that is safe."""


@dataclass(frozen=True, slots=True)
class BulkError:
    """One item that was not written. ``index`` counts from 0 in what was given; ``id`` is the
    primary key; ``status`` the server's own code, where it has one."""

    index: int
    id: Any
    error: Exception
    status: int | None = None

    def __str__(self) -> str:
        return f"item {self.index} (pk={self.id!r}): {self.error}"


@dataclass(slots=True)
class BulkResult:
    """What became of a bulk. ``duration`` is in seconds. ``ignored`` items existed already and were
    to be left alone; ``stopped`` says that ``on_error`` ended it before all was read."""

    succeeded: int = 0
    failed: list[BulkError] = field(default_factory=list)
    ignored: int = 0
    duration: float = 0.0
    stopped: bool = False

    @property
    def processed(self) -> int:
        """How many items were read and sent."""
        return self.succeeded + self.ignored + len(self.failed)

    def __bool__(self) -> bool:
        """Whether everything was written."""
        return not self.failed and not self.stopped


OnError = Callable[[Sequence[BulkError]], Any]
"""Called with the failures of one batch; with False, or an awaitable of it, it ends the bulk."""


class Bulk:
    """One bulk call. ``operation`` makes the write of an instance; ValueError, TypeError and their
    like from it are the failure of that item alone."""

    def __init__(
        self,
        store: Store,
        operation: Callable[[Model], Awaitable[Operation]],
        options: WriteOptions,
        *,
        batch_size: int | None,
        concurrency: int | None,
        on_error: OnError | None,
        done: Callable[[Operation], object] = lambda operation: None,
        ignore_conflicts: bool = False,
    ) -> None:
        self._store = store
        self._operation = operation
        self._options = options
        self._batch_size = _positive("batch_size", batch_size, store.batch_size)
        self._concurrency = _positive("concurrency", concurrency, store.concurrency)
        self._on_error = on_error
        self._done = done
        self._ignore_conflicts = ignore_conflicts
        self._budget = RetryBudget()
        self._making = asyncio.Lock()
        self._result = BulkResult()
        self._outage: PoolError | None = None

    async def run(self, items: Any) -> BulkResult:
        """Write all items, at most ``concurrency`` batches at a time, reading no further ahead.

        Raises PoolError, with the BulkResult so far as its ``result``, when the server is away;
        what the items themselves raise comes out with a ``result`` as well.
        """
        started = time.monotonic()
        sending: set[asyncio.Task[None]] = set()
        try:
            try:
                async with aclosing(self._batches(items)) as batches:
                    async for first, batch in batches:
                        sending.add(asyncio.create_task(self._send(first, batch)))
                        if len(sending) >= self._concurrency:
                            done, sending = await asyncio.wait(
                                sending, return_when=asyncio.FIRST_COMPLETED
                            )
                            for task in done:
                                task.result()
                        if self._over():
                            break
                await asyncio.gather(*sending)
            finally:
                for task in sending:
                    task.cancel()
                if sending:
                    await asyncio.wait(sending)
        except Exception as error:
            error.result = self._finished(started)  # type: ignore[attr-defined]
            raise
        result = self._finished(started)
        if self._outage is not None:
            self._outage.result = result  # type: ignore[attr-defined]
            raise self._outage
        return result

    def _over(self) -> bool:
        return self._result.stopped or self._outage is not None

    def _finished(self, started: float) -> BulkResult:
        self._result.failed.sort(key=lambda each: each.index)
        self._result.duration = time.monotonic() - started
        return self._result

    async def _batches(self, items: Any) -> AsyncGenerator[tuple[int, list[Any]], None]:
        index = 0
        batch: list[Any] = []
        async with aclosing(each_of(items, self._batch_size)) as each:
            async for item in each:
                batch.append(item)
                index += 1
                if len(batch) == self._batch_size:
                    yield index - len(batch), batch
                    batch = []
        if batch:
            yield index - len(batch), batch

    async def _send(self, first: int, batch: list[Any]) -> None:
        operations: list[tuple[int, Operation]] = []
        failed: list[BulkError] = []
        # One batch at a time, so that the first is on its way while the next is made; and with a
        # turn for everybody else on the loop now and then, the sockets among them.
        async with self._making:
            for index, item in enumerate(batch, first):
                if (index - first) % TURN == 0:
                    await asyncio.sleep(0)
                try:
                    operations.append((index, await self._operation(item)))
                except Exception as error:
                    failed.append(BulkError(index, getattr(item, "pk", None), error))
        outcomes = await self._write([each for _, each in operations]) if operations else []
        for (index, operation), outcome in zip(operations, outcomes, strict=True):
            if outcome is None:
                self._result.succeeded += 1
                self._done(operation)
            elif self._ignore_conflicts and isinstance(outcome.error, IntegrityError):
                self._result.ignored += 1
            else:
                pk = operation.pk if operation.instance is None else operation.instance.pk
                failed.append(BulkError(index, pk, outcome.error, outcome.status))
        if failed:
            self._result.failed += failed
            await self._tell(failed)

    async def _write(self, operations: Sequence[Operation]) -> Sequence[ItemError | None]:
        # A create that got through before the connection was lost would find itself there.
        repeatable = all(each.action != "create" and not each.checked for each in operations)
        self._budget.deposit()
        attempt = 1
        while True:
            try:
                async with asyncio.timeout(self._options.timeout):
                    return await self._store.write(operations, self._options)
            except CircuitOpen as error:
                return self._end(error, operations)
            except BackendUnavailable as error:
                again = repeatable and attempt < ATTEMPTS and not self._over()
                if not (again and self._budget.withdraw()):
                    return self._end(error, operations)
            except PoolError as error:
                return self._end(error, operations)
            except TimeoutError:
                late = TimeoutError(
                    f"no answer within {self._options.timeout} s; it may or may not have been "
                    "written"
                )
                return [ItemError(late)] * len(operations)
            await asyncio.sleep(repeat_delay(attempt, random.random))
            attempt += 1

    def _end(self, error: PoolError, operations: Sequence[Operation]) -> list[ItemError | None]:
        self._outage = self._outage or error
        return [ItemError(error)] * len(operations)

    async def _tell(self, failed: list[BulkError]) -> None:
        if self._on_error is None:
            return
        answer = self._on_error(failed)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer is False:
            self._result.stopped = True


def _positive(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")
    return value


async def each_of(items: Any, chunk_size: int) -> AsyncGenerator[Any, None]:
    """Whatever there is to iterate over: a list, a generator, an async one, a QuerySet of a
    database (by its ``aiterator``) or of documents."""
    if hasattr(items, "get_queryset"):
        items = items.get_queryset()
    if hasattr(items, "aiterator"):
        items = items.aiterator(chunk_size=chunk_size)
    if hasattr(items, "aclose"):
        async with aclosing(items):
            async for item in items:
                yield item
    elif hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
