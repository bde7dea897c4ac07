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
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db.transaction import TransactionManagementError

from poolapp.backends.mongodb.databases import database_of
from poolapp.backends.mongodb.transactions import transaction
from poolapp.core.lease import Lease
from poolapp.core.resilience import repeat_delay
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from poolapp.backends.mongodb.pool import MongoPool

P = ParamSpec("P")
T = TypeVar("T")

REPEATED_FOR = 120.0
"""Seconds for which a function is run again, as by the driver's ``with_transaction``: see
"Convenient API for Transactions" of MongoDB's driver specifications."""

_blocks: ContextVar[Mapping[str, Block]] = ContextVar(
    "poolapp_mongodb_blocks", default=MappingProxyType({})
)
"""Alias -> the block that is open here. A task gets a copy of its starter's, so each block knows
whose it is."""

_helped: ContextVar[Block | None] = ContextVar("poolapp_mongodb_helped", default=None)


class Block:
    """An open transaction, and the task that may work in it."""

    def __init__(self, pool: MongoPool, session: AsyncClientSession) -> None:
        self.pool = pool
        self.session = session
        self.open = True
        self.failed: BaseException | None = None
        """What the transaction came to an end by, before its block did."""
        self._owner = asyncio.current_task()
        self._turn = asyncio.Lock()

    def database(self, name: str | None = None) -> AsyncDatabase[dict[str, Any]]:
        """For what is given the session by hand; ConfigurationError when none is named."""
        return database_of(self.pool, self.session.client, name)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise TransactionManagementError where the running task may not work in it, and where
        nothing can be done in it any more."""
        alias = self.pool.alias
        if asyncio.current_task() is not self._owner and _helped.get() is not self:
            raise TransactionManagementError(
                f"pool {alias!r}: this task was started inside an atomic() block of another task, "
                "whose transaction it can't share. Await the work in the block itself (gather() "
                "and, before Python 3.12, wait_for() start tasks: use asyncio.timeout()), or give "
                "the task a context of its own, create_task(..., context=contextvars.Context()), "
                "to work outside of the transaction"
            )
        if self.failed is not None:
            raise TransactionManagementError(
                f"pool {alias!r}: the transaction of this atomic() block has failed "
                f"({self.why}), and MongoDB has no savepoints: nothing more can be done "
                "until the end of the outermost block"
            ) from self.failed

    def let_helpers_in(self) -> None:
        """Have the tasks that this one starts from now on work in the block: for code that divides
        one call among tasks, and outlives none of them."""
        _helped.set(self)

    def keep_helpers_out(self) -> None:
        _helped.set(None)

    @property
    def why(self) -> str:
        """What ``failed`` says, for a message."""
        if self.failed is None:
            return ""
        # The driver's words would hold the documents that were written.
        refused = (getattr(self.failed, "details", None) or {}).get("writeErrors")
        if refused:
            return self.pool.config.scrub(str(refused[0].get("errmsg")))
        return describe(self.failed, self.pool.config.scrub)

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
                f"its transaction had failed: {block.why}. MongoDB has no savepoints: "
                "let such an error leave the outermost block"
            )
            error.__cause__ = block.failed
            await self._transaction.__aexit__(type(error), error, None)
            raise error
        await self._transaction.__aexit__(kind, error, traceback)

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


def _names(options: Mapping[str, Any]) -> str:
    return ", ".join(name for name, value in options.items() if value is not None)
