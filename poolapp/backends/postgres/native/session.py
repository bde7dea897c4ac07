"""The databases of one task, as native code finds them in ``django.db.connections``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

from django.db import connections

from poolapp.backends.postgres.native import bridge, database

T = TypeVar("T")

SESSION: ContextVar[Session | None] = ContextVar("poolapp_session", default=None)
"""The one whose transaction the current task is in."""


class Session:
    """Wraps each database once, for as long as it is in use by a task."""

    def __init__(self, site: FrameType) -> None:
        self.site = site
        self.owner = asyncio.current_task()
        self._databases: dict[str, Any] = {}

    def wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Called by native code."""
        return bridge.wait_for(awaitable)

    def database(self, alias: str) -> Any:
        """What is ``connections[alias]`` in native code."""
        found = self._databases.get(alias)
        if found is None:
            found = self._databases[alias] = database.wrapper(alias, self)
        return found

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call synchronous code that uses the ORM."""
        database.install(connections)
        return await bridge.run_natively(self, function, *args)

    def end(self) -> None:
        """The wrappers may be used by others now."""
        while self._databases:
            database.lay_by(*self._databases.popitem())


def natively(site: FrameType, function: Callable[..., T], *args: Any) -> Coroutine[Any, Any, T]:
    """Run synchronous code in the task's transaction, or where it is in none, for itself."""
    session = SESSION.get()
    if session is None:
        return _alone(Session(site), function, *args)
    return session.run(function, *args)


async def _alone(session: Session, function: Callable[..., T], *args: Any) -> T:
    session.owner = asyncio.current_task()
    try:
        return await session.run(function, *args)
    finally:
        session.end()
