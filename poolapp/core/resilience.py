"""How long to wait after a failure, when to stop letting callers wait, and how much may be
repeated."""

from __future__ import annotations

from collections.abc import Callable

from poolapp.core.config import Breaker

BASE_DELAY = 0.1
"""Seconds before the first repeat, at the most."""

MAX_DELAY = 30.0
"""Seconds between two attempts, at the most."""


class Recovery:
    """What one pool knows of its server's failures.

    The delay after the n-th failure in a row is random between half of and the whole of
    ``min(BASE_DELAY * 2 ** (n - 1), limit)``: the "equal jitter" of Brooker, "Exponential Backoff
    And Jitter" (2015), which spreads the processes and still never hammers. While failures last,
    one connect at a time is tried (the prober); after a success the permitted number doubles with
    each further one.
    """

    __slots__ = ("_breaker", "_ramp", "_random", "failures", "is_open", "last_error", "retry_at")

    def __init__(self, breaker: Breaker | None, random: Callable[[], float]) -> None:
        self._breaker = breaker
        self._random = random
        self._ramp: int | None = None
        self.failures = 0
        self.is_open = False
        self.last_error = ""
        self.retry_at = 0.0

    def connects_allowed(self, maximum: int) -> int:
        """How many connects may be in flight now."""
        if self.failures:
            return 1
        return maximum if self._ramp is None else min(self._ramp, maximum)

    def failed(self, error: str, now: float, *, alone: bool) -> bool:
        """Note a failed connect; True when that opened the circuit.

        ``alone`` says that no connection lives: only then does the circuit open, since one that
        lives still serves callers.
        """
        self.failures += 1
        self._ramp = 1
        self.last_error = error
        limit = MAX_DELAY if self._breaker is None else min(MAX_DELAY, self._breaker.reset)
        delay = min(BASE_DELAY * 2.0 ** min(self.failures - 1, 30), limit)
        self.retry_at = now + delay * (0.5 + 0.5 * self._random())
        if alone and self._breaker and self.failures >= self._breaker.failures and not self.is_open:
            self.is_open = True
            return True
        return False

    def succeeded(self, maximum: int) -> bool:
        """Note a connect that worked; True when that closed the circuit."""
        was_open = self.is_open
        self.failures = 0
        self.is_open = False
        self.retry_at = 0.0
        if self._ramp is not None:
            self._ramp *= 2
            if self._ramp >= maximum:
                self._ramp = None
        return was_open


def repeat_delay(number: int, random: Callable[[], float]) -> float:
    """Seconds to wait before an operation is repeated for the ``number``-th time: random between 0
    and ``min(BASE_DELAY * 2 ** (number - 1), MAX_DELAY)``.

    The "full jitter" of Brooker, "Exponential Backoff And Jitter" (2015): of many callers who
    failed in the same moment the fewest meet again.
    """
    return min(BASE_DELAY * 2.0 ** min(number - 1, 30), MAX_DELAY) * random()


class RetryBudget:
    """How many operations may be repeated: a share of those that are made, so that an outage never
    multiplies the load.

    A bucket of tokens, full at first. Each operation puts in ``share`` of one, each repeat takes
    one out; without one, nothing is repeated. The deposit with each request is that of Finagle's
    RetryBudget (which allows 20 %), the share of 10 % that of Beyer et al., "Site Reliability
    Engineering" (2016), chapter 21. ``capacity`` is what those who ask seldom, and a burst of
    connections that break together, may draw on.

    Not safe for threads: one for each pool, used on its loop.
    """

    __slots__ = ("_capacity", "_share", "_tokens")

    def __init__(self, *, capacity: float = 10.0, share: float = 0.1) -> None:
        self._capacity = capacity
        self._share = share
        self._tokens = capacity

    def deposit(self) -> None:
        """An operation is made, for the first time."""
        if self._tokens < self._capacity:
            self._tokens = min(self._tokens + self._share, self._capacity)

    def withdraw(self) -> bool:
        """Whether one may be repeated now, which it then has to be."""
        # A sum of tenths may fall short of a whole by its rounding.
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True
