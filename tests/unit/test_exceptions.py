"""What a pool raises."""

from __future__ import annotations

import pickle

import pytest

from poolapp.core import exceptions
from poolapp.core.exceptions import (
    BackendUnavailable,
    CircuitOpen,
    ConfigurationError,
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    TooManyRequests,
)


def test_all_are_pool_errors() -> None:
    found = [each for each in vars(exceptions).values() if isinstance(each, type)]
    errors = [each for each in found if issubclass(each, Exception)]
    assert len(errors) == 8
    assert all(issubclass(each, PoolError) for each in errors)


@pytest.mark.parametrize("kind", [PoolTimeout, PoolPaused, TooManyRequests, BackendUnavailable])
def test_those_that_pass_are_retryable(kind: type[PoolError]) -> None:
    assert kind("later").retryable


@pytest.mark.parametrize("kind", [PoolError, PoolClosed, ConfigurationError])
def test_those_that_stay_are_not(kind: type[PoolError]) -> None:
    assert not kind("never").retryable


def test_timeouts_are_caught_as_what_they_are() -> None:
    assert issubclass(PoolTimeout, TimeoutError)
    assert issubclass(PoolPaused, PoolTimeout)
    assert not issubclass(BackendUnavailable, LookupError)


def test_circuit_open_says_when_to_come_again() -> None:
    error = CircuitOpen("down", retry_after=2.5)
    assert isinstance(error, BackendUnavailable)
    assert error.retry_after == 2.5
    assert error.retryable
    assert str(error) == "down"


@pytest.mark.parametrize(
    "error", [PoolTimeout("late"), CircuitOpen("down", retry_after=2.5)], ids=repr
)
def test_errors_go_through_pickle_as_task_queues_send_them(error: PoolError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
