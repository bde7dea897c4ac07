"""Who is told what."""

from __future__ import annotations

import inspect
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from poolapp.core.events import EVENTS, Events, Observer


class Ear(Observer):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def lost(self, pool: Any, in_use: bool) -> None:
        self.heard.append(("lost", pool, in_use))

    def acquired(self, pool: Any, lease: Any, waited: float) -> None:
        self.heard.append(("acquired", pool, lease, waited))


def test_observer_hears_what_it_overrides_in_the_order_of_arrival() -> None:
    events = Events()
    first, second = Ear(), Ear()
    order: list[Ear] = []
    first.heard = second.heard = order  # type: ignore[assignment]
    events.add(first)
    events.add(second)
    events.emit("lost", "pool", True)
    events.emit("closed", "pool", "idle")
    assert order == [("lost", "pool", True)] * 2


def test_what_nobody_overrides_costs_no_call() -> None:
    events = Events()
    assert events.acquired == events.released == ()
    events.add(Observer())
    assert events.acquired == events.released == ()
    ear = Ear()
    events.add(ear)
    assert events.acquired == (ear.acquired,)
    assert events.released == ()


def test_observer_is_added_once_and_can_go() -> None:
    events = Events()
    ear = Ear()
    events.add(ear)
    events.add(ear)
    assert events.observers == (ear,)
    events.discard(ear)
    events.discard(ear)
    events.emit("lost", "pool", False)
    assert ear.heard == []
    assert events.acquired == ()


def test_observer_that_goes_while_being_told_disturbs_nobody() -> None:
    events = Events()

    class Leaver(Ear):
        def lost(self, pool: Any, in_use: bool) -> None:
            events.discard(self)
            super().lost(pool, in_use)

    leaver, stayer = Leaver(), Ear()
    events.add(leaver)
    events.add(stayer)
    events.emit("lost", "pool", False)
    events.emit("lost", "pool", True)
    assert len(leaver.heard) == 1
    assert len(stayer.heard) == 2


def test_fault_of_one_observer_is_logged_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Faulty(Observer):
        def lost(self, pool: Any, in_use: bool) -> None:
            raise ZeroDivisionError

    events = Events()
    ear = Ear()
    events.add(Faulty())
    events.add(ear)
    with caplog.at_level(logging.ERROR, "poolapp.events"):
        events.emit("lost", SimpleNamespace(alias="shop"), False)
    assert len(ear.heard) == 1
    assert vars(caplog.records[0])["alias"] == "shop"
    assert caplog.records[0].getMessage() == "An observer failed on lost"
    assert caplog.records[0].exc_info is not None


def test_every_event_is_a_method_with_the_pool_first() -> None:
    assert len(EVENTS) >= 20
    for name in EVENTS:
        parameters = list(inspect.signature(getattr(Observer, name)).parameters)
        assert parameters[:2] == ["self", "pool"], name
        getattr(Observer(), name)(*[None] * (len(parameters) - 1))
