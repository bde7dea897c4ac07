"""The statistics as lines of the log, for who asks for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp.core.registry import Registry
from poolapp.monitoring.health import Monitor
from poolapp.monitoring.statistics import StatisticsLog, log_every
from tests.fake import FakeServer, config_of
from tests.virtual import Clock

SECRET = "hunter2"


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry()
    for alias in ("shop", "unused"):
        config = config_of(alias, server=FakeServer(), max_size=3, acquire_timeout=0.01)
        registry.register(alias, config.replace(options={**config.options, "password": SECRET}))
    async with registry:
        yield registry


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics(registry: Registry, clock: Clock) -> StatisticsLog:
    monitor = Monitor(registry)
    registry.observe(monitor.usage)
    return StatisticsLog(monitor, clock)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="poolapp.stats")
    return caplog


async def use(registry: Registry, times: int) -> None:
    for _ in range(times):
        async with registry["shop"].acquire():
            pass


async def test_a_line_for_each_alias_in_use(
    registry: Registry, statistics: StatisticsLog, clock: Clock, log: pytest.LogCaptureFixture
) -> None:
    await use(registry, 4)
    clock.advance(60)
    async with registry["shop"].acquire():
        await statistics.tell()
    (record,) = log.records
    assert (record.name, record.levelno) == ("poolapp.stats", logging.INFO)
    assert record.getMessage() == (
        "pool 'shop': 1 of 3 in use, 0 idle, 0 waiting; in the last 1 min 5 acquires, 1 queued "
        f"(p95 {record.getMessage().partition('(p95 ')[2].partition(')')[0]}), 0 timed out, "
        "0 refused, 1 connects, 0 failed, 0 lost"
    )


async def test_each_line_counts_from_the_one_before(
    registry: Registry, statistics: StatisticsLog, clock: Clock, log: pytest.LogCaptureFixture
) -> None:
    for times in (4, 2, 0):
        await use(registry, times)
        clock.advance(10)
        await statistics.tell()
    counted = [vars(record)["statistics"]["acquired"] for record in log.records]
    assert counted == [4, 2, 0]
    assert vars(log.records[1])["statistics"]["seconds"] == 10


async def test_trouble_is_counted(
    registry: Registry, statistics: StatisticsLog, log: pytest.LogCaptureFixture
) -> None:
    leases = [await registry["shop"].acquire() for _ in range(3)]
    with pytest.raises(Exception, match="within"):
        await registry["shop"].acquire()
    await statistics.tell()
    for lease in leases:
        lease.release()
    told = vars(log.records[0])["statistics"]
    assert (told["timed_out"], told["in_use"], told["max_size"]) == (1, 3, 3)


async def test_a_pool_that_has_come_and_gone_is_told_once(
    registry: Registry, statistics: StatisticsLog, log: pytest.LogCaptureFixture
) -> None:
    await use(registry, 1)
    await registry.close_all()
    await statistics.tell()
    await statistics.tell()
    assert [vars(record)["statistics"]["acquired"] for record in log.records] == [1]


async def test_records_are_for_json_and_hold_no_secret(
    registry: Registry, statistics: StatisticsLog, log: pytest.LogCaptureFixture
) -> None:
    class AsJson(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            fields = ("alias", "event", "statistics")
            return json.dumps({name: getattr(record, name) for name in fields})

    await use(registry, 1)
    await statistics.tell()
    text = AsJson().format(log.records[0])
    found = json.loads(text)
    assert (found["alias"], found["event"]) == ("shop", "statistics")
    assert found["statistics"]["acquired"] == 1
    assert SECRET not in text + log.text


@pytest.mark.parametrize(
    ("own", "seconds"),
    [
        ({"LOG_EVERY": 60}, 60.0),
        ({"LOG_EVERY": 1.5}, 1.5),
        ({}, None),
        ({"LOG_EVERY": None}, None),
        ({"LOG_EVERY": True}, None),
        ({"LOG_EVERY": "60"}, None),
        ({"LOG_EVERY": 0}, None),
        ({"LOG_EVERY": float("nan")}, None),
        ([], None),
    ],
)
def test_the_setting(settings: Any, own: object, seconds: float | None) -> None:
    settings.POOLAPP = own
    assert log_every() == seconds


async def test_it_is_written_again_and_again_once_a_pool_is_there(
    settings: Any, registry: Registry, statistics: StatisticsLog, log: pytest.LogCaptureFixture
) -> None:
    settings.POOLAPP = {"LOG_EVERY": 1}
    loop, twice = asyncio.get_running_loop(), asyncio.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(log.records) >= 2:
                loop.call_soon_threadsafe(twice.set)

    listener = Listener()
    logging.getLogger("poolapp.stats").addHandler(listener)
    registry.observe(statistics)
    try:
        await use(registry, 1)
        await asyncio.wait_for(twice.wait(), 30)
    finally:
        logging.getLogger("poolapp.stats").removeHandler(listener)
    assert {vars(record)["alias"] for record in log.records} == {"shop"}
    assert len({record.threadName for record in log.records}) == 1
    assert log.records[0].threadName != "MainThread", "no request's loop writes it"


async def test_nobody_asks_and_nothing_runs(
    settings: Any, registry: Registry, statistics: StatisticsLog
) -> None:
    settings.POOLAPP = {}
    registry.observe(statistics)
    await use(registry, 1)
    assert not statistics._runs
