"""Pub/sub: one connection for all who listen, and what they are told when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from poolapp import BackendUnavailable, PoolClosed, PoolError, pools
from poolapp.backends.redis import Message
from poolapp.core.subscription import Gap, SlowSubscriber
from tests.real import Proxy, eventually
from tests.valkey import Valkey, redis_config, redis_pool


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def pool(server: Valkey) -> AsyncIterator[Any]:
    async with redis_pool(server.url, max_size=2, connect_timeout=5.0) as pool:
        yield pool


async def listening(server: Valkey, pool: Any) -> list[dict[str, str]]:
    return [each for each in await server.clients(pool.alias) if int(each["sub"] + each["psub"])]


class TestListening:
    async def test_messages_of_channels_and_patterns_arrive(self, pool: Any) -> None:
        async with pool.subscribe("orders", "stock", patterns=["news.*"]) as messages:
            assert messages.connected
            assert await pool.publish("orders", "one") == 1
            await pool.publish("news.sport", b"\xff")
            await pool.publish("others", "nobody hears this")
            await pool.publish("stock", "")
            assert [await anext(messages) for _ in range(3)] == [
                Message("orders", b"one"),
                Message("news.sport", b"\xff", pattern="news.*"),
                Message("stock", b""),
            ]

    async def test_it_is_text_where_the_alias_decodes(self, server: Valkey) -> None:
        async with (
            redis_pool(server.url, options={"decode_responses": True}) as pool,
            pool.subscribe("ä") as messages,
        ):
            await pool.publish("ä", "ö")
            assert await anext(messages) == Message("ä", "ö")

    async def test_many_listeners_share_one_connection_beside_the_pools(
        self, server: Valkey, pool: Any
    ) -> None:
        leases = [await pool.acquire() for _ in range(2)]
        subscriptions = [pool.subscribe("all", f"own{number}") for number in range(20)]
        await asyncio.gather(*(each.__aenter__() for each in subscriptions))
        for lease in leases:
            lease.release()
        assert len(await listening(server, pool)) == 1
        assert await pool.publish("all", "x") == 1
        for number, each in enumerate(subscriptions):
            await pool.publish(f"own{number}", str(number))
            found = [await anext(each), await anext(each)]
            assert found == [Message("all", b"x"), Message(f"own{number}", b"%d" % number)]
            each.leave()

        async def gone() -> bool:
            return not await listening(server, pool)

        await eventually(gone)

    async def test_what_nobody_wants_any_more_is_unsubscribed(
        self, server: Valkey, pool: Any
    ) -> None:
        async with pool.subscribe("a", "b", patterns=["c*"]):
            async with pool.subscribe("b", "d", patterns=["c*", "e*"]):
                assert set(await server.admin.pubsub_channels()) == {"a", "b", "d"}

            async def only_the_first() -> bool:
                patterns = await server.admin.pubsub_numpat()
                return set(await server.admin.pubsub_channels()) == {"a", "b"} and patterns == 1

            await eventually(only_the_first)

    async def test_left_and_joined_again_at_once_it_hears(self, pool: Any) -> None:
        async with pool.subscribe("keep"):
            for turn in range(20):
                async with pool.subscribe("again") as messages:
                    assert await pool.publish("again", str(turn)) == 1
                    assert (await anext(messages)).data == b"%d" % turn

    async def test_the_last_to_leave_may_come_back_at_once(self, server: Valkey, pool: Any) -> None:
        for turn in range(20):
            async with pool.subscribe("again") as messages:
                assert await pool.publish("again", str(turn)) == 1
                assert (await anext(messages)).data == b"%d" % turn
            for _ in range(turn // 2):
                await asyncio.sleep(0)

        async def gone() -> bool:
            return not await listening(server, pool)

        await eventually(gone)

    async def test_a_slow_reader_loses_the_oldest_or_is_told(self, pool: Any) -> None:
        async with (
            pool.subscribe("a", limit=3) as slow,
            pool.subscribe("a", limit=3, policy="disconnect") as strict,
            pool.subscribe("a", "end") as quick,
        ):
            for number in range(10):
                await pool.publish("a", str(number))
            await pool.publish("end", "")
            while (await anext(quick)).channel != "end":
                pass
            assert [(await anext(slow)).data for _ in range(3)] == [b"7", b"8", b"9"]
            assert slow.dropped == 7
            with pytest.raises(SlowSubscriber):
                await anext(strict)

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [((), {}), (("a",), {"patterns": "b"}), (("a",), {"limit": 0}), (("a",), {"policy": "x"})],
    )
    async def test_what_makes_no_sense_is_told_at_once(
        self, pool: Any, arguments: Any, named: Any
    ) -> None:
        with pytest.raises(ValueError, match=r"patterns|limit|policy"):
            pool.subscribe(*arguments, **named)

    async def test_it_is_used_with_async_with_and_once(self, pool: Any) -> None:
        messages = pool.subscribe("a")
        with pytest.raises(PoolError, match="async with"):
            await anext(messages)
        async with messages:
            pass
        with pytest.raises(PoolError, match="before"):
            await messages.__aenter__()


class TestLosing:
    async def test_a_loss_is_told_as_a_gap_when_it_hears_again(
        self, server: Valkey, pool: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "poolapp.redis")
        async with (
            pool.subscribe("a", "b", patterns=["c*"]) as one,
            pool.subscribe("b") as other,
        ):
            await pool.publish("a", "before")
            (client,) = await listening(server, pool)
            await server.admin.client_kill_filter(_id=client["id"])
            assert (await anext(one)).data == b"before"
            for each in (one, other):
                gap = await anext(each)
                assert isinstance(gap, Gap)
                assert "Connection" in gap.reason
            assert one.connected
            await pool.publish("b", "after")
            assert (await anext(one)).data == (await anext(other)).data == b"after"
            await pool.publish("c1", "pattern")
            assert (await anext(one)).pattern == "c*"
        assert [each.levelname for each in caplog.records] == ["WARNING"]

    async def test_a_restart_is_told_once_and_survived(self, server: Valkey, pool: Any) -> None:
        async with pool.subscribe("a") as messages:
            server.kill()

            async def noticed() -> bool:
                return not messages.connected

            await eventually(noticed)
            await server.start()
            assert isinstance(await anext(messages), Gap)
            assert await pool.publish("a", "after") == 1
            assert (await anext(messages)).data == b"after"

    async def test_a_connection_that_died_in_silence_is_noticed(self, server: Valkey) -> None:
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            options = {"health_check_interval": 0.1}
            async with (
                redis_pool(url, options=options, check_timeout=0.2) as pool,
                pool.subscribe("a") as messages,
            ):
                proxy.forget()
                gap = await asyncio.wait_for(anext(messages), 10)
                assert isinstance(gap, Gap)
                assert "sign of life" in gap.reason

    async def test_silence_of_the_channel_is_no_loss(self, server: Valkey) -> None:
        options = {"health_check_interval": 0.02}
        async with redis_pool(server.url, options=options) as pool, pool.subscribe("a") as messages:
            (client,) = await listening(server, pool)

            async def asked() -> bool:
                (now,) = await listening(server, pool)
                return bool(now["cmd"] == "ping" and now["id"] == client["id"])

            await eventually(asked)
            await pool.publish("a", "x")
            assert await anext(messages) == Message("a", b"x")

    async def test_it_can_not_be_entered_while_the_server_is_away(self, server: Valkey) -> None:
        async with redis_pool(server.url, connect_timeout=2.0) as pool:
            server.kill()
            with pytest.raises(BackendUnavailable, match="subscribe"):
                await pool.subscribe("a").__aenter__()
            await server.start()
            async with pool.subscribe("a"):
                assert await pool.publish("a", "x") == 1

    async def test_a_silent_server_is_waited_for_as_long_as_a_connect(self, server: Valkey) -> None:
        async with Proxy("127.0.0.1", server.port) as proxy:
            proxy.fall_silent()
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, connect_timeout=0.3) as pool:
                with pytest.raises(BackendUnavailable, match="subscribe|confirm"):  # noqa: RUF043
                    await pool.subscribe("a").__aenter__()


class TestEnding:
    async def test_a_closing_pool_ends_the_iteration_after_what_arrived(
        self, server: Valkey
    ) -> None:
        config = redis_config(server.url)
        pools.register(config.alias, config)
        pool = pools[config.alias]
        heard: list[bytes] = []

        async with pool.subscribe("a") as messages, pool.subscribe("a") as other:
            await pool.publish("a", "1")
            assert (await anext(other)).data == b"1"
            await pools.remove(config.alias)
            heard.extend([each.data async for each in messages])
            assert heard == [b"1"]
            assert [each async for each in other] == []
        with pytest.raises(PoolClosed):
            await pool.subscribe("a").__aenter__()
        assert not await server.clients(config.alias)

    async def test_a_cancelled_reader_leaves_nothing_behind(
        self, server: Valkey, pool: Any
    ) -> None:
        async def read() -> None:
            async with pool.subscribe("a") as messages:
                async for _ in messages:
                    pass

        for turns in range(12):
            reading = asyncio.create_task(read())
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

        async def gone() -> bool:
            return not await listening(server, pool)

        await eventually(gone)

    async def test_a_drained_pool_listens_on_a_new_connection(
        self, server: Valkey, pool: Any
    ) -> None:
        async with pool.subscribe("a") as messages:
            (before,) = await listening(server, pool)
            pool.drain()
            assert isinstance(await anext(messages), Gap)
            (after,) = await listening(server, pool)
            assert before["id"] != after["id"]
