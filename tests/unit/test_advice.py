"""What an operator is advised, from what was measured."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from poolapp.core.registry import Registry
from poolapp.core.stats import BOUNDS, PoolStats
from poolapp.management.fleet_table import fleet_lines
from poolapp.monitoring.advice import LEAST_ACQUIRES, advise
from poolapp.monitoring.fleet import FleetPicture
from poolapp.monitoring.health import Health, Monitor
from poolapp.monitoring.picture import AliasPicture, assembled, take
from poolapp.monitoring.usage import Use, Window


def stats_of(**values: Any) -> PoolStats:
    nothing = {"int": 0, "float": 0.0, "str": "", "bool": False, "dict[str, int]": {}}
    found = {each.name: nothing.get(str(each.type)) for each in dataclasses.fields(PoolStats)}
    given = {"alias": "shop", "backend": "a.B", "state": "open", "max_size": 10, **values}
    return PoolStats(**{**found, **given})


def counted(count: int, up_to: float) -> tuple[int, ...]:
    """So many that took up to a bound of the histogram."""
    found = [0] * (len(BOUNDS) + 1)
    found[BOUNDS.index(up_to)] = count
    return tuple(found)


def window(*, seconds: float = 3600.0, peak: int = 8, **use: Any) -> Window:
    return Window(seconds=seconds, peak=peak, use=Use(**{"acquired": 1000, **use}))


def advice(window: Window, *found: PoolStats) -> str:
    return "\n".join(advise(found or (stats_of(),), window))


# -- nothing to say --------------------------------------------------------------------------------


def test_of_a_pool_that_does_well_nothing_is_said() -> None:
    quick = window(queued=40, waits=counted(40, 0.01), connected=8, connect_seconds=0.1)
    assert advice(quick) == ""


def test_a_full_pool_whose_queue_is_short_does_well() -> None:
    assert advice(window(peak=10, queued=500, waits=counted(500, 0.005))) == ""


def test_too_few_acquires_say_nothing() -> None:
    few = window(acquired=LEAST_ACQUIRES - 1, peak=10, queued=90, waits=counted(90, 1.0))
    assert advice(few) == ""


def test_without_a_pool_nothing_is_said() -> None:
    assert advise((), window(peak=10, queued=500, waits=counted(500, 1.0))) == ()


def test_the_default_size_is_never_too_large() -> None:
    assert advice(window(peak=1)) == ""


# -- waits -----------------------------------------------------------------------------------------


def test_too_small_by_its_queue() -> None:
    text = advice(
        window(
            peak=10, queued=200, waits=counted(200, 0.5), uses=counted(1000, 0.5), use_seconds=400.0
        )
    )
    assert text == (
        "MAX_SIZE 10 is too small for it: in the last hour all were open, 20% of 1000 acquires "
        "queued, 1 in 100 acquires waited for 488 ms or longer. Raise it, or hold connections "
        "shorter: each is held for 400 ms on average."
    )


def test_too_small_by_its_timeouts() -> None:
    text = advice(window(peak=10, acquired=900, timed_out=100))
    assert "MAX_SIZE 10 is too small" in text
    assert "0% of 1000 acquires queued, 100 timed out." in text
    assert "waited for" not in text


def test_timeouts_of_a_pool_that_never_was_full_have_another_reason() -> None:
    assert advice(window(peak=2, acquired=900, timed_out=100)) == ""


def test_few_long_waits_with_all_in_use() -> None:
    text = advice(window(peak=10, queued=20, waits=counted(20, 1.0), seconds=600))
    assert text.startswith("In the last 10 minutes 1 in 100 acquires waited for 750 ms or longer,")
    assert "with all 10 connections open. Raise MAX_SIZE, or hold" in text


def test_long_waits_for_connects() -> None:
    text = advice(
        window(peak=4, queued=20, waits=counted(20, 1.0), connected=20, connect_seconds=10.0),
        stats_of(min_size=1),
    )
    assert "although at most 4 of 10 connections were open: they waited for connects" in text
    assert "which take 500 ms on average. Raise MIN_SIZE, which is 1, or set PREWARM." in text


def test_the_limit_is_that_of_all_loops_together() -> None:
    loops = [stats_of(max_size=10), stats_of(max_size=10)]
    assert "with all 10 connections" in advice(
        window(peak=10, queued=20, waits=counted(20, 1.0)), *loops
    )


# -- reuse -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("idle", "raise IDLE_TIMEOUT or MIN_SIZE"),
        ("lifetime", "raise MAX_LIFETIME"),
        ("lost", "hangs up"),
        ("dirty", "a transaction say"),
        ("budget", "LOOPS 'shared'"),
        ("shutdown", "LOOPS 'shared'"),
    ],
)
def test_low_reuse_is_told_with_its_reason(reason: str, remedy: str) -> None:
    text = advice(window(connected=600, closed={reason: 590, "other": 2}))
    assert text.startswith(
        "Connections are hardly used again: in the last hour 1000 acquires took 600 connects."
    )
    assert remedy in text


def test_what_an_operator_did_needs_no_remedy() -> None:
    assert advice(window(connected=600, closed={"drained": 590})).endswith("600 connects.")


def test_connects_that_made_it_large_are_no_low_reuse() -> None:
    assert advice(window(acquired=120, peak=60, connected=60), stats_of(max_size=60)) == ""


# -- too large -------------------------------------------------------------------------------------


def test_too_large() -> None:
    assert advice(window(peak=6), stats_of(max_size=50)) == (
        "MAX_SIZE 50 is more than it needs: in the last hour at most 6 were open at a time. 9 "
        "would leave some spare, and the server more for others."
    )


def test_no_less_than_min_size_is_recommended() -> None:
    assert "12 would leave" in advice(window(peak=6), stats_of(max_size=50, min_size=12))


def test_half_an_hour_without_a_peak_is_the_least() -> None:
    assert advice(window(peak=6, seconds=1700), stats_of(max_size=50)) == ""


def test_seats_of_a_shared_client_cost_nothing() -> None:
    assert advice(window(peak=6), stats_of(max_size=100, shared=True)) == ""


# -- where it is shown -----------------------------------------------------------------------------

SENTENCE = "MAX_SIZE 50 is more than it needs."


def picture(**values: Any) -> AliasPicture:
    health = Health(alias="shop", status="healthy")
    return AliasPicture(health, "B", 0, 50, [], advice=(SENTENCE,), **values)


def test_it_goes_with_the_picture_to_other_processes() -> None:
    sent = json.loads(json.dumps(picture().as_dict()))
    assert sent["advice"] == [SENTENCE]
    assert AliasPicture.from_dict(sent).advice == (SENTENCE,)
    del sent["advice"]  # as another version sends it
    assert AliasPicture.from_dict(sent).advice == ()


def test_it_is_no_reason_and_not_for_everybody() -> None:
    shown = picture()
    assert shown.health.status == "healthy"
    assert SENTENCE not in str(shown.health.as_dict())


def test_poolstatus_tells_it_below_the_table() -> None:
    process = assembled([picture()])
    lines = [line.text for line in fleet_lines(FleetPicture(processes=[process]))]
    assert lines[-1] == f"shop on {process.host}:{process.pid}: {SENTENCE}"
    quiet = assembled([dataclasses.replace(picture(), advice=())])
    assert "MAX_SIZE" not in str(list(fleet_lines(FleetPicture(processes=[quiet]))))


async def test_a_picture_of_a_process_has_what_its_pools_have_earned() -> None:
    registry = Registry()

    async def create() -> object:
        return object()

    registry.register("shop", create=create, max_size=3)
    monitor = Monitor(registry)
    registry.observe(monitor.usage)
    async with registry:
        pool = registry["shop"]
        for _ in range(LEAST_ACQUIRES):
            async with pool.acquire():
                pass
            pool.reset()  # so that each needs a connect
        (alias,) = take(monitor).aliases
    assert alias.advice == (
        "Connections are hardly used again: in the last minute 100 acquires took 100 connects.",
    )
