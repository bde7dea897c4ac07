"""How the managers come to run Django's code natively, on the pool of a database."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from poolapp.core.lease import Site
from poolapp.core.registry import pools
from poolapp.databases import pool_for

T = TypeVar("T")

_NOT_THE_USERS = ("poolapp.managers.", "django.")


def natively(
    database: Callable[[], str], function: Callable[..., T], *args: Any, **named: Any
) -> Coroutine[Any, Any, T]:
    """Run synchronous code of the ORM on the pool of a database of ``DATABASES``.

    ``database`` is asked when the coroutine runs, for that is when Django would ask its routers.
    """
    return run(users_line(), database, partial(function, *args, **named))


async def run(site: Site, database: Callable[[], str], function: Callable[[], T]) -> T:
    """The same for a caller who is known."""
    result: T = await pool_of(database()).run_natively(site, function)
    return result


async def chunks(
    site: Site, database: Callable[[], str], iterate: Callable[[], Iterable[T]], size: int
) -> AsyncGenerator[list[T], None]:
    """Lists of up to ``size`` of what synchronous code of the ORM iterates over."""
    async with aclosing(pool_of(database()).chunks(site, iterate, size)) as found:
        async for each in found:
            yield each


def pool_of(database: str) -> Any:
    """The pool that leads to a database; raises like ``pool_for``."""
    return pools[pool_for(database)]


def users_line() -> Site:
    """The line that called a manager, which is what its lease is to be known by."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(_NOT_THE_USERS):
        frame = frame.f_back
    return Site(frame)


def is_native() -> bool:
    """Whether the caller runs natively, and so may wait for a database without blocking the loop.

    Native code runs in a greenlet that knows its session; no other greenlet has one. Where nobody
    imported greenlet yet nothing runs natively.
    """
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and hasattr(greenlet.getcurrent(), "session")
