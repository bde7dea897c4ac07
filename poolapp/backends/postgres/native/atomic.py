"""``pool.atomic()``: a transaction that all of a task's work with the database joins."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import transaction

from poolapp.backends.postgres.blocks import OPEN, Block, block_of
from poolapp.backends.postgres.native import bridge
from poolapp.backends.postgres.native.session import Session, cross, living, natively, open_session
from poolapp.core.home import acting_task
from poolapp.core.lease import Site
from poolapp.core.registry import pools
from poolapp.databases import database_of

if TYPE_CHECKING:
    from poolapp.backends.postgres.pool import PostgresPool

P = ParamSpec("P")
T = TypeVar("T")


class Atomic(AbstractAsyncContextManager[None]):
    """What ``pool.atomic()`` gives: a context manager, and a decorator of async functions."""

    def __init__(self, alias: str, savepoint: bool, durable: bool, site: Site) -> None:
        self._alias = alias
        self._savepoint = savepoint
        self._durable = durable
        self._site = site
        self._entered: list[_Entry] = []

    async def __aenter__(self) -> None:
        entry = _Entry(
            cast("PostgresPool", pools[self._alias]), self._savepoint, self._durable, self._site
        )
        await entry.enter()
        self._entered.append(entry)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._entered.pop().leave(kind, error, traceback)

    def __call__(
        self, function: Callable[P, Awaitable[T]], /
    ) -> Callable[P, Coroutine[Any, Any, T]]:
        """Run an async function in a transaction, each time it is called."""
        if not iscoroutinefunction(function):
            raise TypeError(
                f"atomic() decorates async functions, which {_name(function)} is not; for a "
                "synchronous one that runs natively use django.db.transaction.atomic"
            )

        @functools.wraps(function)
        def in_transaction(*args: P.args, **named: P.kwargs) -> Coroutine[Any, Any, T]:
            own = Atomic(self._alias, self._savepoint, self._durable, Site(sys._getframe(1)))
            return own._run(function, args, named)

        return markcoroutinefunction(in_transaction)

    async def _run(self, function: Callable[..., Awaitable[T]], args: Any, named: Any) -> T:
        async with self:
            return await function(*args, **named)


class _Entry:
    """One block of one task. What Django does at its ends is done where the pool's connections
    are; which blocks are open is noted where the task is."""

    def __init__(self, pool: PostgresPool, savepoint: bool, durable: bool, site: Site) -> None:
        self._pool = pool
        self._site = site
        self._database = database_of(pool.alias)
        self._atomic: Any = transaction.Atomic(self._database, savepoint, durable)
        self._before = OPEN.get()
        self._session = open_session(pool)
        self._outermost = self._session is None
        self._inside = False

    async def enter(self) -> None:
        block = block_of(self._database)
        if block is not None and not self._pool.crosses:
            block.check_loop()
        if self._session is None:
            self._session = Session(living(self._before.get(self._pool.config.loops)))
        OPEN.set({**self._before, self._pool.config.loops: self._session})
        try:
            await cross(self._pool, self._enter)
        except BaseException as error:
            await self._end(error)
            raise

    async def leave(self, *error: Any) -> None:
        if error[0] is GeneratorExit and not self._runs():
            # The coroutine is closed by whoever drops it, as happens when its loop has ended, and
            # can't await anything.
            if self._pool.crosses:
                pools.spawn(self._drop)
            else:
                self._give_up()
            self._forget()
            return
        try:
            await cross(self._pool, self._leave, *error)
        except BaseException as error:
            await self._end(error)
            raise
        self._forget()

    async def _end(self, error: BaseException) -> None:
        """A cancel has met it between two loops: it came in there and did not come back, or set
        out to leave and did not get there."""
        try:
            if self._inside:
                await cross(self._pool, self._leave, type(error), error, None)
        finally:
            if self._inside:
                pools.spawn(self._drop)
            self._forget()

    def _runs(self) -> bool:
        """Whether it is the task which entered the block that ends it."""
        assert self._session is not None
        try:
            return self._session.owner is acting_task()
        except RuntimeError:  # no loop runs
            return False

    def _forget(self) -> None:
        if self._outermost:
            # Not by a token: a fixture may leave a block in another context than it entered it in.
            OPEN.set(self._before)

    # -- where the connections are -------------------------------------------------------------

    async def _enter(self, pool: PostgresPool) -> None:
        session = self._session
        assert session is not None
        await session.run(pool, self._site, self._begin)

    def _begin(self) -> None:
        session = self._session
        assert session is not None
        self._atomic.__enter__()
        block = session.blocks.get(self._database)
        if block is None:
            block = Block(session.database(self._database), self._site)
            session.blocks[self._database] = block
        block.depth += 1
        self._inside = True

    async def _leave(self, pool: PostgresPool, *error: Any) -> None:
        session = self._session
        assert session is not None
        try:
            await session.run(pool, self._site, self._atomic.__exit__, *error)
        finally:
            self._left(session)

    async def _drop(self) -> None:
        self._give_up()

    def _give_up(self) -> None:
        """Leave without waiting: the outermost block's connection is rolled back by the pool, and
        from within an inner one the outer must be."""
        session = self._session
        assert session is not None
        block = session.blocks[self._database]
        if block.depth > 1:
            block.database.atomic_blocks.pop()
            block.database.savepoint_ids.pop()
            block.database.needs_rollback = True
        self._left(session)

    def _left(self, session: Session) -> None:
        self._inside = False
        block = session.blocks[self._database]
        block.depth -= 1
        if not block.depth:
            del session.blocks[self._database]
        session.rest()


def on_commit(
    pool: PostgresPool, callback: Callable[[], Any], robust: bool, site: Site
) -> Awaitable[None]:
    """See ``PostgresPool.on_commit``."""

    def call() -> None:
        result = callback()
        if inspect.isawaitable(result):
            bridge.wait_for(result)

    if not callable(callback):
        raise TypeError("on_commit()'s callback must be a callable.")
    call.__qualname__ = _name(callback)
    database = database_of(pool.alias)
    block = block_of(database)
    if block is None:
        return natively(pool, site, lambda: transaction.on_commit(call, database, robust))
    block.database.on_commit(call, robust)
    return _Done()


class _Done:
    """Need not be awaited."""

    def __await__(self) -> Any:
        return iter(())


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
