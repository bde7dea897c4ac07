"""Histograms, and the picture that others read."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolapp.core.stats import BOUNDS, Counters, Histogram, PoolStats
from tests.fake import KINDS, lab
from tests.virtual import virtual


def test_histogram_counts_and_sums() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.0001, 0.003, 0.003, 7, 100):
        histogram.observe(seconds)
    assert histogram.count == 6
    assert histogram.total == pytest.approx(107.0061)
    assert histogram.buckets[0] == 2, "a bound belongs to its bucket"
    assert histogram.buckets[-1] == 1, "what is longer than the last bound has a bucket too"


def test_quantiles_of_nothing_are_zero() -> None:
    assert Histogram().quantile(0.5) == 0
    assert Histogram().quantile(0.99, zeros=10) == 0


def test_quantile_counts_those_who_waited_not_at_all() -> None:
    histogram = Histogram()
    for _ in range(10):
        histogram.observe(0.3)
    assert 0.25 < histogram.quantile(0.5) <= 0.5
    assert histogram.quantile(0.5, zeros=10) == 0
    assert 0.25 < histogram.quantile(0.95, zeros=10) <= 0.5
    assert histogram.quantile(0.9, zeros=990) == 0


def test_quantile_beyond_the_last_bound_is_the_last_bound() -> None:
    histogram = Histogram()
    histogram.observe(10_000)
    assert histogram.quantile(0.5) == BOUNDS[-1]


@given(st.lists(st.floats(0, 60), min_size=1), st.floats(0.01, 1))
def test_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    position = max(0, -(-len(values) * share // 1) - 1)
    true = sorted(values)[min(int(position), len(values) - 1)]
    upper = next(bound for bound in BOUNDS if true <= bound)
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    assert lower <= histogram.quantile(share) <= upper or histogram.quantile(share) <= upper * 1.001


def test_counters_take_no_other_name() -> None:
    with pytest.raises(AttributeError):
        Counters().aquired = 1  # type: ignore[attr-defined]


@KINDS
@virtual
async def test_picture_of_a_pool(shared: bool) -> None:
    async with lab(shared=shared, min_size=1, max_size=4) as pool:
        async with pool.acquire(), pool.acquire():
            stats = pool.stats()
        assert (stats.alias, stats.shared, stats.state) == ("fake", shared, "open")
        assert (stats.min_size, stats.max_size) == (1, 4)
        assert (stats.size, stats.in_use, stats.idle, stats.waiting) == (2, 2, 0, 0)
        assert (stats.acquired, stats.nested, stats.connected) == (2, 1, 1 if shared else 2)
        assert not stats.breaker_open
        assert stats.last_error == ""
        assert json.loads(json.dumps(stats.as_dict())) == stats.as_dict()
        with pytest.raises(dataclasses.FrozenInstanceError):
            stats.size = 7  # type: ignore[misc]
        assert repr(pool) == "<FakePool 'fake' open: size 2, 0 in use, 2 idle, 0 waiting>"


@virtual
async def test_psycopg_names() -> None:
    async with lab(min_size=1, max_size=4) as pool:
        pool.server.create.fail(times=1)
        async with pool.acquire() as connection:
            await connection.query(0.25)
        stats = pool.stats()
        told = stats.as_psycopg()
        assert told == {
            "pool_min": 1,
            "pool_max": 4,
            "pool_size": 1,
            "pool_available": 1,
            "requests_waiting": 0,
            "requests_num": 1,
            "requests_queued": 1,
            "requests_wait_ms": round(stats.wait_seconds * 1000),
            "requests_errors": 0,
            "usage_ms": 250,
            "connections_num": 2,
            "connections_ms": 0,
            "connections_errors": 1,
            "connections_lost": 0,
        }


@virtual
async def test_picture_may_be_taken_from_another_thread() -> None:
    async with lab(max_size=4) as pool, pool.acquire():
        pictures: list[PoolStats] = []
        thread = threading.Thread(target=lambda: pictures.append(pool.stats()))
        thread.start()
        thread.join()
        assert pictures[0].in_use == 1
