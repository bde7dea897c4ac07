"""The ``atomic()`` blocks that the running task is in. Imports no Django: every short cut of a pool
asks here, also where nobody uses the ORM."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from poolapp.core.home import acting_task
from poolapp.core.lease import Site

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.session import Session

OPEN: ContextVar[Mapping[str, Session]] = ContextVar(
    "poolapp_postgres", default=MappingProxyType({})
)
"""The sessions that have a block open here, by the ``LOOPS`` of its pool: what is shared by loops
lives on the process's own, and so can't be in one session with what is not. A task gets a copy of
its starter's context, so each session knows whose it is."""


class Block:
    """The transaction of one database that a task's ``atomic()`` blocks are in."""

    def __init__(self, database: Any, site: Site) -> None:
        self.database = database
        """Django's wrapper of it."""
        self.site = site
        self.depth = 0
        self.loop = asyncio.get_running_loop()

    @property
    def is_open(self) -> bool:
        """False while what is to be done after the commit is done."""
        return bool(self.database.in_atomic_block)

    def check_loop(self) -> None:
        """Raise TransactionManagementError where the transaction's connection can't be used."""
        if self.loop is not asyncio.get_running_loop():
            raise _mismanaged(
                f"the transaction of the atomic() block of the database {self.database.alias!r} "
                "is on another event loop: await the work in the block itself, instead of by "
                "pools.run() or pools.arun(), and give pools that work together the same LOOPS"
            )

    async def perform(
        self, statement: Callable[[Any], Awaitable[Any]], *, clean: bool, marks: bool
    ) -> Any:
        """A statement of the transaction; with ``marks`` an error of it means, as one of a save
        does to Django, that nothing but a rollback can follow."""
        self.check_loop()
        database = self.database
        database.validate_no_broken_transaction()
        try:
            return await database.connection.perform(statement, clean=clean)
        except Exception as error:
            if marks:
                database.needs_rollback = True
                database.rollback_exc = error
            raise


def block_of(database: str) -> Block | None:
    """That of the running task; TransactionManagementError in a task that was started inside
    one."""
    sessions = OPEN.get()
    if not sessions:
        return None
    for session in _with_outer(sessions):
        block = session.blocks.get(database)
        if block is not None and block.is_open:
            if session.owner is not acting_task():
                raise _mismanaged(
                    f"this task was started inside an atomic() block of the database {database!r} "
                    "by another task, whose transaction it can't share: await the work in the "
                    "block itself, one after the other, instead of by gather(), create_task() or "
                    "a TaskGroup; or start the task with create_task(..., "
                    "context=contextvars.Context()) to have it work outside of the transaction. "
                    "Before Python 3.12 asyncio.wait_for() starts a task: use asyncio.timeout()"
                )
            return block
    return None


def _with_outer(sessions: Mapping[str, Session]) -> Iterator[Session]:
    for each in sessions.values():
        session: Session | None = each
        while session is not None:
            yield session
            session = session.outer


def _mismanaged(text: str) -> Exception:
    from django.db.transaction import TransactionManagementError

    return TransactionManagementError(text)
