"""The budget alone: permits, heirs, pressure, connects in flight."""

from __future__ import annotations

import random
import threading

import pytest

from poolapp.core.budget import Budget


class Borough:
    """A member that does what it is told, when it is told to catch up."""

    def __init__(self, name: str, *, idle: int = 0, alive: bool = True) -> None:
        self.name = name
        self.size = idle
        self.idle = idle
        self.alive = alive
        self.woken: list[str] = []

    def wake(self, method: str) -> bool:
        if self.alive:
            self.woken.append(method)
        return self.alive

    def take(self, budget: Budget) -> bool:
        taken = budget.take(self)
        self.size += taken
        return taken

    def give(self, budget: Budget) -> None:
        self.size -= 1
        budget.give()

    def __repr__(self) -> str:
        return self.name


def make(limit: int, *names: str, connecting: int = 2) -> tuple[Budget, list[Borough]]:
    budget = Budget(limit, connecting)
    members = [Borough(name) for name in names]
    for member in members:
        budget.join(member)
    return budget, members


def test_permits_up_to_the_limit() -> None:
    budget, (a, b) = make(2, "a", "b")
    assert a.take(budget)
    assert b.take(budget)
    assert not a.take(budget)
    assert budget.used == 2


def test_permit_given_back_is_granted_to_who_asked_and_to_nobody_else() -> None:
    budget, (a, b, c) = make(1, "a", "b", "c")
    assert a.take(budget)
    assert not b.take(budget)
    a.give(budget)
    assert b.woken == ["pump"]
    assert budget.used == 1, "it is in use while it lies there"
    assert not c.take(budget), "who comes later does not overtake"
    assert not a.take(budget), "nor does who gave it up"
    assert b.take(budget)
    assert budget.used == 1


def test_heir_is_the_poorest_then_the_first() -> None:
    budget, (rich, first, second) = make(4, "rich", "first", "second")
    assert all(rich.take(budget) for _ in range(4))
    for member in (rich, first, second):
        assert not member.take(budget)
    rich.give(budget)
    assert (first.woken, second.woken) == (["pump"], [])
    rich.give(budget)
    assert (first.woken, second.woken) == (["pump"], ["pump"])


def test_satisfied_member_inherits_nothing_and_hands_on_what_it_was_granted() -> None:
    budget, (a, b, c) = make(1, "a", "b", "c")
    a.take(budget)
    b.take(budget)
    c.take(budget)
    a.give(budget)
    assert b.woken == ["pump"]
    budget.satisfied(b)
    assert c.woken == ["pump"]
    budget.satisfied(c)
    assert budget.used == 0
    assert not budget.pressure


def test_heir_whose_loop_is_closed_is_passed_over() -> None:
    budget, (a, dead, b) = make(1, "a", "dead", "b")
    a.take(budget)
    dead.take(budget)
    b.take(budget)
    dead.alive = False
    a.give(budget)
    assert b.woken == ["pump"]
    assert b.take(budget)


def test_last_heir_whose_loop_is_closed_frees_the_permit() -> None:
    budget, (a, dead) = make(1, "a", "dead")
    a.take(budget)
    dead.take(budget)
    dead.alive = False
    a.give(budget)
    assert budget.used == 0
    assert a.take(budget)


def test_member_that_leaves_leaves_what_it_was_granted() -> None:
    budget, (a, b) = make(1, "a", "b")
    a.take(budget)
    b.take(budget)
    a.give(budget)
    budget.leave(b)
    assert budget.used == 0
    budget.leave(b)


def test_who_asks_in_vain_has_the_richest_idle_pool_close_one() -> None:
    budget, (few, many, hungry) = make(5, "few", "many", "hungry")
    for member, idle in ((few, 2), (many, 3)):
        for _ in range(idle):
            member.take(budget)
        member.idle = idle
    assert not hungry.take(budget)
    assert many.woken == ["yield_idle"]
    assert few.woken == []


def test_pressure_is_felt_while_somebody_starves() -> None:
    budget, (a, b) = make(1, "a", "b")
    a.take(budget)
    assert not budget.pressure
    b.take(budget)
    assert budget.pressure
    budget.start_closing()
    assert not budget.pressure, "a permit is coming already"
    budget.give(closed=True)
    assert budget.closing == 0
    assert not budget.pressure


def test_nobody_feels_the_hunger_of_the_only_member() -> None:
    budget, (a,) = make(1, "a")
    a.take(budget)
    a.take(budget)
    assert not budget.pressure
    other = Borough("other")
    budget.join(other)
    assert budget.pressure
    budget.leave(other)
    assert not budget.pressure


@pytest.mark.parametrize(
    ("own", "others", "gives"),
    [
        (4, [0], True),
        (1, [0], True),
        (2, [1], False),
        (3, [1], True),
        (2, [2], False),
        (3, [3, 1], True),
        (4, [], False),
    ],
    ids=str,
)
def test_who_gives_up_a_connection_for_others(own: int, others: list[int], gives: bool) -> None:
    names = ["own", *(f"other {number}" for number in range(len(others)))]
    budget, (rich, *rest) = make(own + sum(others), *names)
    for member, size in zip([rich, *rest], [own, *others], strict=True):
        for _ in range(size):
            assert member.take(budget)
    for member in (rich, *rest):
        assert not member.take(budget)
    assert budget.over(rich) is gives


def test_one_close_for_one_who_starves() -> None:
    budget, (rich, poor) = make(4, "rich", "poor")
    for _ in range(4):
        rich.take(budget)
    poor.take(budget)
    assert budget.over(rich)
    budget.start_closing()
    assert not budget.over(rich)


def test_shrinking_tells_all_and_is_felt_until_enough_are_closing() -> None:
    budget, (a, b) = make(4, "a", "b")
    for member in (a, b):
        member.take(budget)
        member.take(budget)
    budget.resize(3)
    assert a.woken == b.woken == ["yield_idle"]
    assert budget.excess == 1
    assert budget.pressure
    assert budget.over(a)
    assert not b.take(budget)
    a.give(budget)
    assert budget.used == 3
    assert budget.excess == 0
    a.give(budget)
    assert b.woken == ["yield_idle", "pump"]


def test_growing_wakes_all() -> None:
    budget, (a, b) = make(1, "a", "b")
    a.take(budget)
    b.take(budget)
    budget.resize(2)
    assert a.woken == b.woken == ["pump"]
    assert b.take(budget)


def test_connects_in_flight_are_bounded_and_who_waits_is_woken() -> None:
    budget, (a, b) = make(9, "a", "b", connecting=2)
    assert budget.start_connecting(a)
    assert budget.start_connecting(a)
    assert not budget.start_connecting(b)
    assert not budget.start_connecting(b)
    budget.end_connecting()
    assert b.woken == ["pump"]
    assert budget.start_connecting(b)
    assert budget.connecting == 2


def test_threads_never_exceed_the_limit_and_lose_no_permit() -> None:
    budget = Budget(3, 2)
    over: list[int] = []
    members = [Borough(f"{number}") for number in range(6)]
    for member in members:
        budget.join(member)

    def trade(member: Borough, dice: random.Random) -> None:
        for _ in range(3000):
            if member.size and dice.random() < 0.6:
                member.give(budget)
            else:
                member.take(budget)
            if dice.random() < 0.2:
                budget.satisfied(member)
            if budget.used > 3:
                over.append(budget.used)
        while member.size:
            member.give(budget)
        budget.leave(member)

    threads = [
        threading.Thread(target=trade, args=[member, random.Random(number)])
        for number, member in enumerate(members)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert over == []
    assert budget.used == 0
    assert not budget.pressure
