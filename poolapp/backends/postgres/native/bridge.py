"""Synchronous code that waits for coroutines: Django's ORM, on the loop, without a thread.

The code runs in a greenlet. Where it has to wait it hands an awaitable to the coroutine that
started it, which awaits that as any coroutine does, and switches back with the outcome.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.core.exceptions import SynchronousOnlyOperation
from greenlet import GreenletExit, getcurrent, greenlet

if TYPE_CHECKING:
    from poolapp.backends.postgres.native.session import Session

T = TypeVar("T")


class Native(greenlet):
    """One call of synchronous code, which may wait."""

    def __init__(self, function: Callable[..., Any], session: Session) -> None:
        driver = getcurrent()
        super().__init__(function, driver)
        self.session = session
        self.ending = False
        """Whether its coroutine is being closed, and can't await anything any more."""
        # One context for both sides. A greenlet has a context of its own otherwise: what the task
        # has set would be unknown here, and what is set here would be lost to the task.
        self.gr_context = driver.gr_context


def current_session() -> Session | None:
    """That of the native code which is running, None elsewhere."""
    current = getcurrent()
    return current.session if isinstance(current, Native) else None


def wait_for(awaitable: Awaitable[T]) -> T:
    """Called by native code only: what the awaitable gives, or raises.

    Raises SynchronousOnlyOperation elsewhere, which an iterator or a cursor may come to that was
    made natively and is used, or collected, outside.
    """
    native = getcurrent()
    if not isinstance(native, Native) or native.ending:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        if isinstance(native, Native):
            # Not an Exception, which code that cleans up might take for the server's answer.
            raise GreenletExit
        raise SynchronousOnlyOperation(
            "a database of a pool can be waited for by native code only: by what runs in "
            "'await pools[alias].natively(function)'"
        )
    driver = native.parent
    assert driver is not None
    return cast(T, driver.switch(awaitable))


async def run_natively(session: Session, function: Callable[..., T], *args: Any) -> T:
    """Run synchronous code as a part of this coroutine."""
    native = Native(function, session)
    outcome = native.switch(*args)
    while not native.dead:
        try:
            value = await outcome
        except BaseException as error:  # also a cancel: it is the code's to clean up
            # A coroutine that nobody runs any more, because its loop has ended, is closed by
            # whoever drops it: it may raise nothing but that, and await nothing. So the code is
            # told that it can't wait. Left alone, its greenlet would be ended by the garbage
            # collector, in the middle of any other code, and wait in that one's place.
            native.ending = isinstance(error, GeneratorExit)
            # A greenlet ends in its parent. That must be whoever runs this coroutine now, not who
            # started it: the collector may close it from within other native code.
            native.parent = getcurrent()
            outcome = native.throw(type(error), error, error.__traceback__)
        else:
            native.parent = getcurrent()
            outcome = native.switch(value)
    return cast(T, outcome)
