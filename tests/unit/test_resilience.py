"""When the next connect is tried, and when callers are no longer let wait for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolapp.core.config import Breaker
from poolapp.core.resilience import BASE_DELAY, MAX_DELAY, Recovery


def recovery(breaker: Breaker | None = None, luck: float = 1.0) -> Recovery:
    return Recovery(breaker, lambda: luck)


def test_delay_doubles_up_to_its_limit() -> None:
    sut = recovery()
    delays = []
    for _ in range(12):
        sut.failed("no", 100.0, alone=True)
        delays.append(sut.retry_at - 100)
    assert delays[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert delays[-1] == MAX_DELAY
    assert delays == sorted(delays)


def test_breakers_reset_is_the_longest_delay() -> None:
    sut = recovery(Breaker(failures=2, reset=3))
    for _ in range(20):
        sut.failed("no", 0.0, alone=True)
    assert sut.retry_at == 3


@given(st.floats(0, 1), st.integers(1, 10_000))
def test_jitter_takes_at_most_half_off(luck: float, failures: int) -> None:
    sut = recovery(luck=luck)
    sut.failures = failures - 1
    sut.failed("no", 0.0, alone=True)
    whole = min(BASE_DELAY * 2.0 ** min(failures - 1, 30), MAX_DELAY)
    assert whole / 2 <= sut.retry_at <= whole


def test_circuit_opens_after_failures_in_a_row_when_no_connection_lives() -> None:
    sut = recovery(Breaker(failures=3, reset=30))
    assert [sut.failed("no", 0.0, alone=False) for _ in range(5)] == [False] * 5
    assert not sut.is_open
    assert sut.failed("no", 0.0, alone=True)
    assert sut.is_open
    assert not sut.failed("no", 0.0, alone=True), "it is open already"
    assert sut.failures == 7
    assert sut.last_error == "no"


def test_circuit_closes_with_the_first_success() -> None:
    sut = recovery(Breaker(failures=1, reset=30))
    sut.failed("no", 0.0, alone=True)
    assert sut.succeeded(8)
    assert not sut.is_open
    assert sut.failures == 0
    assert sut.retry_at == 0
    assert not sut.succeeded(8)


def test_no_breaker_no_circuit() -> None:
    sut = recovery(None)
    assert not any(sut.failed("no", 0.0, alone=True) for _ in range(100))


def test_connects_allowed_ramp_up_after_an_outage() -> None:
    sut = recovery()
    assert sut.connects_allowed(8) == 8
    sut.failed("no", 0.0, alone=True)
    allowed = [sut.connects_allowed(8)]
    for _ in range(4):
        sut.succeeded(8)
        allowed.append(sut.connects_allowed(8))
    assert allowed == [1, 2, 4, 8, 8]
    sut.succeeded(8)
    assert sut.connects_allowed(100) == 100, "the ramp is over"


def test_connects_allowed_never_exceed_the_maximum() -> None:
    sut = recovery()
    sut.failed("no", 0.0, alone=True)
    sut.succeeded(3)
    sut.succeeded(3)
    assert sut.connects_allowed(3) == 3
