"""WebSocket: which connections are lent again, and how they end."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from poolapp import BackendUnavailable, PoolClosed, PoolTimeout, pools
from tests.feed import WEBSOCKET, Feed, echo
from tests.real import Proxy, config_of, eventually, heard, pool_of


def websocket_pool(url: str, **settings: Any) -> Any:
    return pool_of(config_of(WEBSOCKET, url, **settings))


async def ask(pool: Any, question: str) -> Any:
    async with pool.acquire() as connection:
        await connection.send(question)
        return await connection.recv()


# -- the next holder -------------------------------------------------------------------------------


async def test_a_conversation_that_has_ended_leaves_the_connection_to_the_next() -> None:
    async with Feed(answer=echo) as feed, websocket_pool(feed.url) as pool:
        for number in range(5):
            assert await ask(pool, str(number)) == str(number)
        assert feed.accepted == 1


async def test_an_answer_nobody_read_reaches_nobody_else() -> None:
    """Scenario 23."""
    async with Feed(answer=echo) as feed, websocket_pool(feed.url, max_size=1) as pool:
        async with pool.acquire() as connection:
            await connection.send("for whom?")
        assert await ask(pool, "mine") == "mine"
        assert pool.stats().closed == {"dirty": 1}
        await feed.until(lambda feed: feed.goodbyes == [1000])


@pytest.mark.parametrize("how", ["cancelled", "error"])
async def test_a_conversation_broken_off_ends_the_connection(how: str) -> None:
    """Scenario 23: the answer may be on its way, and would come after any check."""
    gate = asyncio.Event()

    async def slow_echo(connection: Any, message: Any) -> None:
        if message == "slow":
            await gate.wait()
        await connection.send(message)

    async with Feed(answer=slow_echo) as feed, websocket_pool(feed.url, max_size=1) as pool:
        if how == "error":
            with pytest.raises(KeyError):
                async with pool.acquire() as connection:
                    await connection.send("slow")
                    raise KeyError("x")
        else:
            asking = asyncio.create_task(ask(pool, "slow"))
            await feed.until(lambda feed: feed.heard == ["slow"])
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        gate.set()
        assert await ask(pool, "mine") == "mine"
        assert pool.in_use == 0


async def test_a_clean_lease_saves_the_round_trip() -> None:
    async with Feed(answer=echo) as feed, websocket_pool(feed.url) as pool:
        async with pool.acquire(clean=True) as connection:
            await connection.send("a")
            assert await connection.recv() == "a"
        assert pool.idle == 1
        assert feed.accepted == 1


async def test_what_came_while_nobody_held_it_is_not_waited_for() -> None:
    """More messages than the driver keeps have it stop reading, pongs included: the borrower gets
    a new connection at once, not after CHECK_TIMEOUT."""
    async with (
        Feed(answer=echo) as feed,
        websocket_pool(feed.url, check_after=0.0, check_timeout=60.0) as pool,
    ):
        await pool.ping()
        feed.tell(*map(str, range(100)))
        (entry,) = pool.idle_entries

        async def arrived() -> bool:
            return len(entry.connection.recv_messages.frames) > 16

        await eventually(arrived)
        assert await ask(pool, "mine") == "mine"
        assert feed.accepted == 2


# -- short cuts ------------------------------------------------------------------------------------


async def test_send_and_receive() -> None:
    async with Feed() as feed, websocket_pool(feed.url, max_size=1) as pool:
        await pool.send("text")
        await pool.send(b"bytes")
        await feed.until(lambda feed: feed.heard == ["text", b"bytes"])
        feed.tell("one", "two")
        assert [await pool.receive(), await pool.receive()] == ["one", "two"]
        assert feed.accepted == 1


async def test_a_message_is_str_or_bytes() -> None:
    async with Feed() as feed, websocket_pool(feed.url) as pool:
        with pytest.raises(TypeError, match="str or bytes, not 'dict'"):
            pool.send({"no": "dict"})
        assert feed.accepted == 0


async def test_a_connection_lost_meanwhile_is_backend_unavailable() -> None:
    """Scenario 19: the error reaches the holder, the slot comes back."""
    async with Feed() as feed, websocket_pool(feed.url, max_size=1) as pool:
        receiving = asyncio.create_task(pool.receive())
        await feed.until(lambda feed: feed.open)
        feed.cut()
        with pytest.raises(BackendUnavailable) as info:
            await receiving
        assert isinstance(info.value.__cause__, ConnectionClosed)
        await pool.send("again")
        assert pool.in_use == 0


async def test_they_cross_to_the_pool_loop() -> None:
    async with Feed() as feed:
        config = config_of(WEBSOCKET, feed.url, loops="shared", max_size=1)
        async with pool_of(config) as pool:
            await asyncio.gather(*(pool.send(str(each)) for each in range(5)))
            await feed.until(lambda feed: len(feed.heard) == 5)
            assert pool.size == 0
            assert feed.accepted == 1


# -- connections that break ------------------------------------------------------------------------


async def test_one_that_goes_away_while_idle_leaves_the_pool() -> None:
    """Scenario 18: no borrower sees an error."""
    async with Feed(answer=echo) as feed, websocket_pool(feed.url, check_after=60) as pool:
        held = [await pool.acquire() for _ in range(4)]
        for lease in held:
            lease.release()
        await eventually_idle(pool, 4)
        with heard(pool.alias) as events:
            feed.cut()
            await events.until(lambda: events.lost_count == 4)
        assert pool.size == 0
        assert [await ask(pool, str(each)) for each in range(8)] == list("01234567")


async def eventually_idle(pool: Any, count: int) -> None:
    async def idle() -> bool:
        return bool(pool.idle == count)

    await eventually(idle)


async def test_killed_while_borrowed() -> None:
    """Scenario 19."""
    async with Feed(answer=echo) as feed, websocket_pool(feed.url, max_size=1) as pool:
        with pytest.raises(ConnectionClosed):
            async with pool.acquire() as connection:
                feed.cut()
                await connection.recv()
        assert await ask(pool, "mine") == "mine"
        assert pool.in_use == 0


async def test_a_restart_under_load_costs_no_slot() -> None:
    """Scenario 20."""
    async with Feed(answer=echo) as feed:
        settings: dict[str, Any] = {"max_size": 4, "acquire_timeout": 1.0, "breaker": None}
        async with websocket_pool(feed.url, **settings) as pool:
            done = asyncio.Event()
            errors = 0

            async def work() -> None:
                nonlocal errors
                while not done.is_set():
                    try:
                        await ask(pool, "x")
                    except (ConnectionClosed, BackendUnavailable, PoolTimeout):
                        errors += 1
                        await asyncio.sleep(0)

            working = [asyncio.create_task(work()) for _ in range(12)]
            await feed.until(lambda feed: len(feed.heard) > 50)
            await feed.stop()
            before = feed.accepted
            await feed.start()
            heard_before = len(feed.heard)
            await feed.until(lambda feed: len(feed.heard) > heard_before + 50)
            done.set()
            await asyncio.gather(*working)
            assert errors
            assert feed.most <= 4
            assert feed.accepted - before <= 4
            held = [await pool.acquire() for _ in range(4)]
            for lease in held:
                lease.release()


async def test_a_black_hole_is_noticed_by_the_check() -> None:
    """Scenario 22: it ends at CHECK_TIMEOUT, and the borrower gets another connection."""
    async with Feed(answer=echo) as feed, Proxy("127.0.0.1", feed.port) as proxy:
        settings: dict[str, Any] = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.1}
        async with websocket_pool(f"ws://127.0.0.1:{proxy.port}", **settings) as pool:
            assert await ask(pool, "a") == "a"
            await eventually_idle(pool, 1)
            proxy.fall_silent()
            with heard(pool.alias) as events:
                asking = asyncio.create_task(ask(pool, "b"))
                await events.until(lambda: events.lost_count == 1)
                proxy.speak()
                assert await asking == "b"


async def test_a_black_hole_is_noticed_by_the_heartbeat() -> None:
    """Nobody asks anything of the connection, and no FIN comes."""
    async with Feed() as feed, Proxy("127.0.0.1", feed.port) as proxy:
        options = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
        async with websocket_pool(f"ws://127.0.0.1:{proxy.port}", options=options) as pool:
            await pool.ping()

            async def measured() -> bool:
                return pool.stats().latency is not None

            await eventually(measured)
            with heard(pool.alias) as events:
                proxy.fall_silent()
                await events.until(lambda: events.lost_count == 1)
            assert pool.size == 0


async def test_the_heartbeat_tells_the_latency() -> None:
    async with Feed() as feed, websocket_pool(feed.url) as pool:
        assert pool.stats().latency is None
        await pool.ping()
        assert 0 < pool.stats().latency < 10
        assert pool.stats().as_dict()["latency"] == pool.stats().latency


# -- goodbyes --------------------------------------------------------------------------------------


async def test_the_pool_says_goodbye() -> None:
    async with Feed() as feed:
        async with websocket_pool(feed.url) as pool:
            await pool.ping()
        await feed.until(lambda feed: feed.goodbyes == [1000])


async def test_a_goodbye_gets_through_messages_that_nobody_reads() -> None:
    async with Feed() as feed:
        async with websocket_pool(feed.url, check_timeout=60.0) as pool:
            await pool.ping()
            feed.tell(*["x" * 1000] * 500)
            (entry,) = pool.idle_entries

            async def arrived() -> bool:
                return len(entry.connection.recv_messages.frames) > 16

            await eventually(arrived)
        await feed.until(lambda feed: feed.goodbyes == [1000])


async def test_a_goodbye_that_nobody_answers_ends_at_check_timeout() -> None:
    async with Feed() as feed, Proxy("127.0.0.1", feed.port) as proxy:
        settings: dict[str, Any] = {"check_timeout": 0.1, "close_timeout": 600.0}
        async with websocket_pool(f"ws://127.0.0.1:{proxy.port}", **settings) as pool:
            await pool.ping()
            proxy.fall_silent()
            with heard(pool.alias) as events:
                pool.drain()
                await events.until(lambda: events.closed_because == ["drained"])


async def test_closing_waits_for_holders_and_then_cuts() -> None:
    """Scenario 25."""
    async with Feed(answer=echo) as feed:
        config = config_of(WEBSOCKET, feed.url, max_size=1)
        pools.register(config.alias, config)
        pool = pools[config.alias]
        lease = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire(timeout=60)._acquire())
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.close(timeout=0.05))
        with pytest.raises(PoolClosed):
            await waiting
        await closing
        await feed.until(lambda feed: not feed.open)
        with pytest.raises(ConnectionClosed):
            await lease.connection.recv()
        await pools.remove(config.alias)


async def test_a_reset_that_hangs_loses_the_connection_not_the_slot() -> None:
    """Scenario 24."""
    async with Feed(answer=echo) as feed, Proxy("127.0.0.1", feed.port) as proxy:
        settings: dict[str, Any] = {"max_size": 1, "check_timeout": 0.1, "close_timeout": 1.0}
        async with websocket_pool(f"ws://127.0.0.1:{proxy.port}", **settings) as pool:
            lease = await pool.acquire()
            proxy.fall_silent()
            with heard(pool.alias) as events:
                lease.release()
                await events.until(lambda: events.closed_because)
            proxy.speak()
            assert await ask(pool, "mine") == "mine"


class TestLoops:
    """Scenario 31: loops that end without a close leave no socket behind."""

    @pytest.mark.parametrize("end", ["run", "closed"])
    async def test_they_end(self, end: str, caplog: pytest.LogCaptureFixture) -> None:
        async with Feed(answer=echo) as feed:
            config = config_of(WEBSOCKET, feed.url, options={"linger": 60})
            pools.register(config.alias, config)

            async def use() -> Any:
                pool = pools[config.alias]
                subscription = pool.subscribe()
                await subscription.__aenter__()
                async with pool.acquire(clean=True) as connection:
                    await connection.send("x")
                    return await connection.recv()

            def run() -> None:
                if end == "run":
                    assert asyncio.run(use()) == "x"
                else:
                    loop = asyncio.new_event_loop()
                    assert loop.run_until_complete(use()) == "x"
                    loop.close()

            for _ in range(20):
                await asyncio.to_thread(run)
            # The next look-up finds the last of the loops that were closed without a word.
            pools[config.alias]
            await feed.until(lambda feed: feed.accepted == 40 and not feed.open)
            await pools.remove(config.alias)
            gc.collect()
            assert feed.most <= 4
        assert "exception" not in caplog.text.lower()
