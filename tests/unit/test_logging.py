"""What the pools' events look like in the log, and as Django signals."""

import ast
import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.dispatch import Signal

import poolapp
from poolapp import signals
from poolapp.core.events import EVENTS, Observer
from poolapp.monitoring.bridge import SignalBridge
from poolapp.monitoring.log import QUIET, LogObserver
from tests.fake import PlainFakeBackend, lab, quiet
from tests.virtual import Clock, virtual


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="poolapp.pool")
    return caplog


def told(log: pytest.LogCaptureFixture, event: str) -> list[logging.LogRecord]:
    return [record for record in log.records if getattr(record, "event", "") == event]


async def test_each_record_says_alias_and_event(log: pytest.LogCaptureFixture) -> None:
    async with lab() as pool:
        pool.events.add(LogObserver())
        async with pool.acquire():
            pass
    (record,) = told(log, "connected")
    assert record.name == "poolapp.pool"
    assert record.alias == "fake"  # type: ignore[attr-defined]
    assert record.levelno == logging.DEBUG
    assert record.getMessage().startswith("pool 'fake': opened a connection in ")


def test_every_other_record_says_them_too() -> None:
    """A formatter with {alias} and {event} fails on one that does not; most are written when
    something breaks, so it is the code that is looked at."""
    calls = []
    for path in Path(poolapp.__file__).parent.rglob("*.py"):
        if (
            "devservices" in path.parts or path.name == "discreet.py"
        ):  # it writes for another logger
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                given = {each.arg: ast.unparse(each.value) for each in node.keywords}
                calls.append((path.name, node.lineno, given.get("extra", "")))
    assert len(calls) > 20
    kinds = ("'alias': ", "said", "self._said")
    assert [each for each in calls if not any(kind in each[2] for kind in kinds)] == []


def test_acquire_and_release_are_not_logged() -> None:
    for observer in (LogObserver, SignalBridge):
        assert observer.acquired is Observer.acquired
        assert observer.released is Observer.released


@virtual
async def test_a_leak_is_told_with_the_stack_of_its_acquire_and_its_end_too(
    log: pytest.LogCaptureFixture,
) -> None:
    async with lab(leak_after=1.0) as pool:
        pool.events.add(LogObserver())

        async def handler() -> Any:
            return await pool.acquire()

        lease = await handler()
        await asyncio.sleep(2)
        (leaked,) = told(log, "leaked")
        assert leaked.levelno == logging.WARNING
        text = leaked.getMessage()
        assert "is held for" in text
        assert __file__ in text
        assert "in test_a_leak_is_told" in text
        lease.release()
        (returned,) = told(log, "returned")
        assert returned.levelno == logging.INFO


async def test_holders_that_closing_did_not_wait_for_are_named(
    log: pytest.LogCaptureFixture,
) -> None:
    async with lab() as pool:
        pool.events.add(LogObserver())
        await pool.acquire()
        await pool.close(timeout=0)
    (aborted,) = told(log, "aborted")
    assert aborted.levelno == logging.WARNING
    assert "closing cut 1 connections in use, held by" in aborted.getMessage()
    assert f"acquired at {__file__}:" in aborted.getMessage()


@virtual
async def test_an_outage_is_told_with_its_error_without_secrets(
    log: pytest.LogCaptureFixture,
) -> None:
    async with lab(options={"password": "hunter2"}, acquire_timeout=60.0) as pool:
        pool.events.add(LogObserver())
        pool.server.create.fail(RuntimeError("password hunter2 is wrong"))
        with pytest.raises(Exception, match="unavailable"):
            await pool.acquire()
        pool.server.create.ok()
    assert [record.levelno for record in told(log, "breaker_opened")] == [logging.WARNING]
    assert (
        "a connect failed: RuntimeError: password *** is wrong"
        in told(log, "connect_failed")[0].getMessage()
    )
    assert "hunter2" not in log.text


async def test_a_storm_of_the_same_trouble_is_one_line_and_then_its_number(
    log: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    observer = LogObserver(clock)
    async with lab() as pool:
        for _ in range(1000):
            observer.timed_out(pool, 5.0)
        assert len(told(log, "timed_out")) == 1
        clock.advance(QUIET)
        observer.timed_out(pool, 5.0)
    first, second = told(log, "timed_out")
    assert first.getMessage() == "pool 'fake': an acquire timed out after 5.00 s"
    assert second.getMessage().endswith("(999 more since the last line of this kind)")


async def test_different_troubles_do_not_hide_one_another(log: pytest.LogCaptureFixture) -> None:
    observer = LogObserver(Clock())
    async with lab() as pool:
        observer.refused(pool, "max_waiting")
        observer.refused(pool, "circuit_open")
        observer.lost(pool, True)
        observer.lost(pool, False)
    assert len(told(log, "refused")) == 2
    assert len(told(log, "lost")) == 2


async def test_a_nested_acquire_is_told_once_for_its_line(log: pytest.LogCaptureFixture) -> None:
    async with lab() as pool:
        pool.events.add(LogObserver())
        for _ in range(3):
            async with pool.acquire(), pool.acquire():
                pass
    (nested,) = told(log, "nested")
    assert "can end in a deadlock" in nested.getMessage()
    assert nested.getMessage().count(__file__) == 2


async def test_what_an_operator_did_is_told(log: pytest.LogCaptureFixture) -> None:
    async with lab() as pool:
        pool.events.add(LogObserver())
        pool.drain()
        pool.pause()
        pool.resume()
        pool.reset()
        pool.reconfigure(pool.config.replace(max_size=3))
    for event in ("drained", "paused", "resumed", "was_reset", "resized"):
        assert [record.levelno for record in told(log, event)] == [logging.INFO]


# -- signals ---------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Every signal that was sent, by its name."""
    found: list[tuple[str, dict[str, Any]]] = []
    receivers = []
    for name, signal in vars(signals).items():
        if isinstance(signal, Signal):

            def receive(signal: Signal, name: str = name, **details: Any) -> None:
                found.append((name, details))

            signal.connect(receive, weak=False)
            receivers.append((signal, receive))
    yield found
    for signal, receive in receivers:
        signal.disconnect(receive)


def names(heard: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [name for name, _ in heard]


async def test_a_connection_s_life_is_told_by_signals(
    heard: list[tuple[str, dict[str, Any]]],
) -> None:
    async with lab() as pool:
        pool.events.add(SignalBridge())
        async with pool.acquire():
            pass
        pool.server.kill_all()
        await quiet(pool)
    assert names(heard) == [
        "connection_opened",
        "connection_lost",
        "connection_closed",
        "pool_closed",
    ]
    _, opened = heard[0]
    assert opened["sender"] is PlainFakeBackend
    assert opened["alias"] == "fake"
    assert opened["pool"] is pool
    assert opened["seconds"] >= 0
    assert heard[1][1]["in_use"] is False
    assert heard[2][1]["reason"] == "lost"


async def test_operators_verbs_are_told_by_signals(
    heard: list[tuple[str, dict[str, Any]]],
) -> None:
    async with lab() as pool:
        pool.events.add(SignalBridge())
        pool.drain()
        pool.pause()
        pool.resume()
        pool.reset()
        pool.reconfigure(pool.config.replace(max_size=3))
    assert names(heard)[:5] == [
        "pool_drained",
        "pool_paused",
        "pool_resumed",
        "pool_reset",
        "pool_resized",
    ]


def test_every_event_but_those_of_single_acquires_has_a_signal() -> None:
    bridged = {name for name in vars(SignalBridge) if name in EVENTS}
    assert bridged == set(EVENTS) - {"acquired", "released", "cancelled", "gave_up"}


async def test_a_receiver_that_raises_is_logged_and_the_pool_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(**details: Any) -> None:
        raise RuntimeError("no")

    signals.connection_opened.connect(fail)
    async with lab() as pool:
        pool.events.add(SignalBridge())
        async with pool.acquire() as connection:
            await connection.query()
    signals.connection_opened.disconnect(fail)
    (record,) = [record for record in caplog.records if record.name == "poolapp.signals"]
    assert record.exc_info is not None
