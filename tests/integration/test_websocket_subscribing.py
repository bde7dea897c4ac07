"""Subscribers of one upstream: what they are told, and how many sockets that takes."""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import Any

import pytest

from poolapp import BackendUnavailable, PoolClosed, PoolTimeout, pools
from poolapp.backends.websocket import Gap
from poolapp.devservices.ports import free_port
from tests.feed import WEBSOCKET, Feed
from tests.real import Proxy, config_of, eventually, heard, pool_of

QUICK = {"linger": 0, "reconnect": 0.02}


def websocket_pool(url: str, options: Any = None, **settings: Any) -> Any:
    return pool_of(config_of(WEBSOCKET, url, options={**QUICK, **(options or {})}, **settings))


async def subscribed(feed: Feed, count: int = 1) -> None:
    """The server has that many connections open, after all that it lost."""
    await feed.until(lambda feed: len(feed.open) == count)


# -- sharing ---------------------------------------------------------------------------------------


async def test_all_subscribers_share_one_socket() -> None:
    async with Feed() as feed, websocket_pool(feed.url, max_size=1) as pool:
        everyone = [pool.subscribe() for _ in range(100)]
        await asyncio.gather(*(each.__aenter__() for each in everyone))
        assert pool.subscribers == 100
        feed.tell("text", b"bytes")
        for each in everyone:
            assert [await anext(each), await anext(each)] == ["text", b"bytes"]
            assert each.connected
        assert feed.accepted == 1
        assert pool.in_use == 1
        for each in everyone:
            each.leave()
        await subscribed(feed, 0)
        assert feed.goodbyes == [1000]
        assert pool.stats().closed == {"idle": 1}


async def test_it_lingers_for_the_next_subscriber() -> None:
    async with Feed() as feed, websocket_pool(feed.url, {"linger": 60}) as pool:
        for _ in range(5):
            async with pool.subscribe() as messages:
                feed.tell("x")
                assert await anext(messages) == "x"
        assert feed.accepted == 1
        assert pool.in_use == 1
        assert pool.subscribers == 0
    await feed.until(lambda feed: feed.goodbyes)


async def test_after_the_linger_time_there_is_no_socket() -> None:
    async with Feed() as feed, websocket_pool(feed.url, {"linger": 0.02}) as pool:
        async with pool.subscribe():
            await subscribed(feed, 1)
        await subscribed(feed, 0)
        assert pool.size == 0
        async with pool.subscribe() as messages:
            feed.tell("again")
            assert await anext(messages) == "again"


async def test_each_path_has_one_socket_of_the_same_budget() -> None:
    async with (
        Feed() as feed,
        websocket_pool(f"{feed.url}/all?key=1", max_size=2) as pool,
        pool.subscribe("eur?fresh=1") as one,
        pool.subscribe("/eur?fresh=1") as same,
        pool.subscribe(f"{feed.url}/usd") as other,
    ):
        paths = {each.request.path for each in feed.open if each.request}
        assert paths == {"/eur?key=1&fresh=1", "/usd?key=1"}
        assert feed.accepted == 2
        assert pool.subscribers == 3
        feed.tell("x")
        assert [await anext(each) for each in (one, same, other)] == ["x"] * 3
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0.1)
        told = [each for each in pools.info() if each.alias == pool.alias]
        assert sorted(each.in_use for each in told) == [0, 1, 1]
        pools.drain(pool.alias)
        for each in (one, same, other):
            assert isinstance(await anext(each), Gap)


async def test_closing_a_pool_closes_its_other_paths() -> None:
    async with Feed() as feed:
        async with websocket_pool(feed.url) as pool:
            subscription = pool.subscribe("/elsewhere")
            await subscription.__aenter__()
            await pool.close()
            assert [each async for each in subscription] == []
            with pytest.raises(PoolClosed):
                async with pool.subscribe("/another"):
                    pass
        await subscribed(feed, 0)
        assert [each for each in pools.info() if each.alias == pool.alias] == []


@pytest.mark.parametrize(
    "url", ["ws://other.example/x", "wss://127.0.0.1/x", "ws://127.0.0.1:1/x", "http://127.0.0.1/"]
)
async def test_another_server_needs_another_alias(url: str) -> None:
    """The password of LOCATION, and the headers of OPTIONS, are not for it."""
    async with Feed() as feed, websocket_pool(feed.url) as pool:
        with pytest.raises(ValueError, match="declare another alias"):
            async with pool.subscribe(url):
                pass
        assert feed.accepted == 0


# -- topics ----------------------------------------------------------------------------------------


async def test_topics_are_asked_for_and_told_apart() -> None:
    async def on_connect(connection: Any, topics: frozenset[Any]) -> None:
        for each in sorted(topics):
            await connection.send(f"subscribe {each}")

    def topic_of(message: Any) -> Any:
        return message.split()[0]

    options = {"on_connect": on_connect, "topic_of": topic_of}
    async with (
        Feed() as feed,
        websocket_pool(feed.url, options) as pool,
        pool.subscribe(topic="eur") as eur,
        pool.subscribe(topic="usd") as usd,
        pool.subscribe(topic="usd") as usd_too,
        pool.subscribe() as everything,
    ):
        await feed.until(lambda feed: len(feed.heard) == 2)
        assert feed.heard == ["subscribe eur", "subscribe usd"]
        feed.tell("eur 1", "usd 2", "gbp 3")
        assert await anext(eur) == "eur 1"
        assert [await anext(usd), await anext(usd_too)] == ["usd 2"] * 2
        assert [await anext(everything) for _ in range(3)] == ["eur 1", "usd 2", "gbp 3"]
        usd_too.leave()
        eur.leave()
        await feed.close_all()
        await feed.until(lambda feed: len(feed.heard) == 3)
        assert feed.heard[2:] == ["subscribe usd"]
        assert isinstance(await anext(usd), Gap)
        # One that comes back to a topic that nobody listened to meanwhile is asked for again.
        async with pool.subscribe(topic="eur"):
            await feed.until(lambda feed: len(feed.heard) == 4)
            assert feed.heard[3:] == ["subscribe eur"]


async def test_garbage_that_has_no_topic_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        Feed() as feed,
        websocket_pool(feed.url, {"topic_of": "json.loads"}) as pool,
        pool.subscribe(topic=5) as five,
        pool.subscribe() as everything,
    ):
        feed.tell("{no json", "{neither", "5")
        assert await anext(five) == "5"
        assert [await anext(everything) for _ in range(3)] == ["{no json", "{neither", "5"]
        assert pool.stats().lost == 0
    assert len([each for each in caplog.records if "topic_of" in each.message]) == 1


async def test_a_topic_needs_topic_of() -> None:
    async with Feed() as feed, websocket_pool(feed.url) as pool:
        with pytest.raises(ValueError, match="topic_of"):
            pool.subscribe(topic="eur")


async def test_on_connect_that_fails_is_told_to_who_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def on_connect(connection: Any, topics: Any) -> None:
        raise RuntimeError("not in the mood")

    async with Feed() as feed, websocket_pool(feed.url, {"on_connect": on_connect}) as pool:
        with pytest.raises(BackendUnavailable, match="not in the mood"):
            async with pool.subscribe():
                pass
        await subscribed(feed, 0)
        assert pool.in_use == 0


# -- coming back -----------------------------------------------------------------------------------


async def test_ten_closes_leave_one_socket_each_time() -> None:
    """Scenario 43."""
    async with Feed() as feed, websocket_pool(feed.url, max_size=4) as pool:
        async with pool.subscribe() as one, pool.subscribe() as two:
            for number in range(10):
                before = feed.accepted
                await feed.close_all([1000, 1001, 1011][number % 3])
                await feed.until(lambda feed, before=before: feed.accepted == before + 1)
                assert len(feed.open) == 1
                for each in (one, two):
                    gap = await anext(each)
                    assert isinstance(gap, Gap)
                    assert str([1000, 1001, 1011][number % 3]) in gap.reason
                feed.tell(str(number))
                assert [await anext(one), await anext(two)] == [str(number)] * 2
                assert pool.in_use == pool.size == 1
            assert feed.most == 1
        await subscribed(feed, 0)


@pytest.mark.parametrize("fault", ["reset", "garbage", "too large", "invalid text"])
async def test_other_ends_are_gaps_too(fault: str) -> None:
    async with (
        Feed() as feed,
        websocket_pool(feed.url, {"max_size": 100_000, "compression": None}) as pool,
        pool.subscribe() as messages,
    ):
        feed.tell("before")
        assert await anext(messages) == "before"
        now = datetime.datetime.now(datetime.UTC)
        if fault == "reset":
            feed.cut()
        elif fault == "garbage":
            feed.babble(b"\xff\xff\xff\xffthis is no frame")
        elif fault == "too large":
            feed.tell("x" * 100_001)
        else:
            feed.babble(b"\x81\x02\xc3\x28")
        gap = await anext(messages)
        assert isinstance(gap, Gap)
        assert gap.reason.startswith("ConnectionClosedError")
        assert gap.since <= now
        await subscribed(feed, 1)
        feed.tell("after")
        assert await anext(messages) == "after"
        assert feed.accepted == 2


async def test_a_black_hole_is_a_gap_too() -> None:
    """No FIN comes: the heartbeat notices."""
    options = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
    async with Feed() as feed, Proxy("127.0.0.1", feed.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}"
        async with websocket_pool(url, options, max_size=1) as pool, pool.subscribe() as messages:
            feed.tell("before")
            assert await anext(messages) == "before"
            proxy.forget()
            gap = await anext(messages)
            assert isinstance(gap, Gap)
            assert "keepalive ping timeout" in gap.reason
            assert messages.connected
            assert pool.stats().latency is None or pool.stats().latency > 0
            await feed.until(lambda feed: feed.accepted == 2)
            feed.open[-1].transport.write(b"\x81\x05after")
            assert await anext(messages) == "after"


async def test_a_restart_of_the_server_is_survived() -> None:
    """Scenario 20; the reconnects are not in step with one another and not in a hurry."""
    async with Feed() as feed, websocket_pool(feed.url) as pool, pool.subscribe() as messages:
        with heard(pool.alias) as events:
            await feed.stop()
            await events.until(lambda: len(events.connect_errors) >= 2)
            assert not messages.connected
        await feed.start()
        gap = await anext(messages)
        assert isinstance(gap, Gap)
        assert messages.connected
        assert feed.accepted == 2
        assert pool.in_use == 1


async def test_a_server_that_hangs_up_at_once_is_not_hammered() -> None:
    async with Feed() as feed:
        options = {"reconnect": 600.0}
        async with websocket_pool(feed.url, options) as pool, pool.subscribe():
            feed.hang_up = 1013
            upstream = pool._upstream
            await feed.close_all()
            ceilings = []
            for number in range(2, 5):
                await feed.until(lambda feed, number=number: feed.accepted == number)
                ceilings.append(upstream._ceiling)
            assert ceilings == sorted(ceilings)
            assert ceilings[-1] >= 0.4


async def test_who_comes_during_an_outage_is_told() -> None:
    async with Feed() as feed:
        settings: dict[str, Any] = {"acquire_timeout": 0.2, "breaker": None}
        async with (
            websocket_pool(feed.url, **settings) as pool,
            pool.subscribe() as patient,
        ):
            await feed.stop()
            with pytest.raises((BackendUnavailable, PoolTimeout), match="Connect call failed"):
                async with pool.subscribe():
                    pass
            await feed.start()
            assert isinstance(await anext(patient), Gap)


async def test_without_reconnect_the_loss_is_told() -> None:
    async with (
        Feed() as feed,
        websocket_pool(feed.url, {"reconnect": False}) as pool,
        pool.subscribe() as messages,
    ):
        feed.tell("before")
        await feed.close_all(1001)
        assert await anext(messages) == "before"
        with pytest.raises(BackendUnavailable, match="1001"):
            await anext(messages)
        async with pool.subscribe() as again:
            feed.tell("after")
            assert await anext(again) == "after"


@pytest.mark.parametrize("verb", ["drain", "reset"])
async def test_operators_have_the_upstream_replaced(verb: str) -> None:
    async with Feed() as feed, websocket_pool(feed.url) as pool, pool.subscribe() as messages:
        getattr(pools, verb)(pool.alias)
        gap = await anext(messages)
        assert isinstance(gap, Gap)
        assert gap.reason.startswith("the pool was")
        await feed.until(lambda feed: feed.accepted == 2 and len(feed.open) == 1)


async def test_a_changed_password_reaches_the_upstream() -> None:
    """Scenario 37 and the rotation of credentials: LOCATION may be a function."""
    async with Feed() as feed:
        (first,) = config_of(WEBSOCKET, f"{feed.url}/?token=one").where()
        (second,) = config_of(WEBSOCKET, f"{feed.url}/?token=two").where()
        now = [first]
        config = config_of(WEBSOCKET, options=QUICK).replace(locations=lambda: tuple(now))
        async with (
            pool_of(config) as pool,
            pool.subscribe() as messages,
            pool.subscribe("/x") as others,
        ):
            now[:] = [second]
            pools.drain(pool.alias)
            assert isinstance(await anext(messages), Gap)
            assert isinstance(await anext(others), Gap)
            await subscribed(feed, 2)
            paths = {each.request.path for each in feed.open if each.request}
            assert paths == {"/?token=two", "/x?token=two"}


# -- slow readers, large messages ------------------------------------------------------------------


async def test_a_burst_is_not_lost_by_who_keeps_up() -> None:
    """A packet may hold far more messages than fit into a queue."""
    async with (
        Feed(compression=None) as feed,
        websocket_pool(feed.url, {"compression": None}) as pool,
        pool.subscribe(limit=20) as quick,
        pool.subscribe(limit=20) as slow,
    ):
        feed.tell(*map(str, range(2000)))
        assert [await anext(quick) for _ in range(2000)] == list(map(str, range(2000)))
        assert quick.dropped == 0
        assert slow.dropped == 1980
        assert await anext(slow) == "1980"


async def test_memory_is_bounded_with_large_messages() -> None:
    """Messages of 1 MB to a subscriber who does not read."""
    async with (
        Feed(compression=None) as feed,
        websocket_pool(feed.url, {"compression": None, "max_size": 2**21}) as pool,
        pool.subscribe(limit=100) as slow,
        pool.subscribe(limit=100) as quick,
    ):
        for number in range(30):
            feed.tell(str(number % 10) * 2**20)
            assert (await anext(quick))[0] == str(number % 10)
        assert slow.dropped == 25
        assert sum(map(len, slow._waiting)) <= 100 * 65536


# -- cancelled, closed -----------------------------------------------------------------------------


async def test_a_cancel_during_the_connect_leaves_nothing() -> None:
    """Scenario 3."""
    async with Feed() as feed, Proxy("127.0.0.1", feed.port) as proxy:
        proxy.fall_silent()
        async with websocket_pool(f"ws://127.0.0.1:{proxy.port}") as pool:
            joining = asyncio.create_task(pool.subscribe().__aenter__())
            await proxy.swallowed.wait()
            joining.cancel()
            with pytest.raises(asyncio.CancelledError):
                await joining
            proxy.speak()
            async with pool.subscribe() as messages:
                feed.tell("x")
                assert await anext(messages) == "x"
            await subscribed(feed, 0)
            assert pool.in_use == 0


async def test_closing_the_pool_ends_the_iteration() -> None:
    """Scenario 25: the last messages are read first, no holder is cut."""
    async with Feed() as feed:
        config = config_of(WEBSOCKET, feed.url, options=QUICK)
        async with pool_of(config) as pool, pool.subscribe() as messages:
            feed.tell("last")
            await eventually(lambda: arrived(messages))
            await pool.close()
            assert [each async for each in messages] == ["last"]
            assert pool.stats().closed == {"shutdown": 1}
            with pytest.raises(PoolClosed):
                async with pool.subscribe():
                    pass
        await feed.until(lambda feed: feed.goodbyes == [1000])


async def arrived(messages: Any) -> bool:
    return bool(messages._waiting)


async def test_a_subscription_is_no_leak_and_belongs_to_nobodys_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "poolapp")
    async with Feed() as feed, websocket_pool(feed.url, leak_after=0.0) as pool:

        async def first() -> Any:
            subscription = pool.subscribe()
            return await subscription.__aenter__()

        messages = await asyncio.create_task(first())
        pool.sweep()
        assert pool.stats().leaked == 0
        (lease,) = pool.leases()
        assert "in test_a_subscription_is_no_leak" in lease.site
        feed.tell("x")
        assert await anext(messages) == "x"
        messages.leave()


async def test_an_outage_at_the_first_subscribe_leaves_nothing() -> None:
    async with websocket_pool(f"ws://127.0.0.1:{free_port()}", acquire_timeout=0.2) as pool:
        for _ in range(2):
            with pytest.raises((BackendUnavailable, PoolTimeout)):
                async with pool.subscribe():
                    pass
        await eventually(lambda: forgotten(pool))
        assert pool.in_use == 0


async def forgotten(pool: Any) -> bool:
    return pool._upstream is None
