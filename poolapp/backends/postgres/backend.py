"""How to connect to PostgreSQL, and what makes a connection fit to be lent again."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlencode

from poolapp.backends.abandoned import drop
from poolapp.backends.judging import load
from poolapp.backends.postgres import options, pooler, refusals
from poolapp.backends.postgres.pool import PostgresPool
from poolapp.core.backend import BaseBackend, Exposure, Problem
from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

READ_ONLY = "25006"
"""SQLSTATE read_only_sql_transaction."""


class PostgresBackend(BaseBackend["Connection"]):
    """One ``asyncpg.Connection`` for each holder.

    ``OPTIONS`` are the keyword arguments of ``asyncpg.connect``, and ``init``: an async function,
    or its dotted path, that is called with each new connection (type codecs).
    """

    driver = "asyncpg"
    extra = "postgres"
    schemes = ("postgresql", "postgres")
    environment: ClassVar[Mapping[str, str]] = {
        "CONNECTION_POOL_DB_MIN": "MIN_SIZE",
        "CONNECTION_POOL_DB_MAX": "MAX_SIZE",
        "CONNECTION_POOL_DB_IDLE_TIMEOUT": "IDLE_TIMEOUT",
        "CONNECTION_POOL_DB_COMMAND_TIMEOUT": "OPTIONS.command_timeout",
        "POSTGRES_POOL_MIN_SIZE": "MIN_SIZE",
        "POSTGRES_POOL_MAX_SIZE": "MAX_SIZE",
        "POSTGRES_POOL_TIMEOUT": "ACQUIRE_TIMEOUT",
    }
    pool_class: ClassVar[type[PostgresPool]] = PostgresPool

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        return list(options.problems(config))

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        return list(options.exposures(config))

    # -- connecting ----------------------------------------------------------------------------

    async def connect(self) -> Connection:
        """Connect to the first host that answers and has the wanted role.

        Each host gets its share of CONNECT_TIMEOUT, so that one that is silent does not use up
        the others' time.
        """
        import asyncpg

        arguments = self._arguments()
        attempts = list(self._attempts(arguments["target_session_attrs"]))
        last_error: Exception | None = None
        for attempt in attempts:
            try:
                connection: Connection = await asyncpg.connect(**{**arguments, **attempt})
            except (
                OSError,
                asyncpg.CannotConnectNowError,
                asyncpg.ConnectionDoesNotExistError,
                asyncpg.TargetServerAttributeNotMatched,
            ) as error:
                # What a host says of itself ("starting up", "not a primary") is worth more than
                # that it can't be reached.
                if last_error is None or not isinstance(error, OSError):
                    last_error = refusals.told_by_tls(error)
            else:
                return await self._prepared(connection)
        assert last_error is not None
        raise last_error

    def _arguments(self) -> dict[str, Any]:
        """The keyword arguments of asyncpg.connect, but for the host."""
        (location,) = self.config.where()
        options.require_files(location)
        given = {name: value for name, value in self.config.options.items() if name != "init"}
        query = {name: value for name, value in location.query.items() if name != "port"}
        query.pop("host", None)
        settings = dict(given.pop("server_settings", None) or {})
        if "application_name" not in query:
            settings.setdefault("application_name", f"poolapp:{self.config.alias}:{os.getpid()}")
        arguments: dict[str, Any] = {
            "connection_class": _connection_class(),
            "database": unquote(location.path.lstrip("/")) or None,
            "dsn": f"postgresql:///?{urlencode(query)}" if query else None,
            "password": None if location.password is None else location.password.reveal(),
            "server_settings": settings,
            "target_session_attrs": query.get("target_session_attrs"),
            "user": location.username,
        }
        return {**arguments, **given}

    def _attempts(self, wanted: str | None) -> Iterator[dict[str, Any]]:
        """What differs from one host to the next."""
        (location,) = self.config.where()
        hosts = options.hosts(location)
        if len(hosts) < 2:
            host = {"host": unquote(hosts[0][0]), "port": hosts[0][1]} if hosts else {}
            yield {**host, "timeout": self.config.connect_timeout, **self._given("timeout")}
            return
        roles = ["standby", None] if wanted == "prefer-standby" else [wanted]
        share = self.config.connect_timeout / (len(hosts) * len(roles))
        for role in roles:
            for host_name, port in hosts:
                yield {
                    "host": unquote(host_name),
                    "port": port,
                    "target_session_attrs": role,
                    "timeout": share,
                    **self._given("timeout"),
                }

    def _given(self, name: str) -> dict[str, Any]:
        given = self.config.options
        return {name: given[name]} if name in given else {}

    async def _prepared(self, connection: Connection) -> Connection:
        given = self.config.options
        (location,) = self.config.where()
        try:
            if "statement_cache_size" not in given:
                await pooler.look_for_one(connection, self.config.alias, location.address)
            if given.get("init") is not None:
                await load(given["init"])(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def is_hopeless(self, error: BaseException) -> bool:
        return refusals.is_hopeless(error)

    # -- living --------------------------------------------------------------------------------

    async def check(self, connection: Connection) -> None:
        """One round trip by the simple protocol. A connection that was opened to a server that
        can write is bad once the server can't: another host may have become the primary."""
        await connection.execute("SELECT 1")
        if self._must_write and _is_read_only(connection):
            raise PoolError("the server has become read-only")

    @property
    def _must_write(self) -> bool:
        (location,) = self.config.where()
        wanted = self._given("target_session_attrs") or location.query
        return wanted.get("target_session_attrs") in ("read-write", "primary")

    async def reset(self, connection: Connection) -> None:
        """Roll back what is open, and undo all that a session can remember, but for prepared
        statements. A query that was cancelled is waited for first."""
        try:
            await self._reset(connection)
            if connection.is_in_transaction():
                # A BEGIN that was cancelled, and had its effect all the same: what waits for it
                # to end is the reset itself, which has then run in that transaction.
                await self._reset(connection)
        except asyncio.CancelledError:
            # The time is over: a server that does not answer this won't answer a goodbye either,
            # and that would be waited for with the slot still taken.
            connection.terminate()
            raise

    async def _reset(self, connection: Connection) -> None:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        await connection.reset()

    def is_closed(self, connection: Connection) -> bool:
        return connection.is_closed()

    def breaks(self, connection: Connection, error: BaseException) -> bool:
        if pooler.lost_a_statement(error):
            pooler.explain(error, self.config.alias)
            return True
        return connection.is_closed() or getattr(error, "sqlstate", None) == READ_ONLY

    def watch(self, connection: Connection, lost: Callable[[], None]) -> None:
        connection.add_termination_listener(lambda _: lost())

    # -- ending --------------------------------------------------------------------------------

    async def close(self, connection: Connection) -> None:
        # One round trip, preceded by the cancel of a query that still runs. A cancel that overtakes
        # its query is ignored by the server, and a silent one ignores everything: neither may
        # keep the slot for all of CLOSE_TIMEOUT.
        await connection.close(timeout=self.config.check_timeout)

    def terminate(self, connection: Connection) -> None:
        connection.terminate()

    def abandon(self, connection: Connection) -> None:
        transport = connection._transport  # type: ignore[attr-defined]
        try:
            connection.terminate()
        except RuntimeError:  # it is marked as closed before it tries the loop
            pass
        drop(transport)

    # -- asking --------------------------------------------------------------------------------

    async def server_info(self, connection: Connection) -> Mapping[str, Any]:
        """``version``, ``max_connections``, ``superuser_reserved_connections``,
        ``in_recovery``."""
        row = await connection.fetchrow(
            "SELECT current_setting('server_version') AS version,"
            " current_setting('max_connections')::int AS max_connections,"
            " current_setting('superuser_reserved_connections')::int"
            " AS superuser_reserved_connections,"
            " pg_is_in_recovery() AS in_recovery"
        )
        assert row is not None
        return dict(row)


def _is_read_only(connection: Connection) -> bool:
    """What the server last reported of itself; servers before PostgreSQL 14 don't."""
    settings = connection.get_settings()
    return "on" in (
        getattr(settings, "in_hot_standby", None),
        getattr(settings, "default_transaction_read_only", None),
    )


@functools.cache
def _connection_class() -> type[Connection]:
    # The driver is imported when a pool first connects, and so its class can't be extended
    # before.
    import asyncpg

    class PostgresConnection(asyncpg.Connection):
        """Resets more than asyncpg, whose reset leaves the next holder with the role that
        ``SET ROLE`` gave to the last one, and with its temporary tables."""

        __slots__ = ()

        def get_reset_query(self) -> str:
            query = super().get_reset_query()
            if "CLOSE ALL" not in query:  # not PostgreSQL, but something that speaks like it
                return query
            return (
                f"SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; {query} "
                "DISCARD TEMP; DISCARD SEQUENCES;"
            )

    return PostgresConnection
