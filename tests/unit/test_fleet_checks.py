"""What `manage.py check` says of the fleet's settings."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from poolapp import checks, pools
from poolapp.monitoring import fleet
from poolapp.monitoring.fleet import Fleet, FleetPicture, ServerLimit

REDIS = {"BACKEND": "poolapp.backends.redis.RedisBackend", "LOCATION": "redis://127.0.0.1:1/0"}
POSTGRES = {
    "BACKEND": "poolapp.backends.postgres.PostgresBackend",
    "LOCATION": "postgresql://u@127.0.0.1:1/x",
}


@pytest.fixture
def declared() -> Iterator[Any]:
    changed: list[Any] = []

    def declare(found: dict[str, Any], own: dict[str, Any]) -> None:
        changed.append(override_settings(POOLS=found, POOLAPP=own))
        changed[-1].enable()

    yield declare
    for each in changed:
        each.disable()


def test_a_fleet_that_can_meet_is_fine(declared: Any) -> None:
    declared({"cache": {**REDIS, "FLEET_MAX": 5}}, {"FLEET": "cache"})
    assert checks.check_fleet() == []
    assert pools.config("cache").fleet_max == 5


def test_no_fleet_is_fine(declared: Any) -> None:
    declared({"cache": REDIS}, {})
    assert checks.check_fleet() == []
    assert checks.check_limits() == []


def test_a_place_that_does_not_exist(declared: Any) -> None:
    declared({"cache": REDIS}, {"FLEET": "cahce"})
    (message,) = checks.check_fleet()
    assert message.id == "poolapp.E013"
    assert message.msg == "POOLAPP['FLEET'] is 'cahce', which names no pool."
    assert message.hint == "Did you mean 'cache'?"


def test_a_place_that_is_no_redis(declared: Any) -> None:
    declared({"default": POSTGRES}, {"FLEET": "default"})
    (message,) = checks.check_fleet()
    assert message.id == "poolapp.E013"
    assert "is no Redis" in message.msg


def test_a_place_that_is_declared_wrongly_is_told_once(declared: Any) -> None:
    declared({"cache": {**REDIS, "MAX_SIZE": 0}}, {"FLEET": "cache"})
    assert checks.check_fleet() == []
    assert [each.id for each in checks.check_pools()] == ["poolapp.E003"]


def test_fleet_max_without_a_fleet(declared: Any) -> None:
    declared({"default": {**POSTGRES, "FLEET_MAX": 80}}, {})
    (message,) = checks.check_fleet()
    assert message.id == "poolapp.W008"
    assert "POOLS['default']['FLEET_MAX'] limits nothing" in message.msg


@pytest.mark.parametrize("wrong", [0, -1, "5", True, 1.5])
def test_fleet_max_counts_connections(declared: Any, wrong: object) -> None:
    declared({"cache": {**REDIS, "FLEET_MAX": wrong}}, {"FLEET": "cache"})
    (message,) = checks.check_pools()
    assert message.id == "poolapp.E003"
    assert "POOLS['cache']['FLEET_MAX']" in message.msg


def test_too_many_for_a_server_is_a_warning(declared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    declared({"cache": REDIS}, {"FLEET": "cache"})
    limits = [
        ServerLimit(aliases=("default", "reports"), workers=4, possible=120, limit=97, open=30),
        ServerLimit(aliases=("cache",), workers=4, possible=40, limit=10000),
    ]

    async def read() -> FleetPicture:
        return FleetPicture(processes=[], limits=limits)

    monkeypatch.setattr(fleet, "read", read)
    (message,) = checks.check_limits()
    assert message.id == "poolapp.W007"
    assert message.msg == (
        "The pools 'default', 'reports' are too large: 4 workers may open 120 connections; the "
        "server lets in 97, and 30 are open."
    )


@pytest.mark.parametrize(
    ("workers", "count", "said"),
    [
        (1, 1, "1 worker may open 6 connections; the server lets in 9, and 1 is open."),
        (2, 0, "2 workers may open 6 connections; the server lets in 9, and 0 are open."),
        (2, None, "2 workers may open 6 connections; the server lets in 9."),
    ],
)
def test_a_limit_is_told_in_a_sentence(workers: int, count: int | None, said: str) -> None:
    limit = ServerLimit(aliases=("a",), workers=workers, possible=6, limit=9, open=count)
    assert limit.sentence == said


async def test_nothing_is_asked_where_a_loop_runs(declared: Any) -> None:
    declared({"cache": REDIS}, {"FLEET": "cache"})
    assert checks.check_limits() == []
    assert isinstance(fleet.fleet, Fleet)
