"""Samples of the pools, and their latest events."""

import asyncio
import json
from typing import Any

import pytest

from poolapp.monitoring.history import (
    EVENTS,
    PERIOD,
    SAMPLES,
    TEXT,
    TOGETHER,
    Event,
    History,
    Samples,
)
from tests.fake import lab, make_pool
from tests.virtual import Clock, virtual


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- samples ---------------------------------------------------------------------------------------


@virtual
async def test_what_is_in_use_and_waits_is_sampled() -> None:
    history = History()
    async with lab(max_size=1) as pool:
        history.pool_opened(pool)
        await asyncio.sleep(PERIOD * 1.5)
        lease = await pool.acquire()
        waiter = asyncio.ensure_future(pool.acquire(timeout=100)._acquire())
        await asyncio.sleep(PERIOD)
        lease.release()
        (await waiter).release()
        await asyncio.sleep(PERIOD)
        assert history.samples(pool) == Samples(in_use=(0, 0, 1, 0), waiting=(0, 0, 1, 0))


@virtual
async def test_no_more_than_the_last_samples_are_kept() -> None:
    history = History()
    async with lab() as pool:
        history.pool_opened(pool)
        lease = await pool.acquire()
        await asyncio.sleep(PERIOD * (SAMPLES + 5))
        assert history.samples(pool).in_use == (1,) * SAMPLES
        lease.release()


@virtual
async def test_a_closed_pool_leaves_nothing_and_no_timer() -> None:
    history = History()
    pool = make_pool()
    history.pool_opened(pool)
    await pool.close()
    history.pool_closed(pool)
    await asyncio.sleep(PERIOD * 3)
    assert history.samples(pool) == Samples()
    assert history._samples == {}


async def test_a_forked_child_starts_anew(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        history.pool_opened(pool)
        history.paused(pool)
        history.forget()
        assert history.samples(pool) == Samples()
        assert history.events("fake") == []


@pytest.mark.parametrize(
    "samples",
    [Samples(), Samples((0, 0, 0), (0, 0, 0)), Samples((1, 2), (0, 0)), Samples((2, 2), (0, 9))],
)
def test_samples_survive_json(samples: Samples) -> None:
    assert Samples.from_dict(json.loads(json.dumps(samples.as_dict()))) == samples


def test_an_idle_pool_s_samples_are_short() -> None:
    assert len(json.dumps(Samples((0,) * SAMPLES, (0,) * SAMPLES).as_dict())) < 20


# -- events ----------------------------------------------------------------------------------------


async def test_an_event_is_told_as_the_log_does(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        history.breaker_opened(pool, 5)
        clock.advance(3)
        history.breaker_closed(pool)
        clock.advance(1)
        closed, opened = history.events("fake")
    assert (closed.name, closed.text) == (
        "breaker_closed",
        "The circuit is closed: a connect worked.",
    )
    assert opened.text.startswith("The circuit is open: 5 connects failed in a row")
    assert (opened.serious, closed.serious) == (True, False)
    assert (opened.ago, closed.ago) == (4, 1)


async def test_thousands_of_one_kind_are_one_with_a_number(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        for number in range(1000):
            history.timed_out(pool, number / 1000)
            history.refused(pool, "max_waiting")
        refused, timed_out = history.events("fake")
        assert (refused.count, timed_out.count) == (1000, 1000)
        assert timed_out.text == "An acquire timed out after 1.00 s."
        clock.advance(TOGETHER)
        history.timed_out(pool, 5)
        assert [each.count for each in history.events("fake")] == [1, 1000, 1000]


async def test_each_kind_of_refusal_is_told_apart(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        history.refused(pool, "closed")
        history.refused(pool, "max_waiting")
        assert len(history.events("fake")) == 2


async def test_orders_are_never_merged(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        for _ in range(2):
            history.paused(pool)
            history.resumed(pool)
        names = [each.name for each in history.events("fake")]
    assert names == ["resumed", "paused", "resumed", "paused"]


async def test_only_the_latest_are_kept_and_long_ones_are_cut(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        for number in range(EVENTS + 3):
            history.resized(pool, 0, number + 1)
        events = history.events("fake")
        assert len(events) == EVENTS
        assert events[0].text == f"Resized to 0-{EVENTS + 3}."
        history.connect_failed(pool, "x" * 10 * TEXT)
        assert len(history.events("fake")[0].text) == TEXT + 1


async def test_what_is_common_is_not_told(clock: Clock) -> None:
    history = History(clock)
    async with lab() as pool:
        history.pool_opened(pool)
        history.connected(pool, 0.1)
        history.closed(pool, "idle")
        history.pool_closed(pool)
    assert history.events("fake") == []
    assert history.events("unknown") == []


def test_events_survive_json_and_grow_older() -> None:
    event = Event("paused", "Paused.", False, 2, 1.5)
    data: Any = json.loads(json.dumps(event.as_dict()))
    assert Event.from_dict(data, 2.0) == Event("paused", "Paused.", False, 2, 3.5)
