"""The verdict on a pool, from what is known and from a probe that borrows nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from poolapp.core.asked import AskedLocations
from poolapp.core.config import Location
from poolapp.core.registry import Registry
from poolapp.core.stats import PoolStats
from poolapp.monitoring.health import Health, Monitor, judge, overall
from poolapp.monitoring.probe import Probe, probe
from poolapp.monitoring.rates import PERIOD, SAMPLES, ErrorRates, Tally
from tests.fake import FakeServer, config_of, lab, make_pool
from tests.virtual import Clock, turns, virtual

WELL = Probe(status="healthy")
DOWN = Probe(status="unhealthy", message="no connection is possible (ConnectionRefusedError)")
FULL = Probe(status="unhealthy", message="no connection is possible", turned_away=True)


@pytest.fixture(scope="module")
def calm() -> PoolStats:
    """A pool at rest."""

    async def look() -> PoolStats:
        pool = make_pool()
        stats = pool.stats()
        await pool.close()
        return stats

    return asyncio.run(look())


def changed(stats: PoolStats, **values: Any) -> PoolStats:
    return PoolStats(**{**stats.as_dict(), **values})


def verdict(*stats: PoolStats, tally: Tally | None = None, probe: Probe | None = WELL) -> Health:
    return judge("shop", stats, tally or Tally(), probe)


# -- judging ---------------------------------------------------------------------------------------


def test_a_pool_at_rest_whose_server_answers_is_healthy(calm: PoolStats) -> None:
    assert verdict(calm) == Health(alias="shop", status="healthy")


def test_without_pool_and_probe_nothing_bad_is_known() -> None:
    assert verdict(probe=None).status == "healthy"


def test_a_server_that_can_not_be_reached_is_unhealthy(calm: PoolStats) -> None:
    found = verdict(calm, probe=DOWN)
    assert found.status == "unhealthy"
    assert found.reasons == ("No connection is possible (ConnectionRefusedError).",)


def test_a_server_that_is_full_is_degraded_while_open_connections_serve(calm: PoolStats) -> None:
    found = verdict(changed(calm, in_use=3, idle=1), probe=FULL)
    assert found.status == "degraded"
    assert found.reasons == ("The server lets no more connections in; 4 open ones serve.",)
    assert verdict(calm, probe=FULL).status == "unhealthy"
    assert verdict(changed(calm, in_use=3), probe=DOWN).status == "unhealthy"


def test_what_the_server_says_of_itself_counts(calm: PoolStats) -> None:
    yellow = Probe(status="degraded", message="cluster status is yellow")
    assert verdict(calm, probe=yellow).reasons == ("Cluster status is yellow.",)
    assert verdict(calm, probe=Probe(status="degraded")).status == "degraded"


def test_an_open_circuit_is_unhealthy_until_the_server_answers_a_probe(calm: PoolStats) -> None:
    broken = changed(calm, breaker_open=True, last_error="OSError: no")
    assert verdict(broken, probe=None).status == "unhealthy"
    assert verdict(broken, probe=DOWN).status == "unhealthy"
    # Else no request would come any more that could close it.
    assert verdict(broken, probe=WELL).status == "degraded"


def test_a_failed_connect_is_degraded_and_told_without_its_text(calm: PoolStats) -> None:
    found = verdict(changed(calm, last_error="OSError: [Errno 111] ('10.0.0.5', 5432)"))
    assert found.status == "degraded"
    assert found.reasons == ("The last connect failed (OSError).",)
    assert "10.0.0.5" not in str(found.as_dict())
    assert "10.0.0.5" in found.error


def test_a_saturated_pool_is_degraded_over_all_its_loops(calm: PoolStats) -> None:
    loops = [changed(calm, in_use=6), changed(calm, in_use=4, waiting=2)]
    found = verdict(*loops)
    assert found.status == "degraded"
    assert found.reasons == ("All 10 connections are in use and 2 acquires wait.",)


def test_a_full_pool_that_nobody_waits_for_is_healthy(calm: PoolStats) -> None:
    assert verdict(changed(calm, in_use=10)).status == "healthy"


def test_a_short_queue_for_connections_that_come_is_healthy(calm: PoolStats) -> None:
    assert verdict(changed(calm, in_use=3, waiting=1)).status == "healthy"


def test_a_paused_pool_is_degraded(calm: PoolStats) -> None:
    assert verdict(changed(calm, state="paused")).reasons == ("The pool is paused.",)


@pytest.mark.parametrize(
    ("acquires", "failed", "status"),
    [
        (1000, 0, "healthy"),
        (1000, 50, "healthy"),
        (1000, 51, "degraded"),
        (1000, 100, "degraded"),
        (1000, 101, "unhealthy"),
        (19, 19, "healthy"),
        (20, 20, "unhealthy"),
    ],
)
def test_the_share_of_acquires_that_failed(
    calm: PoolStats, acquires: int, failed: int, status: str
) -> None:
    assert verdict(calm, tally=Tally(acquires, failed)).status == status


def test_all_reasons_are_told_the_worst_first(calm: PoolStats) -> None:
    found = verdict(changed(calm, state="paused"), tally=Tally(100, 50), probe=DOWN)
    assert found.status == "unhealthy"
    assert found.reasons == (
        "No connection is possible (ConnectionRefusedError).",
        "50.0% of the last minute's 100 acquires failed.",
        "The pool is paused.",
    )


def test_the_worst_alias_decides() -> None:
    def health(status: Any) -> Health:
        return Health(alias="x", status=status)

    assert overall([]) == "healthy"
    assert overall([health("healthy"), health("degraded")]) == "degraded"
    assert overall([health("unhealthy"), health("degraded")]) == "unhealthy"


# -- the sliding window ----------------------------------------------------------------------------


@asynccontextmanager
async def watched(**settings: Any) -> AsyncIterator[tuple[Any, ErrorRates]]:
    async with lab(**settings) as pool:
        rates = ErrorRates(pool.loop.time)
        pool.events.add(rates)
        rates.pool_opened(pool)
        yield pool, rates


async def use(pool: Any, times: int) -> None:
    for _ in range(times):
        async with pool.acquire():
            pass


@virtual
async def test_acquires_and_failures_of_the_last_minute_are_counted() -> None:
    async with watched(max_size=1) as (pool, rates):
        await use(pool, 7)
        async with pool.acquire():
            with pytest.raises(TimeoutError):
                await pool.acquire(timeout=1)
        assert rates.of("fake") == Tally(9, 1)
        assert rates.of("other") == Tally(0, 0)


@virtual
async def test_what_is_older_than_the_window_is_forgotten() -> None:
    async with watched() as (pool, rates):
        await use(pool, 5)
        await asyncio.sleep(PERIOD * SAMPLES / 2)
        await use(pool, 3)
        assert rates.of("fake").acquires == 8
        await asyncio.sleep(PERIOD * SAMPLES / 2 + 1)
        assert rates.of("fake").acquires == 3
        await asyncio.sleep(PERIOD * SAMPLES)
        assert rates.of("fake").acquires == 0


@virtual
async def test_a_pool_that_was_closed_counts_until_the_window_has_passed() -> None:
    async with watched() as (pool, rates):
        await use(pool, 5)
        await pool.close()
        assert rates.of("fake").acquires == 5
        await asyncio.sleep(PERIOD * SAMPLES + 1)
        assert rates.of("fake").acquires == 0


def test_thousands_of_short_loops_leave_a_handful_of_numbers() -> None:
    clock = Clock()
    rates = ErrorRates(clock)

    async def request() -> None:
        pool = make_pool()
        pool.events.add(rates)
        rates.pool_opened(pool)
        await use(pool, 1)
        await pool.close()

    for _ in range(200):
        asyncio.run(request())
        clock.advance(0.1)
    assert rates.of("fake").acquires == 200
    assert len(rates._ended["fake"]) <= SAMPLES
    assert not rates._samples


# -- probing ---------------------------------------------------------------------------------------


async def test_a_probe_takes_no_connection_of_the_pool() -> None:
    async with lab(max_size=1) as pool, pool.acquire():
        found = await probe(pool)
        assert found.status == "healthy"
        assert (pool.size, pool.in_use, pool.waiting) == (1, 1, 0)
        assert pool.server.count("close") == 1
        assert pool.counters.connected == 1


async def test_a_refused_connect_is_unhealthy_and_told() -> None:
    async with lab() as pool:
        pool.server.create.fail(times=1)
        found = await probe(pool)
        assert (found.status, found.turned_away) == ("unhealthy", False)
        assert found.message == "no connection is possible (ConnectionRefusedError)"
        assert found.error == "ConnectionRefusedError: connection refused"


async def test_a_server_that_turns_the_probe_away_has_answered() -> None:
    async with lab() as pool:
        pool.server.create.fail(RuntimeError("too many clients"), times=1)
        assert (await probe(pool)).turned_away


@virtual
async def test_a_silent_server_is_unhealthy_after_connect_timeout() -> None:
    async with lab(connect_timeout=3) as pool:
        pool.server.create.never()
        before = pool.clock()
        found = await probe(pool)
        assert pool.clock() - before == pytest.approx(3)
        assert found.error == "TimeoutError: no answer within 3 s"


@virtual
async def test_a_server_that_connects_and_says_nothing_is_unhealthy_after_check_timeout() -> None:
    async with lab(check_timeout=2) as pool:
        pool.server.check.never()
        found = await probe(pool)
        assert found.status == "unhealthy"
        assert found.message == "the server does not answer as it should (TimeoutError)"
        assert found.connect_seconds is not None
        assert pool.server.open == []


@virtual
async def test_a_goodbye_that_hangs_ends_and_the_connection_is_cut() -> None:
    async with lab(close_timeout=1) as pool:
        pool.server.close.never()
        assert (await probe(pool)).status == "healthy"
        assert pool.server.open == []


async def test_no_secret_is_in_the_error_of_a_probe() -> None:
    options = {"password": "hunter2"}
    async with lab(options=options) as pool:
        pool.server.create.fail(RuntimeError("bad password hunter2"), times=1)
        assert (await probe(pool)).error == "RuntimeError: bad password ***"


# -- readiness -------------------------------------------------------------------------------------


class Desk:
    """A registry with one fake alias, and its monitor."""

    def __init__(self, clock: Callable[[], float], **settings: Any) -> None:
        self.server = FakeServer()
        self.registry = Registry()
        self.monitor = Monitor(self.registry, clock)
        for observer in (self.monitor.rates, self.monitor.prober):
            self.registry.observe(observer)
        self.registry.configure({"fake": config_of(server=self.server, **settings)})

    async def status(self) -> str:
        return (await self.monitor.check("fake")).status


@asynccontextmanager
async def desk(**settings: Any) -> AsyncIterator[Desk]:
    made = Desk(asyncio.get_running_loop().time, **settings)
    async with made.registry:
        yield made


async def test_many_who_ask_at_once_cause_one_probe() -> None:
    async with desk() as it:
        assert set(await asyncio.gather(*(it.status() for _ in range(50)))) == {"healthy"}
        assert it.server.created == 1


@virtual
async def test_good_news_is_believed_for_the_interval() -> None:
    async with desk(health_interval=60.0) as it:
        await it.status()
        await asyncio.sleep(59)
        await it.status()
        assert it.server.created == 1
        await asyncio.sleep(2)
        await it.status()
        assert it.server.created == 2


async def test_without_an_interval_nothing_is_probed() -> None:
    async with desk(health_interval=None) as it:
        it.server.create.fail()
        assert await it.status() == "healthy"
        assert it.server.asked_for == []


async def test_a_probe_asks_where_to_connect_to() -> None:
    where = AskedLocations(lambda: (Location.parse("fake://a"),))
    async with desk(locations=where) as it:
        assert await it.status() == "healthy"
        assert it.server.asked_for == [(Location.parse("fake://a"),)]


@virtual
async def test_bad_news_is_believed_for_a_short_time() -> None:
    async with desk(health_interval=60.0) as it:
        it.server.create.fail(times=1)
        assert await it.status() == "unhealthy"
        assert await it.status() == "unhealthy"
        await asyncio.sleep(6)
        assert await it.status() == "healthy"


async def test_a_lost_connection_puts_good_news_in_doubt() -> None:
    async with desk() as it:
        assert await it.status() == "healthy"
        async with it.registry["fake"].acquire():
            pass
        it.server.kill_all()
        it.server.create.fail()
        assert await it.status() == "unhealthy"


async def test_one_who_stops_waiting_does_not_end_the_probe_of_the_others() -> None:
    async with desk() as it:
        it.server.create.hold()
        impatient, patient = (asyncio.ensure_future(it.status()) for _ in range(2))
        await turns(5)
        assert it.server.create.inside == 1
        impatient.cancel()
        await asyncio.wait([impatient])
        it.server.create.open()
        assert await patient == "healthy"
        assert it.server.created == 1


async def test_a_new_configuration_is_probed_anew() -> None:
    async with desk() as it:
        await it.status()
        other = FakeServer()
        other.create.fail()
        it.registry.configure({"fake": config_of(server=other)})
        assert await it.status() == "unhealthy"


async def test_readiness_answers_while_all_are_borrowed_and_others_wait() -> None:
    async with desk(max_size=1) as it, it.registry["fake"].acquire():
        waiter = asyncio.ensure_future(it.registry["fake"].acquire()._acquire())
        await turns(5)
        found = await it.monitor.check("fake")
        assert found.status == "degraded"
        assert found.reasons == ("The one is in use and 1 acquire waits.",)
        waiter.cancel()
        await asyncio.wait([waiter])


@virtual
async def test_an_outage_and_its_end_are_seen_without_any_request() -> None:
    settings = {"breaker": None, "acquire_timeout": 1.0}
    async with desk(**settings) as it:
        it.server.create.fail()
        with pytest.raises(TimeoutError):
            await it.registry["fake"].acquire()
        assert await it.status() == "unhealthy"
        it.server.create.ok()
        await asyncio.sleep(6)
        assert await it.status() == "degraded"  # its own last connect failed
        async with it.registry["fake"].acquire():
            pass
        assert await it.status() == "healthy"


async def test_what_is_known_is_told_without_probing() -> None:
    async with desk() as it:
        assert it.monitor.known("fake").status == "healthy"
        assert it.server.created == 0
        await it.status()
        it.registry["fake"].pause()
        assert it.monitor.known("fake").reasons == ("The pool is paused.",)


async def test_a_faulty_alias_is_unhealthy_and_says_where_to_look() -> None:
    async with desk() as it:
        it.registry.configure({}, faults={"bad": "POOLS['bad'] is wrong."})
        (found,) = await it.monitor.check_all()
        assert (found.alias, found.status) == ("bad", "unhealthy")
        assert found.reasons == ("Its settings are wrong: `manage.py check` tells what.",)
        assert it.monitor.known("bad") == found


@virtual
async def test_a_forked_child_does_not_count_what_its_parent_did() -> None:
    async with watched(max_size=1) as (pool, rates):
        await use(pool, 5)
        rates.forget()
        assert rates.of("fake") == Tally()
