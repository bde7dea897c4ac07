"""What the admin's pages make of a fleet's picture."""

import dataclasses
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.fleet_pictures import fleet_picture
from poolapp import pages
from poolapp.monitoring.board import Board, Spark, board
from poolapp.monitoring.fleet import FleetPicture, ServerLimit
from poolapp.monitoring.history import Samples
from poolapp.monitoring.picture import ProcessPicture


def process(number: int = 1, **aliases: dict[str, Any]) -> ProcessPicture:
    data = {
        "worker": f"web:{number}:a",
        "host": "web",
        "pid": number,
        "server": "uvicorn",
        "uptime": 60.0,
        "aliases": [alias(name, **changes) for name, changes in aliases.items()],
    }
    return ProcessPicture.from_dict(data, age=number - 1.0)


def alias(name: str, *, loops: int = 1, **changes: Any) -> dict[str, Any]:
    """In ``changes`` what is no field of the alias is one of its statistics."""
    own = {
        key: changes.pop(key)
        for key in ("status", "reasons", "error", "max_size", "advice")
        if key in changes
    }
    leases = changes.pop("leases", [])
    events = changes.pop("events", [])
    found = {
        "alias": name, "status": "healthy", "reasons": [], "error": "", "backend": "Postgres",
        "min_size": 0, "max_size": 10, "events": events, **own,
    }  # fmt: skip
    stats = {"alias": name, "state": "open", "max_size": found["max_size"], **changes}
    rows = [
        {"loop": f"{each + 1} of {loops}", "stats": stats, "leases": leases}
        for each in range(loops)
    ]
    return {**found, "loops": rows}


def lease(held: float, **changes: Any) -> dict[str, Any]:
    return {"held": held, "holder": "view shop", "stack": ["shop.py:1 in shop"], "leaking": False,
            **changes}  # fmt: skip


def shown(*processes: ProcessPicture) -> Board:
    return board(FleetPicture(processes=list(processes)))


# -- over all workers ------------------------------------------------------------------------------


def test_numbers_are_sums_over_workers_and_loops_and_the_wait_is_the_longest() -> None:
    found = shown(
        process(1, shop={"loops": 2, "in_use": 3, "idle": 1, "timed_out": 2, "wait_p95": 0.1}),
        process(2, shop={"in_use": 1, "waiting": 1, "lost": 4, "wait_p95": 0.5}),
        process(3, shop={"loops": 0}),
    ).aliases[0]
    assert (found.in_use, found.idle, found.waiting) == (7, 2, 1)
    assert (found.timed_out, found.lost, found.wait_p95) == (4, 4, 0.5)
    assert found.max_size == 30
    assert found.sentence == (
        "7 of 30 connections are in use, 2 idle, and 1 acquire waits, "
        "on 3 event loops of 2 workers."
    )


def test_the_worst_comes_first() -> None:
    found = shown(
        process(
            1,
            calm={},
            busy={"in_use": 9},
            waiting={"waiting": 1},
            paused={"status": "degraded"},
            here={},
        ),
        process(2, here={"status": "unhealthy"}),
    )
    names = [each.alias for each in found.aliases]
    assert names == ["here", "paused", "waiting", "busy", "calm"]
    assert found.headline == "Of 5 pools 1 is unhealthy and 1 is degraded."
    assert found.status == "unhealthy"


def test_a_reason_says_in_how_many_workers() -> None:
    found = shown(
        process(1, shop={"status": "degraded", "reasons": ["The pool is paused."]}),
        process(2, shop={}),
    ).aliases[0]
    assert found.health.reasons == ("The pool is paused, in 1 of 2 workers.",)


def test_the_worker_in_trouble_comes_first_and_the_others_keep_their_order() -> None:
    found = shown(
        process(1, shop={}), process(2, shop={}), process(3, shop={"status": "degraded"})
    ).aliases[0]
    assert [row.process.pid for row in found.rows] == [3, 1, 2]


def test_leases_of_all_workers_the_longest_first_with_the_time_since_they_were_seen() -> None:
    found = shown(
        process(1, shop={"leases": [lease(5.0)]}),
        process(3, shop={"leases": [lease(4.0, leaking=True), lease(1.0)]}),
    ).aliases[0]
    assert [(each.process.pid, each.seconds) for each in found.leases] == [
        (3, 6.0),
        (1, 5.0),
        (3, 3.0),
    ]
    assert [each.seconds for each in found.leaks] == [6.0]


def test_events_of_all_workers_the_latest_first() -> None:
    def event(name: str, ago: float) -> dict[str, Any]:
        return {"name": name, "text": f"{name}.\nmore", "serious": False, "count": 1, "ago": ago}

    found = shown(
        process(1, shop={"events": [event("Paused", 5.0), event("Reset", 9.0)]}),
        process(2, shop={"events": [event("Resumed", 2.0)]}),
    ).aliases[0]
    assert [each.headline for each in found.events] == ["Resumed.", "Paused.", "Reset."]
    assert found.events[0].rest == "more"
    assert len({each.key for each in found.events}) == 3


def test_the_same_error_of_several_workers_is_told_once() -> None:
    found = shown(
        process(1, shop={"error": "OSError: refused"}),
        process(2, shop={"error": "OSError: refused"}),
        process(3, shop={"error": "TimeoutError"}),
        process(4, shop={}),
    ).aliases[0]
    told = [(error, [each.pid for each in processes]) for error, processes in found.errors]
    assert told == [("OSError: refused", [1, 2]), ("TimeoutError", [3])]


def test_advice_of_several_workers_is_given_once() -> None:
    found = shown(
        process(1, shop={"advice": ["Raise MAX_SIZE.", "Hold for less long."]}),
        process(2, shop={"advice": ["Raise MAX_SIZE."]}),
    ).aliases[0]
    assert found.advice == ["Raise MAX_SIZE.", "Hold for less long."]


def test_what_is_said_to_a_screen_reader_has_no_number_that_moves() -> None:
    calm = shown(process(1, shop={"in_use": 1}))
    busy = shown(process(1, shop={"in_use": 9, "waiting": 3, "timed_out": 7}))
    assert calm.announcement == busy.announcement
    leak = shown(process(1, shop={"leases": [lease(5.0, leaking=True)]}))
    assert "shop may leak 1 connection." in leak.announcement


def test_no_pool_and_an_unused_one() -> None:
    assert shown(process(1)).headline == "POOLS declares no pool."
    found = shown(process(1, shop={"loops": 0}))
    assert found.aliases[0].sentence == "Nothing in this process has used it yet."
    assert found.headline == "The pool is healthy."
    found = shown(process(1, shop={"loops": 0}), process(2, shop={"loops": 0}))
    assert found.aliases[0].sentence == "Nothing in any worker has used it yet."
    assert found.alias("other") is None


def test_a_server_s_limit_that_is_too_low_is_marked() -> None:
    limit = ServerLimit(aliases=("shop",), workers=2, possible=200, limit=97)
    assert board(FleetPicture(processes=[process(1, shop={})], limits=[limit])).exceeded


# -- sparklines ------------------------------------------------------------------------------------


def test_a_sparkline_steps_where_the_number_changes_and_ends_at_the_right() -> None:
    spark = Spark.of(Samples((0, 5, 5, 10), (0, 0, 0, 0)), 10)
    assert spark.in_use == "M56 20H57V10H59V1H60V20H56Z"
    assert spark.demand == ""
    assert spark.limit == ""
    assert spark.words == "At most 10 in use of late"


def test_a_sparkline_shows_who_waits_above_the_maximum() -> None:
    spark = Spark.of(Samples((10, 10), (0, 10)), 10)
    assert spark.in_use == "M58 10H60V20H58Z"
    assert spark.demand == "M58 10H59V1H60V20H58Z"
    assert spark.limit == "10"
    assert spark.words == "At most 10 in use of late, and at most 10 waiting"


def test_a_sparkline_needs_two_samples() -> None:
    row = shown(process(1, shop={})).aliases[0].rows[0]
    assert row.spark is None
    quiet = dataclasses.replace(row.picture, samples=Samples((0, 0), (0, 0)))
    spark = dataclasses.replace(row, picture=quiet).spark
    assert spark is not None
    assert spark.in_use == ""


# -- of a large fleet ------------------------------------------------------------------------------


def calls_of(work: Callable[[], object]) -> int:
    """How many functions it calls."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("make", [board, pages.message], ids=["board", "page"])
def test_the_work_grows_as_the_fleet_does(make: Callable[[FleetPicture], object]) -> None:
    small, large = fleet_picture(8, 4, 4), fleet_picture(8, 4, 16)
    make(small)  # templates are compiled once
    few, many = calls_of(lambda: make(small)), calls_of(lambda: make(large))
    assert many < 4.2 * few


def test_each_loop_of_each_worker_has_a_row_of_bounded_length() -> None:
    html = pages.message(fleet_picture(8, 4, 16))["html"]
    assert len(re.findall(r"<tr data-key=", html)) == 8 * 4 * 16
    assert len(html) < 2000 * 8 * 4 * 16
