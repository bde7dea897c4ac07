"""The process's own pool loop: a thread that runs coroutines for sync code and short-lived loops,
so that the connections they use outlive the call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from poolapp.core.exceptions import PoolError

T = TypeVar("T")

Result = concurrent.futures.Future[Any]


class Home:
    """One event loop on a daemon thread, started when the first call comes.

    A call is a whole coroutine: it runs on this loop from its first line to its last, in the
    caller's context; what it sets in context variables is the caller's afterwards, and what it
    raises is raised there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, started if need be."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            return loop
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_forever, args=(self._loop,), name="poolapp", daemon=True
                )
                self._thread.start()
            return self._loop

    def is_here(self) -> bool:
        """Whether the caller runs on this loop's thread."""
        return self._thread is not None and self._thread is threading.current_thread()

    def run(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **named: Any
    ) -> T:
        """Call an async function from sync code and wait for what it returns.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine, waits for its end and
        goes on. Raises PoolError where waiting would block an event loop.
        """
        _refuse_to_block(function)
        context = contextvars.copy_context()
        call = _Call(self.loop, function, args, named, context)
        try:
            error = call.result.exception()
        except BaseException:
            call.cancel()
            concurrent.futures.wait([call.result])
            raise
        _take_over(context)
        if error is not None:
            raise error
        value: T = call.result.result()
        return value

    async def arun(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **named: Any
    ) -> T:
        """The same from a coroutine on another loop, which goes on meanwhile.

        Cancelling the caller cancels the coroutine and waits for its end.
        """
        if self.is_here():
            return await function(*args, **named)
        context = contextvars.copy_context()
        call = _Call(self.loop, function, args, named, context)
        ended = asyncio.wrap_future(call.result)
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait([ended])
            if not ended.cancelled():
                ended.exception()
            raise
        _take_over(context)
        value: T = ended.result()
        return value

    def stop(self, patience: float) -> None:
        """End the loop as ``asyncio.run`` would, finalising its generators, and join the thread."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(patience)


class _Call:
    """One coroutine on the home loop, and the future through which its end is told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        named: dict[str, Any],
        context: contextvars.Context,
    ) -> None:
        self.result: Result = concurrent.futures.Future()
        self._loop = loop
        self._task: asyncio.Task[tuple[Any, BaseException | None]] | None = None
        self._cancelled = False
        self._work = (function, args, named)
        loop.call_soon_threadsafe(self._start, context, context=context)

    def _start(self, context: contextvars.Context) -> None:
        self._task = self._loop.create_task(self._guarded(), context=context)
        self._task.add_done_callback(self._tell)
        if self._cancelled:
            self._task.cancel()

    async def _guarded(self) -> tuple[Any, BaseException | None]:
        function, args, named = self._work
        try:
            return await function(*args, **named), None
        except (KeyboardInterrupt, SystemExit) as error:
            # These would end the loop that others use; they are for the caller.
            return None, error

    def _tell(self, task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        if task.cancelled():
            self.result.set_exception(asyncio.CancelledError())
            return
        error = task.exception()
        if error is None:
            value, error = task.result()
        if error is None:
            self.result.set_result(value)
        else:
            self.result.set_exception(error)

    def cancel(self) -> None:
        def cancel() -> None:
            self._cancelled = True
            if self._task is not None:
                self._task.cancel()

        self._loop.call_soon_threadsafe(cancel)


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _refuse_to_block(function: Callable[..., Any]) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    name = getattr(function, "__qualname__", repr(function))
    raise PoolError(
        f"pools.run({name}) was called where an event loop runs, which it would block until "
        f"{name} ends; write 'await pools.arun({name}, ...)', or 'await {name}(...)'"
    )


def _take_over(context: contextvars.Context) -> None:
    """Set in the caller's context what was set in the call's."""
    for variable, value in context.items():
        try:
            if variable.get() is value:
                continue
        except LookupError:
            pass
        variable.set(value)
