"""Synchronous code in a greenlet that waits for coroutines: what may go wrong between the two."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from greenlet import getcurrent, greenlet

from poolapp.backends.postgres.native.bridge import current_session, run_natively, wait_for

SESSION: Any = object()
"""The bridge only hands it on."""

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="grey")


def natively(function: Callable[..., Any], *args: Any) -> Any:
    return run_natively(SESSION, function, *args)


async def turn(value: Any = None) -> Any:
    """Let the loop go on, and give the value."""
    await asyncio.sleep(0)
    return value


async def failing() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError("from the coroutine")


# -- what goes to and fro --------------------------------------------------------------------------


async def test_code_waits_and_the_loop_goes_on() -> None:
    turns: list[str] = []

    def work(name: str) -> str:
        turns.extend(f"{name}{wait_for(turn(number))}" for number in range(3))
        return name

    assert await asyncio.gather(natively(work, "a"), natively(work, "b")) == ["a", "b"]
    assert turns == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_code_that_never_waits_just_runs() -> None:
    assert await natively(lambda *args: args, 1, 2) == (1, 2)
    assert await natively(lambda: None) is None


async def test_the_session_is_known_while_its_code_runs_and_no_longer() -> None:
    assert current_session() is None

    def work() -> Any:
        before = current_session()
        wait_for(outside())
        return before, current_session()

    async def outside() -> None:
        assert current_session() is None
        await asyncio.sleep(0)
        assert current_session() is None

    assert await natively(work) == (SESSION, SESSION)
    assert current_session() is None


async def test_native_code_may_wait_for_native_code() -> None:
    def outer() -> list[Any]:
        return [wait_for(turn("outer")), wait_for(natively(inner)), wait_for(turn("again"))]

    def inner() -> Any:
        return wait_for(turn("inner"))

    assert await natively(outer) == ["outer", "inner", "again"]


async def test_deep_recursion_is_counted_for_each_side_alone() -> None:
    def deep(levels: int) -> Any:
        return wait_for(turn("bottom")) if not levels else deep(levels - 1)

    assert await natively(deep, sys.getrecursionlimit() // 2) == "bottom"
    with pytest.raises(RecursionError):
        await natively(deep, sys.getrecursionlimit() * 2)
    assert await natively(deep, 10) == "bottom"


# -- exceptions ------------------------------------------------------------------------------------


async def test_an_exception_tells_of_both_sides() -> None:
    def work() -> None:
        wait_for(failing())

    with pytest.raises(ZeroDivisionError) as caught:
        await natively(work)
    shown = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert shown[0].startswith("test_an_exception")
    assert shown.index("run_natively") < shown.index("work") < shown.index("failing")


async def test_code_may_catch_and_go_on() -> None:
    def work() -> list[Any]:
        try:
            wait_for(failing())
        except ZeroDivisionError as error:
            seen = [error, sys.exc_info()[1]]
            wait_for(turn())
            return [*seen, sys.exc_info()[1]]
        raise AssertionError

    first, *others = await natively(work)
    assert str(first) == "from the coroutine"
    assert others == [first, first]
    assert sys.exc_info() == (None, None, None)


async def test_the_error_that_is_handled_outside_is_not_the_codes_own() -> None:
    def work() -> Any:
        inside = sys.exc_info()[1]
        wait_for(turn())
        try:
            raise KeyError
        except KeyError as error:
            return inside, error.__context__

    try:
        raise ValueError
    except ValueError as error:
        seen = [await natively(work), sys.exc_info()[1] is error]
    assert seen == [(None, None), True]


# -- context variables -----------------------------------------------------------------------------


async def test_context_variables_go_both_ways() -> None:
    async def read_and_set() -> str:
        seen = COLOUR.get()
        COLOUR.set("blue")
        return seen

    def work() -> list[str]:
        seen = [COLOUR.get()]
        COLOUR.set("green")
        seen += [wait_for(read_and_set()), COLOUR.get()]
        COLOUR.set("white")
        return seen

    COLOUR.set("red")
    assert await natively(work) == ["red", "green", "blue"]
    assert COLOUR.get() == "white"


async def test_context_variables_of_two_tasks_are_apart() -> None:
    def work(colour: str) -> list[str]:
        COLOUR.set(colour)
        return [COLOUR.get() for _ in range(3) if wait_for(turn(True))]

    assert await asyncio.gather(natively(work, "red"), natively(work, "blue")) == [
        ["red"] * 3,
        ["blue"] * 3,
    ]
    assert COLOUR.get() == "grey"


async def test_code_may_wait_in_a_context_of_its_own() -> None:
    def work() -> tuple[str, str]:
        def inner() -> str:
            COLOUR.set("inner")
            wait_for(turn())
            return COLOUR.get()

        return contextvars.copy_context().run(inner), COLOUR.get()

    COLOUR.set("outer")
    assert await natively(work) == ("inner", "outer")


# -- cancels ---------------------------------------------------------------------------------------


async def test_a_cancel_is_raised_where_the_code_waits_and_it_may_wait_to_clean_up() -> None:
    cleaned: list[str] = []
    waiting = asyncio.Event()

    async def for_ever() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def work() -> None:
        try:
            wait_for(for_ever())
        finally:
            cleaned.append(wait_for(turn("cleaned")))

    task = asyncio.create_task(natively(work))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["cleaned"]
    assert task.cancelled()


async def test_a_timeout_around_native_code_is_a_timeout() -> None:
    def work() -> None:
        wait_for(asyncio.Event().wait())

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await natively(work)


async def test_a_second_cancel_meets_the_cleaning_up() -> None:
    steps: list[str] = []
    waiting = asyncio.Event()

    async def for_ever(name: str) -> None:
        steps.append(name)
        waiting.set()
        await asyncio.Event().wait()

    def work() -> None:
        try:
            wait_for(for_ever("work"))
        finally:
            wait_for(for_ever("clean"))

    task = asyncio.create_task(natively(work))
    for _ in range(2):
        await waiting.wait()
        waiting.clear()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["work", "clean"]


# -- generators ------------------------------------------------------------------------------------


async def test_a_generator_may_go_on_in_another_call() -> None:
    def numbers() -> Iterator[int]:
        for number in range(4):
            yield wait_for(turn(number))

    made = numbers()
    assert [await natively(next, made), await natively(next, made)] == [0, 1]
    assert await natively(list, made) == [2, 3]


async def test_a_generator_that_waits_can_not_be_asked_by_another_meanwhile() -> None:
    def numbers() -> Iterator[int]:
        while True:
            yield wait_for(turn(1))

    made = numbers()
    outcomes = await asyncio.gather(
        natively(next, made), natively(next, made), return_exceptions=True
    )
    assert outcomes[0] == 1
    assert str(outcomes[1]) == "generator already executing"


async def test_a_generator_that_is_dropped_outside_is_told_that_it_can_not_wait() -> None:
    told: list[BaseException] = []

    def numbers() -> Generator[int, None, None]:
        try:
            yield wait_for(turn(1))
        finally:
            try:
                wait_for(turn())
            except SynchronousOnlyOperation as error:
                told.append(error)

    made = numbers()
    await natively(next, made)
    made.close()
    assert "await pools[alias].natively(function)" in str(told[0])


def test_waiting_where_nothing_runs_natively_is_told() -> None:
    with pytest.raises(SynchronousOnlyOperation, match="by native code only"):
        wait_for(turn())


async def test_a_greenlet_of_the_codes_own_can_not_wait() -> None:
    # It would wait in the place of the one that started it.
    def work() -> Any:
        inner = greenlet(lambda: wait_for(turn()))
        with pytest.raises(SynchronousOnlyOperation):
            inner.switch()
        return wait_for(turn("still well"))

    assert await natively(work) == "still well"


# -- ends ------------------------------------------------------------------------------------------


def step(coroutine: Any) -> None:
    """Up to where it first waits, without a loop."""
    coroutine.send(None)


def suspended(cleaned: list[Any]) -> Any:
    """Native code that waits, and would wait while it cleans up."""

    def work() -> None:
        try:
            wait_for(turn())
        finally:
            cleaned.append("begun")
            wait_for(turn())
            cleaned.append("never")

    coroutine = natively(work)
    step(coroutine)
    return coroutine


def test_code_whose_loop_has_ended_cleans_up_and_can_not_wait() -> None:
    cleaned: list[Any] = []
    coroutine = suspended(cleaned)
    coroutine.close()
    assert cleaned == ["begun"]


def test_code_that_swallows_its_end_can_not_wait_all_the_same() -> None:
    swallowed: list[str] = []

    def work() -> None:
        for _ in range(3):
            try:
                wait_for(turn())
            except BaseException as error:
                swallowed.append(type(error).__name__)

    coroutine = natively(work)
    step(coroutine)
    coroutine.close()
    assert swallowed == ["GeneratorExit", "GreenletExit", "GreenletExit"]


async def test_code_that_is_ended_from_within_other_native_code_returns_there() -> None:
    cleaned: list[Any] = []
    dropped = [suspended(cleaned)]

    def work() -> list[Any]:
        here = getcurrent()
        seen = [wait_for(turn(1))]
        dropped.pop().close()  # as the garbage collector might
        assert getcurrent() is here
        seen.append(wait_for(turn(2)))
        return seen

    assert await natively(work) == [1, 2]
    assert cleaned == ["begun"]


async def test_the_garbage_collector_ends_what_nobody_has_any_more() -> None:
    cleaned: list[Any] = []

    def cycle() -> None:
        holder: list[Any] = [suspended(cleaned)]
        holder.append(holder)

    def work() -> Any:
        cycle()
        gc.collect()
        return wait_for(turn("well"))

    assert await natively(work) == "well"
    assert cleaned == ["begun"]


async def test_code_that_another_thread_drops_does_no_harm() -> None:
    dropped = [suspended([])]
    thread = threading.Thread(target=lambda: dropped.pop().close())
    thread.start()
    thread.join()
    assert not dropped
    assert await natively(lambda: wait_for(turn("well"))) == "well"


async def test_an_asynchronous_generator_around_it_is_finalised() -> None:
    cleaned: list[Any] = []

    def work() -> None:
        wait_for(turn())

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await natively(work)
            cleaned.append("ended")

    async for _ in (made := numbers()):
        break
    await made.aclose()  # type: ignore[attr-defined]
    assert cleaned == ["ended"]


# -- tools that watch calls ------------------------------------------------------------------------


@pytest.mark.parametrize("install", [sys.setprofile, sys.settrace])
async def test_a_profiler_or_a_tracer_sees_native_code_and_stays(install: Any) -> None:
    seen: list[str] = []

    def work() -> Any:
        return wait_for(turn("done"))

    def note(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is work.__code__ and event in ("call", "return"):
            seen.append(event)
        return note

    before = sys.getprofile() if install is sys.setprofile else sys.gettrace()
    install(note)
    try:
        assert await natively(work) == "done"
    finally:
        install(before)
    assert seen == ["call", "return"]


async def test_the_stack_of_native_code_begins_with_it() -> None:
    # A tool that looks for the caller's line finds none above.
    def work() -> list[str]:
        return [frame.name for frame in traceback.extract_stack()]

    assert await natively(work) == ["work"]
