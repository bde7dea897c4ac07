"""The process's own pool loop: a thread that runs coroutines for sync code and short-lived loops,
so that the connections they use outlive the call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from poolapp.core.exceptions import PoolClosed, PoolError

T = TypeVar("T")

Result = concurrent.futures.Future[Any]

_CALLER: contextvars.ContextVar[tuple[asyncio.Task[Any], asyncio.Task[Any]] | None] = (
    contextvars.ContextVar("poolapp_caller", default=None)
)
"""The task of a call on the home loop, and the task that waits for the call."""


def acting_task() -> asyncio.Task[Any] | None:
    """The running task; in a call that has crossed to the home loop, the task that made the call.

    A task that such a call starts inherits its context, and acts for itself all the same.
    """
    task = asyncio.current_task()
    call = _CALLER.get()
    return call[1] if call is not None and call[0] is task else task


class Home:
    """One event loop on a daemon thread, started when the first call comes.

    A call is a whole coroutine: it runs on this loop from its first line to its last, in the
    caller's context; what it sets in context variables is the caller's afterwards, and what it
    raises is raised there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: _Thread | None = None

    def is_here(self) -> bool:
        """Whether the caller runs on this loop's thread."""
        return self._thread is threading.current_thread()

    def run(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **named: Any
    ) -> T:
        """Call an async function from sync code and wait for what it returns.

        An interrupt of the waiting thread (Ctrl-C) cancels the coroutine, waits for its end and
        goes on. Raises PoolError where waiting would block an event loop, PoolClosed when the loop
        ends meanwhile, as it does with the process.
        """
        _refuse_to_block(function)
        context = contextvars.copy_context()
        call = self._started().call(function, args, named, context)
        try:
            error = call.result.exception()
        except BaseException:
            call.cancel()
            concurrent.futures.wait([call.result])
            raise
        _take_over(context)
        if error is not None:
            try:
                raise error
            finally:
                del error, call  # its traceback holds this frame
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
        call = self._started().call(function, args, named, context)
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
        try:
            value: T = ended.result()
        finally:
            del ended, call
        return value

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], /, *args: Any) -> None:
        """Start a coroutine from anywhere, and wait for nothing: for what runs beside the calls.

        It has a context of its own, is cancelled when the loop ends, and looks after its errors.
        """
        self._started().call(function, args, {}, contextvars.Context())

    def stop(self, patience: float) -> None:
        """End the loop as ``asyncio.run`` would, finalising its generators, and join the thread,
        for ``patience`` seconds at most. The next call starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop(patience)

    def _started(self) -> _Thread:
        thread = self._thread
        if thread is not None and not thread.ended:
            return thread
        with self._lock:
            if self._thread is None or self._thread.ended:
                self._thread = _Thread()
                self._thread.start()
            return self._thread


class _Thread(threading.Thread):
    """Runs one loop, and answers every call that was made of it, also when it ends."""

    def __init__(self) -> None:
        super().__init__(name="poolapp", daemon=True)
        self.ended = False
        self._loop = asyncio.new_event_loop()
        self._calls: set[_Call] = set()

    def call(
        self,
        function: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        named: dict[str, Any],
        context: contextvars.Context,
    ) -> _Call:
        call = _Call(self._loop, self._calls, function, args, named)
        self._calls.add(call)
        try:
            self._loop.call_soon_threadsafe(call.start, context, context=context)
        except RuntimeError:  # the loop has been closed this very moment
            call.refuse()
        if self.ended:
            # Nobody may look at the calls any more. An answer that was given already stays.
            call.refuse()
        return call

    def run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            for call in list(self._calls):
                call.interrupt()
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
            self.ended = True
            for call in list(self._calls):
                call.refuse()

    def stop(self, patience: float) -> None:
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:  # it is closed
            return
        self.join(patience)


class _Call:
    """One coroutine on the home loop, and the future through which its end is told."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        unanswered: set[_Call],
        function: Callable[..., Coroutine[Any, Any, Any]],
        args: tuple[Any, ...],
        named: dict[str, Any],
    ) -> None:
        self.result: Result = concurrent.futures.Future()
        self._loop = loop
        self._unanswered = unanswered
        self._task: asyncio.Task[tuple[Any, BaseException | None]] | None = None
        self._cancelled = False
        self._interrupted = False
        self._caller = _task_here()
        self._work = (function, args, named)

    def start(self, context: contextvars.Context) -> None:
        if self._interrupted:
            self.refuse()
            return
        self._task = self._loop.create_task(self._guarded(), context=context)
        self._task.add_done_callback(self._tell)
        if self._cancelled:
            self._task.cancel()

    async def _guarded(self) -> tuple[Any, BaseException | None]:
        function, args, named = self._work
        task = asyncio.current_task()
        if task is not None and self._caller is not None:
            _CALLER.set((task, self._caller))
        try:
            return await function(*args, **named), None
        except (KeyboardInterrupt, SystemExit) as error:
            # These would end the loop that others use; they are for the caller.
            return None, error

    def _tell(self, task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        self._unanswered.discard(self)
        if task.cancelled():
            if self._interrupted and not self._cancelled:
                self.refuse()
            else:
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
        """Called from another thread."""

        def cancel() -> None:
            self._cancelled = True
            if self._task is not None:
                self._task.cancel()

        try:
            self._loop.call_soon_threadsafe(cancel)
        except RuntimeError:  # the loop is closed, and the call answered
            pass

    def interrupt(self) -> None:
        """The loop is about to end, and cancels its tasks."""
        self._interrupted = True

    def refuse(self) -> None:
        """Answer that the loop has ended, unless there is an answer."""
        self._unanswered.discard(self)
        try:
            self.result.set_exception(
                PoolClosed("the process's pool loop has ended, as it does with the process")
            )
        except concurrent.futures.InvalidStateError:
            pass


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
        if variable is _CALLER:
            continue
        try:
            if variable.get() is value:
                continue
        except LookupError:
            pass
        variable.set(value)


def _task_here() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # sync code
        return None
