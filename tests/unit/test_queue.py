"""The queue alone."""

from __future__ import annotations

import asyncio

import pytest

from poolapp.core.queue import Queue
from tests.virtual import virtual


class Line(Queue[str]):
    """A queue that remembers who ran out of patience, and when."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.expired: list[tuple[float, float]] = []
        super().__init__(loop, self._note)
        self._start = loop.time()

    def _note(self, waiter: asyncio.Future[str], waited: float) -> None:
        self.expired.append((asyncio.get_running_loop().time() - self._start, waited))
        waiter.cancel()


@virtual
async def test_first_come_first_served() -> None:
    line = Line()
    first, second = line.join(5), line.join(5)
    assert len(line) == 2
    assert line.serve("a")
    assert first.result() == "a"
    assert not second.done()
    assert line.serve("b")
    assert not line.serve("c")
    assert len(line) == 0
    line.stop()


@virtual
async def test_who_was_cancelled_is_passed_over() -> None:
    line = Line()
    first, second = line.join(5), line.join(5)
    first.cancel()
    assert line.serve("a")
    assert second.result() == "a"
    line.stop()


@virtual
async def test_who_leaves_is_not_served_and_may_leave_twice() -> None:
    line = Line()
    waiter = line.join(5)
    line.leave(waiter)
    line.leave(waiter)
    assert not line.serve("a")
    line.stop()


@virtual
async def test_one_timer_lets_all_expire_in_their_time() -> None:
    line = Line()
    for _ in range(3):
        line.join(5)
        await asyncio.sleep(1)
    await asyncio.sleep(10)
    assert line.expired == [
        (pytest.approx(5), 5),
        (pytest.approx(6), 5),
        (pytest.approx(7), 5),
    ]
    assert len(line) == 0


@virtual
async def test_patience_of_ones_own() -> None:
    line = Line()
    line.join(5)
    short, timer = line.join_for(2)
    long, other = line.join_for(60)
    await asyncio.sleep(20)
    assert line.expired == [(pytest.approx(2), 2), (pytest.approx(5), 5)]
    assert short.cancelled()
    assert line.serve("a")
    assert long.result() == "a"
    timer.cancel()
    other.cancel()


@virtual
async def test_who_was_served_does_not_expire() -> None:
    line = Line()
    waiter = line.join(5)
    line.serve("a")
    line.expire(waiter, 5)
    await asyncio.sleep(10)
    assert line.expired == []


@virtual
async def test_timer_is_set_again_after_the_queue_was_empty() -> None:
    line = Line()
    line.join(5)
    line.serve("a")
    await asyncio.sleep(20)
    line.join(5)
    await asyncio.sleep(20)
    assert line.expired == [(pytest.approx(25), 5)]


@virtual
async def test_clear_returns_those_who_still_wait() -> None:
    line = Line()
    first, second, third = line.join(5), line.join(5), line.join_for(5)[0]
    second.cancel()
    assert line.clear() == [first, third]
    assert len(line) == 0
    line.stop()
    line.stop()
