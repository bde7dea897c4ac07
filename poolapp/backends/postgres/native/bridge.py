"""Synchronous code that waits for coroutines: Django's ORM, on the loop, without a thread.

The code runs in a greenlet. Where it has to wait it hands an awaitable to the coroutine that
started it, which awaits that as any coroutine does, and switches back with the outcome.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.session import Session

T = TypeVar("T")


class Native(greenlet):
    """One call of synchronous code, which may wait."""

    def __init__(self, function: Callable[..., Any], session: Session) -> None:
        driver = getcurrent()
        super().__init__(function, driver)
        self.session = session
        # Else each greenlet has context variables of its own.
        self.gr_context = driver.gr_context


def current_session() -> Session | None:
    """That of the native code which is running, None elsewhere."""
    current = getcurrent()
    return current.session if isinstance(current, Native) else None


def wait_for(awaitable: Awaitable[T]) -> T:
    """Called by native code only: what the awaitable gives, or raises."""
    driver = getcurrent().parent
    assert driver is not None
    return cast(T, driver.switch(awaitable))


async def run_natively(session: Session, function: Callable[..., T], *args: Any) -> T:
    """Run synchronous code as a part of this coroutine."""
    native = Native(function, session)
    outcome = native.switch(*args)
    while not native.dead:
        try:
            value = await outcome
        except BaseException:  # also a cancel: it is the code's to clean up
            outcome = native.throw(*sys.exc_info())
        else:
            outcome = native.switch(value)
    return cast(T, outcome)
