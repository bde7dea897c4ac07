"""A connection and its cursors, as Django knows them from psycopg, on a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from django.db.transaction import TransactionManagementError

from poolapp.backends.postgres.blocks import block_of
from poolapp.backends.postgres.native import bridge, errors
from poolapp.backends.postgres.native.codecs import adapters_of
from poolapp.backends.postgres.native.cursor import Cursor
from poolapp.backends.postgres.native.named import NamedCursor
from poolapp.backends.postgres.native.prepared import settle
from poolapp.backends.postgres.native.records import copy_records, insert_records
from poolapp.backends.postgres.statements import is_clean, is_write
from poolapp.backends.postgres.zones import is_in_zone, set_zone
from poolapp.core.exceptions import BackendUnavailable
from poolapp.core.lease import Lease
from poolapp.core.registry import pools
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from poolapp.backends.postgres.pool import PostgresPool

T = TypeVar("T")


class Connection:
    """Holds a connection of the pool during a transaction only: without one, each statement
    borrows what is free."""

    def __init__(self, alias: str, database: Any, isolation_level: Any = None) -> None:
        self.alias = alias
        self.database = database
        self.closed = False
        self.isolation_level = isolation_level
        """A ``psycopg.IsolationLevel`` for the transactions to come; None: the server's default."""
        self._autocommit = True
        self._lease: Lease[Any] | None = None
        self._refused: BaseException | None = None
        """What says that the pool should not lend the connection again."""
        self._lost = ""
        """How the connection of this transaction was lost."""
        self.adapters = adapters_of(database.alias, database.settings_dict)
        self.adapters.greeted = True
        self.cursors: set[NamedCursor] = set()
        """Those that are open on connections of their own."""
        self.info = Info(self)

    connection = None
    """As psycopg's functions ask of what they adapt for: no connection of theirs."""

    @property
    def at_rest(self) -> bool:
        """Whether nobody can tell it from a new one."""
        return (
            self._lease is None
            and self._autocommit
            and not self.closed
            and not self._lost
            and not self.cursors
        )

    # -- transactions: begun by the first statement, as psycopg does -----------------------------

    @property
    def autocommit(self) -> bool:
        return self._autocommit

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if self._lease is not None and value != self._autocommit:
            raise psycopg.ProgrammingError("can't change 'autocommit' now: in a transaction")
        self._autocommit = value

    def commit(self) -> None:
        if self._lost:
            self.wait(self._refuse())
        if self._lease is not None:
            self.wait(self._commit())

    def rollback(self) -> None:
        self._lost = ""
        if self._lease is not None:
            self.wait(self._rollback())

    def close(self) -> None:
        self.rollback()
        self.closed = True

    def abandon(self) -> None:
        """Leave a transaction without waiting: the pool rolls it back before it lends again."""
        for each in list(self.cursors):
            each.abandon()
        lease, self._lease = self._lease, None
        self._autocommit, self._lost = True, ""
        if lease is not None:
            lease.release(ConnectionAbortedError("left in a transaction"))

    async def _begin(self) -> Lease[Any]:
        pool = self._pool
        block = block_of(self.database.alias)  # refuses that of another task
        if block is not None:
            block.check_loop()
        lease: Lease[Any] = Lease(pool, None, True, self._site)
        connection = await lease.__aenter__()
        commands = ["BEGIN"]
        if self.isolation_level is not None:
            commands[0] += f" ISOLATION LEVEL {self.isolation_level.name.replace('_', ' ')}"
        zone = self.database.session_zone
        if zone and not is_in_zone(connection, zone):
            # For the transaction only, so that the session needs no reset afterwards.
            commands.append(set_zone(zone, local=True))
        try:
            await connection.execute("; ".join(commands))
        except BaseException as error:
            lost = connection.is_closed()
            lease.release(error)
            if lost and isinstance(error, Exception):
                raise BackendUnavailable(self._told(pool, error)) from error
            raise
        self._lease, self._refused = lease, None
        return lease

    async def _commit(self) -> None:
        lease, self._lease = self._lease, None
        assert lease is not None
        connection = lease.connection
        settle(connection)
        try:
            await connection.execute("COMMIT")
        except BaseException as error:
            lost = connection.is_closed()
            # What the server itself refused to commit it has rolled back, and the session is clean.
            refused = hasattr(error, "sqlstate") and not lost
            lease.release(self._refused if refused else error)
            if lost and isinstance(error, Exception):
                raise BackendUnavailable(
                    f"pool {self.alias!r}: the connection was lost during a commit, which may or "
                    f"may not have taken effect: {describe(error, lease.pool.config.scrub)}"
                ) from error
            raise
        lease.release(self._refused)

    async def _rollback(self) -> None:
        """Have it rolled back; by the pool, or by its end, where the server doesn't answer."""
        lease, self._lease = self._lease, None
        assert lease is not None
        settle(lease.connection)
        try:
            async with asyncio.timeout(lease.pool.config.check_timeout):
                await lease.connection.execute("ROLLBACK")
        except BaseException as error:
            lease.release(error)
            if not isinstance(error, Exception):
                raise
        else:
            lease.release(self._refused)

    # -- statements ----------------------------------------------------------------------------

    def run(self, work: Callable[[Any], Awaitable[T]], statement: str = "") -> T:
        """Have it done on a connection of the pool. ``statement`` is what will be sent, whose text
        tells whether the session must be reset after it; none: that it need not."""
        if self.database.session.blocks and is_write(statement):
            self._refuse_beside_a_block()
        return self.wait(self.perform(work, clean=not statement or is_clean(statement)))

    def wait(self, awaitable: Awaitable[T]) -> T:
        try:
            return bridge.wait_for(awaitable)
        except Exception as error:
            told = errors.translated(error)
            if told is error:
                raise
            raise told from error

    async def perform(self, work: Callable[[Any], Awaitable[T]], *, clean: bool) -> T:
        """The same from a coroutine; raises the driver's errors."""
        lease = self._lease
        if lease is None:
            if self._lost:
                await self._refuse()
            if self._autocommit:
                zone = self.database.session_zone
                return await self._pool.perform(work, self._site, clean=clean, zone=zone)
            lease = await self._begin()
        lease.clean = lease.clean and clean
        try:
            if lease.connection.is_closed():
                raise ConnectionResetError("the server has closed it")
            return await work(lease.connection)
        except BaseException as error:
            self._note(lease, error)
            raise

    def _note(self, lease: Lease[Any], error: BaseException) -> None:
        """What an error of a statement means for the transaction."""
        pool = lease.pool
        if not isinstance(error, Exception):
            # The server has given up the transaction with the statement that it was made to
            # cancel. Whoever catches the cancel must not believe that the rest can be committed.
            self.database.needs_rollback = self.database.in_atomic_block
            self.database.rollback_exc = error
        if lease.connection.is_closed():
            # The slot is free at once, and no later statement may begin another transaction.
            self._lease, self._lost = None, self._told(pool, error)
            lease.release(error)
            if isinstance(error, Exception):
                raise BackendUnavailable(self._lost) from error
        elif pool.backend.breaks(lease.connection, error):
            self._refused = error

    def _told(self, pool: Any, error: BaseException) -> str:
        return (
            f"pool {self.alias!r}: the connection was lost in a transaction, which the server "
            f"rolls back: {describe(error, pool.config.scrub)}"
        )

    async def _refuse(self) -> None:
        raise BackendUnavailable(self._lost)

    def _refuse_beside_a_block(self) -> None:
        """A manager's write to one database in a block of another one only would stay when the
        block is rolled back. What native code writes by the way is its own affair."""
        session, alias = self.database.session, self.database.alias
        if alias not in session.blocks and session.called[0] == alias:
            inside = ", ".join(map(repr, session.blocks))
            raise TransactionManagementError(
                f"a write to the database {alias!r} inside an atomic() block of {inside} only, "
                f"with which it would not be rolled back; write 'async with "
                f'pools["{self.alias}"].atomic():\' around it'
            )

    @property
    def _pool(self) -> PostgresPool:
        return cast("PostgresPool", pools[self.alias])

    @property
    def _site(self) -> Any:
        return self.database.session.site_of(self.database.alias)

    def copy_records(self, table: str, *args: Any) -> None:
        """See ``records.copy_records``."""
        self.run(lambda it: copy_records(it, table, *args), f"COPY {table} FROM STDIN")

    def insert_records(self, table: str, *args: Any) -> list[tuple[Any, ...]]:
        """See ``records.insert_records``."""
        return self.run(lambda it: insert_records(it, table, *args), f"INSERT INTO {table}")

    # -- cursors -------------------------------------------------------------------------------

    def cursor(self, name: str | None = None, **_: Any) -> Cursor:
        return NamedCursor(self, name) if name else Cursor(self)

    def held(self, cursor: NamedCursor) -> Lease[Any] | None:
        """For a cursor that stays open: a lease of its own, yet to be begun with; None in a
        transaction, which has one. When this connection is given up, so is the cursor."""
        if not self._autocommit or self.database.session.blocks.get(self.database.alias):
            return None
        self.cursors.add(cursor)
        return Lease(pools[self.alias], None, False, self._site)

    async def begin_on(self, lease: Lease[Any]) -> None:
        """Begin a transaction beside this connection's own."""
        connection = await lease.__aenter__()
        zone = self.database.session_zone
        await connection.execute("BEGIN")
        if zone and not is_in_zone(connection, zone):
            await connection.execute(set_zone(zone, local=True))

    def is_on(self, session: Any) -> bool:
        """Whether its transaction is in this session."""
        return self._lease is not None and self._lease.connection is session


class Info:
    """What Django asks of a connection's ``info``."""

    encoding = "utf-8"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server_version(self) -> int:
        async def ask(connection: Any) -> int:
            version = connection.get_server_version()
            return int(version.major * 10000 + version.minor)

        return self._connection.run(ask)

    def parameter_status(self, name: str) -> str | None:
        async def ask(connection: Any) -> str | None:
            return getattr(connection.get_settings(), name, None)

        return self._connection.run(ask)
