"""How much may be repeated, and after how long."""

from __future__ import annotations

import pytest

from poolapp.core.resilience import MAX_DELAY, RetryBudget, repeat_delay


def withdrawals(budget: RetryBudget, wanted: int) -> int:
    return sum(budget.withdraw() for _ in range(wanted))


def test_one_who_asks_seldom_may_repeat_at_once() -> None:
    assert withdrawals(RetryBudget(capacity=10), 100) == 10


def test_an_empty_budget_fills_by_a_share_of_what_is_asked() -> None:
    budget = RetryBudget(capacity=10, share=0.1)
    withdrawals(budget, 10)
    for _ in range(9):
        budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert withdrawals(budget, 10) == 1


def test_a_denied_repeat_costs_nothing() -> None:
    budget = RetryBudget(capacity=1, share=0.5)
    assert withdrawals(budget, 50) == 1
    budget.deposit()
    budget.deposit()
    assert budget.withdraw()


def test_nothing_is_saved_beyond_the_capacity() -> None:
    budget = RetryBudget(capacity=5)
    for _ in range(1000):
        budget.deposit()
    assert withdrawals(budget, 100) == 5


def test_an_outage_adds_a_tenth_to_the_load_and_the_capacity() -> None:
    budget = RetryBudget(capacity=10, share=0.1)
    extra = 0
    for _ in range(1000):
        budget.deposit()
        extra += withdrawals(budget, 2)
    assert 100 <= extra <= 110


@pytest.mark.parametrize(
    ("number", "longest"), [(1, 0.1), (2, 0.2), (3, 0.4), (8, 12.8), (50, MAX_DELAY)]
)
def test_the_pause_is_random_up_to_a_length_that_doubles(number: int, longest: float) -> None:
    assert repeat_delay(number, lambda: 0.0) == 0.0
    assert repeat_delay(number, lambda: 0.5) == pytest.approx(longest / 2)
    assert repeat_delay(number, lambda: 1.0) == pytest.approx(longest)
