"""``FLEET_MAX`` divided, what the servers let in, and what a command line runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolapp.core.config import Location, PoolConfig
from poolapp.core.registry import Registry
from poolapp.monitoring.fleet.division import Division, share
from poolapp.monitoring.fleet.limits import Limits, limit_of
from poolapp.monitoring.process import server_of

WORKERS = [f"host:{number}:1" for number in range(4)]
ME = WORKERS[0]


@given(
    st.integers(1, 500),
    st.lists(st.text("abc", min_size=1), min_size=1, max_size=50, unique=True),
)
def test_shares_are_even_and_add_up(fleet_max: int, workers: list[str]) -> None:
    shares = [share(fleet_max, workers, each) for each in workers]
    assert sum(shares) == max(fleet_max, len(workers))
    assert max(shares) - min(shares) <= 1
    assert sorted(shares, reverse=True) == [
        share(fleet_max, workers, each) for each in sorted(workers)
    ]


def registry_of(**settings: object) -> Registry:
    registry = Registry()
    registry.register("shop", PoolConfig(alias="shop", backend="a.B", **settings))  # type: ignore[arg-type]
    return registry


def sizes(registry: Registry) -> tuple[int, int]:
    config = registry.config("shop")
    return config.min_size, config.max_size


def test_a_pool_has_its_share_and_never_more_than_max_size() -> None:
    registry = registry_of(min_size=4, max_size=8, fleet_max=10)
    division = Division(registry)
    for count, wanted in ((1, (4, 8)), (2, (4, 5)), (3, (4, 4)), (4, (3, 3)), (1, (4, 8))):
        division.divide(WORKERS[:count], ME)
        assert sizes(registry) == wanted


def test_sizes_that_are_set_meanwhile_are_what_is_cut_from_then_on() -> None:
    registry = registry_of(max_size=8, fleet_max=10)
    division = Division(registry)
    division.divide(WORKERS[:2], ME)
    registry.resize("shop", max_size=7)
    division.divide(WORKERS[:2], ME)
    assert sizes(registry) == (0, 5)
    division.divide(WORKERS[:1], ME)
    assert sizes(registry) == (0, 7)


def test_sizes_set_by_hand_to_just_the_share_are_meant() -> None:
    registry = registry_of(max_size=8, fleet_max=10)
    division = Division(registry)
    division.divide(WORKERS[:2], ME)
    division.resize("shop", max_size=5)
    division.divide(WORKERS[:1], ME)
    assert sizes(registry) == (0, 5)
    division.resize("shop", min_size=2)
    assert sizes(registry) == (2, 5)


def test_an_alias_that_is_not_divided_any_more_has_its_sizes_back() -> None:
    registry = registry_of(max_size=8, fleet_max=4)
    division = Division(registry)
    division.divide(WORKERS[:2], ME)
    assert sizes(registry) == (0, 2)
    config = registry.config("shop").replace(fleet_max=None)
    registry.configure({"shop": config})
    division.divide(WORKERS[:2], ME)
    assert sizes(registry) == (0, 8)


def test_without_fleet_max_nothing_is_touched() -> None:
    registry = registry_of(max_size=8)
    Division(registry).divide(WORKERS, ME)
    assert sizes(registry) == (0, 8)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        ({"max_connections": 100, "superuser_reserved_connections": 3}, 97),
        ({"max_connections": 100}, 100),
        ({"max_clients": "10000", "connected_clients": 5}, 10000),
        ({"version": "9"}, None),
        ({}, None),
    ],
)
def test_the_limit_is_what_the_server_lets_in(told: dict[str, object], limit: int | None) -> None:
    assert limit_of(told) == limit


def config_of(alias: str, host: str, **settings: int) -> PoolConfig:
    location = Location.parse(f"postgresql://{host}/shop")
    return PoolConfig(alias=alias, backend="a.B", locations=(location,), **settings)  # type: ignore[arg-type]


def test_aliases_of_one_server_are_counted_together() -> None:
    registry = Registry()
    for config in (
        config_of("shop", "db1", max_size=10),
        config_of("reports", "db1", max_size=5),
        config_of("other", "db2", max_size=7),
    ):
        registry.register(config.alias, config)
    limits = Limits(registry, Division(registry))
    assert limits.against(4) == []
    limits.take_over('{"shop": 50, "reports": 50, "other": 50, "unknown": 50}')
    together, alone = limits.against(4)
    assert (together.aliases, together.possible, together.exceeded) == (
        ("shop", "reports"),
        60,
        True,
    )
    assert together.sentence == "4 workers may open 60 connections; the server lets in 50."
    assert (alone.aliases, alone.possible, alone.exceeded) == (("other",), 28, False)


def test_fleet_max_bounds_what_may_be_opened() -> None:
    registry = Registry()
    registry.register("shop", config_of("shop", "db1", max_size=10, fleet_max=12))
    division = Division(registry)
    limits = Limits(registry, division)
    limits.take_over('{"shop": 50}')
    division.divide(WORKERS, ME)
    assert limits.against(4)[0].possible == 12
    assert limits.against(20)[0].possible == 20  # one each


# -- what runs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "server"),
    [
        (["/venv/bin/uvicorn", "shop.asgi:application"], "uvicorn"),
        (["/venv/lib/uvicorn/__main__.py", "shop.asgi"], "uvicorn"),
        (["/venv/bin/gunicorn", "shop.wsgi"], "gunicorn"),
        (["/venv/bin/celery", "-A", "shop", "worker"], "celery"),
        (["manage.py", "runserver", "8000"], "runserver"),
        (["./manage.py", "--verbosity", "import"], "command import"),
        (["/venv/bin/django-admin", "migrate"], "command migrate"),
        (["/venv/lib/django/__main__.py", "poolstatus"], "command poolstatus"),
        (["/home/me/work.py"], "work.py"),
        (["-c"], "python"),
        ([], "python"),
    ],
)
def test_what_runs_a_process(arguments: list[str], server: str) -> None:
    assert server_of(arguments) == server
