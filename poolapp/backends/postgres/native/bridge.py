"""Synchronous code that waits for coroutines: Django's ORM, on the loop, without a thread.

The code runs in a greenlet. Where it has to wait it hands an awaitable to the coroutine that
started it, which awaits that as any coroutine does, and switches back with the outcome.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import AsyncToSync
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
        except GeneratorExit as error:
            _end(native, error)
            raise
        except BaseException as error:  # also a cancel: it is the code's to clean up
            native.parent = getcurrent()
            outcome = native.throw(type(error), error, error.__traceback__)
        else:
            # A greenlet ends in its parent. That must be whoever runs this coroutine now, not who
            # started it: the two differ where one greenlet runs a loop, or closes a coroutine.
            native.parent = getcurrent()
            outcome = native.switch(value)
    return cast(T, outcome)


def _end(native: Native, error: GeneratorExit) -> None:
    """The coroutine is closed by whoever drops it, because its loop has ended: it may await nothing
    any more. So the code is told that it can't wait.

    Left alone, its greenlet would be ended by the garbage collector, in the middle of any other
    code, and what it waits for while it cleans up would be handed to that one.
    """
    native.ending = True
    if sys.is_finalizing():
        return  # greenlet refuses to be asked any more
    try:
        # The collector may do this from within other native code.
        native.parent = getcurrent()
    except ValueError:
        return  # it belongs to another thread, which alone could end it
    with contextlib.suppress(GeneratorExit):
        native.throw(type(error), error, error.__traceback__)


def _extend_async_to_sync() -> None:
    """Have ``async_to_sync(function)(...)`` wait, too, where native code calls it: a signal's
    receivers do, and Django itself for those that are async. It refuses where a loop runs, which it
    would block."""
    call = AsyncToSync.__call__

    def call_or_wait(self: Any, *args: Any, **named: Any) -> Any:
        if isinstance(getcurrent(), Native):
            return wait_for(self.awaitable(*args, **named))
        return call(self, *args, **named)

    AsyncToSync.__call__ = call_or_wait  # type: ignore[method-assign]


_extend_async_to_sync()
