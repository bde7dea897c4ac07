"""The databases of one task, as native code finds them in ``django.db.connections``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections

from poolapp.backends.postgres.blocks import OPEN, Block
from poolapp.backends.postgres.native import bridge, database
from poolapp.core.home import acting_task
from poolapp.core.lease import Site
from poolapp.core.registry import pools
from poolapp.databases import database_of, pool_for

if TYPE_CHECKING:
    from poolapp.backends.postgres.pool import PostgresPool

T = TypeVar("T")


class Session:
    """Wraps each database once, for as long as it is in use by a task: for one call of native
    code, or from the outermost ``atomic()`` block's beginning to its end."""

    def __init__(self, outer: Session | None = None) -> None:
        self.outer = outer
        """That of the task which started this one."""
        self.owner = acting_task()
        self.loop: asyncio.AbstractEventLoop | None = None
        """That of its last call."""
        self.blocks: dict[str, Block] = {}
        """Database -> the ``atomic()`` block."""
        self.called: tuple[str, Site] | None = None
        """The database whose pool was asked to run the present call, and by which line."""
        self._calls = 0
        self._databases: dict[str, Any] = {}
        self._pools: dict[str, str] = {}

    def database(self, alias: str) -> Any:
        """What is ``connections[alias]`` in native code."""
        found = self._databases.get(alias)
        if found is None:
            pool = self._pools.get(alias) or pool_for(alias)
            found = self._databases[alias] = database.wrapper(alias, pool, self)
        else:
            database.refresh(found)
        return found

    async def run(
        self, pool: PostgresPool, site: Site, function: Callable[..., T], *args: Any
    ) -> T:
        """Call synchronous code that uses the ORM."""
        if bridge.current_session() is not None:
            return function(*args)  # a coroutine that native code itself has stepped
        database.install(connections)
        self.loop = pool.loop
        before, self.called = self.called, (database_of(pool.alias), site)
        self._go_by(pool)
        self._calls += 1
        try:
            return await bridge.run_natively(self, function, *args)
        finally:
            self._calls -= 1
            self.called = before
            self.rest()

    def _go_by(self, pool: PostgresPool) -> None:
        """Have this pool lead to its database, where several do and no transaction is open."""
        alias = database_of(pool.alias)
        self._pools[alias] = pool.alias
        found = self._databases.get(alias)
        if found is not None and found.pool_alias != pool.alias and database.at_rest(found):
            database.lay_by(self._databases.pop(alias))

    def rest(self) -> None:
        """The wrappers may be used by others, when there is no call and no block any more."""
        if not self._calls and not self.blocks:
            self._pools.clear()
            while self._databases:
                database.lay_by(self._databases.popitem()[1])

    def hold(self) -> None:
        """Have the wrappers stay its own between the calls, until ``let_go``."""
        self._calls += 1

    def let_go(self) -> None:
        self._calls -= 1
        self.rest()

    def site_of(self, alias: str) -> Site:
        """The user's line that a lease of this database is to be known by."""
        block = self.blocks.get(alias)
        if block is not None:
            return block.site
        assert self.called is not None
        return self.called[1]


def natively(
    pool: PostgresPool, site: Site, function: Callable[..., T], *args: Any
) -> Coroutine[Any, Any, T]:
    """Run synchronous code in the task's transaction, or where it is in none, for itself."""
    return cross(pool, _natively, site, function, *args)


async def _natively(pool: PostgresPool, site: Site, function: Callable[..., T], *args: Any) -> T:
    session = open_session(pool) or Session()
    return await session.run(pool, site, function, *args)


def open_session(pool: PostgresPool) -> Session | None:
    """The one that has a block of the running task, where it can be worked in."""
    session = OPEN.get().get(pool.config.loops)
    if session is None or not session.blocks or session.owner is not acting_task():
        return None
    return session if pool.crosses or session.loop is pool.loop else None


def living(session: Session | None) -> Session | None:
    """The first one of those that have started each other which has a block still. The others are
    dropped: a task may start the next one in its block, and that one the next, for ever."""
    while session is not None and not session.blocks:
        session = session.outer
    if session is not None:
        session.outer = living(session.outer)
    return session


async def cross(
    pool: PostgresPool, function: Callable[..., Coroutine[Any, Any, T]], *args: Any
) -> T:
    """Call an async function of a pool where the pool's connections are: on this loop, or on the
    process's own for an alias that loops share."""
    if not pool.crosses:
        return await function(pool, *args)
    return await pools.arun(_there, pool.alias, function, *args)


async def _there(alias: str, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    return await function(pools[alias], *args)
