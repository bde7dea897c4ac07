"""Loops whose time the test owns.

``@virtual`` runs a test on a loop that jumps to the next timer when nothing else is ready. Timeouts
land to the microsecond, no test waits, and one that would wait for ever fails at once. ``Loops``
moves several of them turn by turn in one thread.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Self


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Deadlock(Exception):
    """Nothing is ready and no timer runs: the test waits for what can't happen."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock
            self._clock.advance(max(0.0, timeout))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time stands still while there is anything to do, then jumps to the next timer."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        super().__init__(_JumpingSelector(self.clock))
        # `-X dev` would have it note the stack of every callback, for ten times the time. What the
        # debug mode finds, calls from another thread, is found by the tests on real loops.
        self.set_debug(False)

    def time(self) -> float:
        return self.clock.now


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test on a VirtualLoop; it must leave no task, and no exception unheard."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(test(*args, **kwargs))

    return run


def run_virtual(main: Coroutine[Any, Any, None]) -> None:
    complaints: list[Any] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        runner.run(main)
        assert not asyncio.all_tasks(loop), "tasks were left behind"
    gc.collect(1)
    assert complaints == []


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def forget(task: asyncio.Task[Any]) -> None:
    """End a task whose loop will not run again, without a warning."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # type: ignore[union-attr]


class Loops:
    """Several loops in one thread, moved turn by turn in an order drawn from ``seed``: what
    threads do by chance, done on purpose, and the same again for the same seed."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.clock = Clock()
        self.random = random.Random(seed)
        self.complaints: list[Any] = []
        self.loops = [VirtualLoop(self.clock) for _ in range(count)]
        for loop in self.loops:
            loop.set_exception_handler(lambda loop, context: self.complaints.append(context))

    def start(self, index: int, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loops[index].create_task(main)

    def turn(self, index: int) -> None:
        loop = self.loops[index]
        loop.call_soon(loop.stop)
        loop.run_forever()

    def run(self, *mains: asyncio.Task[Any]) -> list[Any]:
        """Turn the loops until these tasks are done; their results."""
        for _ in range(100_000):
            if all(main.done() for main in mains):
                return [main.result() for main in mains]
            ready = [index for index, loop in enumerate(self.loops) if loop._ready]  # type: ignore[attr-defined]
            if not ready:
                self._jump()
            for index in ready or range(len(self.loops)):
                if self.random.random() < 0.7:
                    self.turn(index)
        raise Deadlock("the loops turn without an end")

    def _jump(self) -> None:
        timers = [
            timer.when()
            for loop in self.loops
            for timer in loop._scheduled  # type: ignore[attr-defined]
            if not timer.cancelled()
        ]
        if not timers:
            raise Deadlock
        self.clock.now = max(self.clock.now, min(timers))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        left = [
            task for loop in self.loops if not loop.is_closed() for task in asyncio.all_tasks(loop)
        ]
        for task in left:
            forget(task)
        for loop in self.loops:
            loop.close()
        gc.collect(1)
        if kind is None:
            assert not left, "tasks were left behind"
            assert self.complaints == []
