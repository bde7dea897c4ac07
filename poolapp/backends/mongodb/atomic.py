"""``pool.atomic()``: a transaction that whoever works inside it joins without being told."""

from __future__ import annotations

import asyncio
import functools
import itertools
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from random import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db.transaction import TransactionManagementError

from poolapp.backends.mongodb.transactions import transaction
from poolapp.core.lease import Lease
from poolapp.core.resilience import repeat_delay

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession

    from poolapp.backends.mongodb.pool import MongoPool

P = ParamSpec("P")
T = TypeVar("T")

REPEATED_FOR = 120.0
"""Seconds for which a function is run again, as in the driver's ``with_transaction``: see "Convenient
API for Transactions" of MongoDB's driver specifications."""

_blocks: ContextVar[Mapping[str, Block]] = ContextVar("poolapp_mongodb_blocks", default={})  # noqa: B039
"""Alias -> the block that is open here. A task gets a copy of its starter's, so each block knows
whose it is."""


class Block:
    """An open transaction, and the task that may work in it."""

    def __init__(self, pool: MongoPool, session: AsyncClientSession) -> None:
        self.pool = pool
        self.session = session
        self.open = True
        self.failed: BaseException | None = None
        """What the transaction came to an end by, before its block did."""
        self._owner = asyncio.current_task()
        self._helpers = ContextVar("poolapp_mongodb_helpers", default=False)
        self._turn = asyncio.Lock()

    def check(self) -> None:
        """Raise TransactionManagementError where the running task may not work in it, and where
        nothing can be done in it any more."""
        alias = self.pool.alias
        if asyncio.current_task() is not self._owner and not self._helpers.get():
            raise TransactionManagementError(
                f"pool {alias!r}: this task was started inside an atomic() block of another task, "
                "whose transaction it can't share: await the work in the block itself, or start "
                "the task with create_task(..., context=contextvars.Context()) to work outside "
                "of the transaction"
            )
        if self.failed is not None:
            raise TransactionManagementError(
                f"pool {alias!r}: the transaction of this atomic() block has failed "
                f"({_words(self.failed)}), and MongoDB has no savepoints: nothing more can be done "
                "until the end of the outermost block"
            ) from self.failed

    def let_helpers_in(self) -> None:
        """Have the tasks that this one starts from now on work in the block: for code that divides
        one call among tasks, and outlives none of them."""
        self._helpers.set(True)

    def keep_helpers_out(self) -> None:
        self._helpers.set(False)

    async def perform(self, operation: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """One operation of the transaction, one after the other: a session has one at a time.

        Raises BackendUnavailable when the server was lost, and the driver's other errors.
        """
        async with self._turn:
            self.check()
            try:
                return await operation(self.session)
            except BaseException as error:
                if _ends_transaction(error):
                    self.failed = error
                self.pool._raise_if_lost(self.session.client, error)  # type: ignore[arg-type]
                raise


def block_of(pool: MongoPool) -> Block | None:
    """The block of this alias that is open here; raises what ``Block.check`` raises."""
    block = _blocks.get().get(pool.alias)
    if block is None or not block.open:
        return None
    block.check()
    return block


class Atomic(AbstractAsyncContextManager["AsyncClientSession"]):
    """What ``pool.atomic()`` gives: a context manager, and a decorator of async functions."""

    def __init__(
        self, pool: MongoPool, lease: Lease[Any], options: Mapping[str, Any], repeated_for: float
    ) -> None:
        self._pool = pool
        self._lease = lease
        self._options = options
        self._repeated_for = repeated_for
        self._block: Block | None = None
        self._before: Mapping[str, Block] = {}
        self._transaction: AbstractAsyncContextManager[AsyncClientSession] | None = None

    async def __aenter__(self) -> AsyncClientSession:
        if self._block is not None:
            raise TransactionManagementError(
                f"pool {self._pool.alias!r}: this atomic() block was entered before; call "
                "atomic() for each block"
            )
        self._before = _blocks.get()
        outer = block_of(self._pool)
        if outer is not None:
            if any(value is not None for value in self._options.values()):
                raise TransactionManagementError(
                    f"pool {self._pool.alias!r}: a nested atomic() block is part of the outer "
                    f"one's transaction, so it can't have {_names(self._options)} of its own"
                )
            self._block = outer
            return outer.session
        self._transaction = transaction(self._lease, *self._options.values())
        session = await self._transaction.__aenter__()
        self._block = Block(self._pool, session)
        _blocks.set({**self._before, self._pool.alias: self._block})
        return session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = self._block
        assert block is not None
        if self._transaction is None:
            # The server can't undo the inner part alone, so the outer must not be committed.
            block.failed = block.failed or error
            return
        block.open = False
        # Not by a token: a fixture may leave the block in another context than it entered it in.
        _blocks.set(self._before)
        if error is None and block.failed is not None:
            error = TransactionManagementError(
                f"pool {self._pool.alias!r}: nothing of this atomic() block was written, because "
                f"its transaction had failed: {_words(block.failed)}. MongoDB has no savepoints: "
                "let such an error leave the outermost block"
            )
            error.__cause__ = block.failed
            await self._end(error)
            raise error
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        assert self._transaction is not None
        try:
            await self._transaction.__aexit__(type(error) if error else None, error, None)
        except BaseException as raised:
            if raised is not error:
                raise

    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Run an async function in a transaction: again, whole, when the server says that this
        may help (``TransientTransactionError``), for up to ``repeated_for`` seconds."""

        @functools.wraps(function)
        async def in_transaction(*args: P.args, **named: P.kwargs) -> T:
            pool, timeout = self._pool, self._lease.timeout
            frame = sys._getframe(1)
            nested = block_of(pool) is not None
            deadline = pool.clock() + self._repeated_for
            for attempt in itertools.count(1):
                lease = Lease[Any](pool, timeout, True, frame)
                try:
                    async with Atomic(pool, lease, self._options, self._repeated_for):
                        return await function(*args, **named)
                except Exception as error:
                    # An inner part can't be run again: the server has given up the whole.
                    delay = repeat_delay(attempt, random)
                    if nested or not is_transient(error) or pool.clock() + delay >= deadline:
                        raise
                await asyncio.sleep(delay)
            raise AssertionError

        return in_transaction


def is_transient(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the whole transaction may be tried
    again; never where it may have been committed."""
    from pymongo.errors import PyMongoError

    while error is not None:
        if isinstance(error, PyMongoError):
            return error.has_error_label("TransientTransactionError")
        error = error.__cause__
    return False


def _ends_transaction(error: BaseException) -> bool:
    """The server ends a transaction by almost any error; what the driver refuses by itself never
    gets there. Of an operation that was cancelled nobody knows how far it came."""
    from pymongo.errors import InvalidOperation, PyMongoError

    if isinstance(error, PyMongoError):
        return not isinstance(error, InvalidOperation)
    return isinstance(error, asyncio.CancelledError)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _names(options: Mapping[str, Any]) -> str:
    return ", ".join(name for name, value in options.items() if value is not None)
