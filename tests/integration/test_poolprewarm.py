"""``manage.py poolprewarm`` and ``pools.prewarm`` on real servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolapp import BackendUnavailable, InvalidPoolError, PoolConfig, pools
from poolapp.core.config import Location

FOLDER = Path(__file__).parents[2]
NOBODY_LISTENS = "postgresql://app:p%40ss@127.0.0.1:1/app"


def poolprewarm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "poolprewarm", *arguments],
        cwd=FOLDER,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_opens_and_closes_the_minimum_of_each_alias() -> None:
    done = poolprewarm()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "default: 1 connection opened and closed.",
        "search: 1 connection opened and closed.",
    ]


def test_a_server_that_does_not_answer_is_named_with_the_reason() -> None:
    done = poolprewarm("default", POOLAPP_POSTGRES_URL=NOBODY_LISTENS)
    assert done.returncode == 1
    assert "pool 'default'" in done.stderr
    assert "ConnectionRefusedError" in done.stderr
    assert "Traceback" not in done.stderr
    assert "p@ss" not in done.stderr
    assert "p%40ss" not in done.stderr


def test_an_unknown_alias_is_a_usage_error() -> None:
    done = poolprewarm("defualt")
    assert done.returncode == 2
    assert "there is no pool 'defualt'; POOLS has 'default', 'search'" in done.stderr


def config(alias: str, url: str, **settings: object) -> PoolConfig:
    return PoolConfig(
        alias=alias,
        backend="poolapp.backends.postgres.PostgresBackend",
        locations=(Location.parse(url),),
        **settings,  # type: ignore[arg-type]
    )


async def test_aliases_are_opened_at_once_and_all_failures_are_told(postgres_url: str) -> None:
    pools.register("good", config("good", postgres_url, min_size=3, prewarm=True))
    pools.register("bad", config("bad", NOBODY_LISTENS, prewarm=True))
    pools.register("worse", config("worse", NOBODY_LISTENS, prewarm=True))
    pools.register("cold", config("cold", NOBODY_LISTENS))
    try:
        with pytest.raises(BackendUnavailable, match=r"pool 'bad'.*; pool 'worse'"):
            await pools.prewarm()
        assert (pools["good"].idle, pools["good"].in_use) == (3, 0)
        assert pools["good"].stats().nested == 0
        assert pools["cold"].stats().connect_failed == 0
    finally:
        for alias in ("good", "bad", "worse", "cold"):
            await pools.remove(alias)


async def test_one_that_is_not_declared_is_said() -> None:
    with pytest.raises(InvalidPoolError, match="there is no pool 'nowhere'"):
        await pools.prewarm("nowhere")
