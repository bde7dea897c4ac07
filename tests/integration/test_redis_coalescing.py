"""Commands that share a round trip, and what each caller is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from poolapp import BackendUnavailable, PoolClosed, PoolError, PoolTimeout, pools
from poolapp.backends.redis.coalescing import LONGEST
from poolapp.backends.redis.traits import blocks_for, is_plain, refusal
from tests.real import Proxy
from tests.valkey import Valkey, redis_config, redis_pool


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def pool(server: Valkey) -> AsyncIterator[Any]:
    async with redis_pool(server.url, max_size=4) as pool:
        await pool.ping()
        yield pool


def acquired(pool: Any) -> int:
    count: int = pool.stats().acquired
    return count


async def gathered(*commands: Any) -> list[Any]:
    return list(await asyncio.gather(*commands, return_exceptions=True))


class TestBatches:
    async def test_commands_of_one_turn_share_a_lease(self, pool: Any) -> None:
        before = acquired(pool)
        answers = await gathered(*(pool.execute("SET", f"k{n}", n) for n in range(100)))
        assert answers == [True] * 100
        answers = await gathered(*(pool.execute("GET", f"k{n}") for n in range(100)))
        assert answers == [b"%d" % n for n in range(100)]
        assert acquired(pool) == before + 2

    async def test_a_batch_has_a_limit(self, pool: Any) -> None:
        before = acquired(pool)
        answers = await gathered(*(pool.execute("INCR", "count") for _ in range(3 * LONGEST)))
        assert sorted(answers) == list(range(1, 3 * LONGEST + 1))
        assert acquired(pool) == before + 3

    async def test_what_comes_while_the_pool_is_busy_goes_along(self, pool: Any) -> None:
        leases = [await pool.acquire() for _ in range(4)]
        before = acquired(pool)
        asking = []
        for number in range(10):
            asking.append(asyncio.create_task(pool.execute("ECHO", str(number))))
            for _ in range(3):
                await asyncio.sleep(0)
        assert pool.waiting == 1
        for lease in leases:
            lease.release()
        assert await asyncio.gather(*asking) == [b"%d" % number for number in range(10)]
        assert acquired(pool) == before + 1

    async def test_each_task_sees_its_own_commands_in_order(self, pool: Any) -> None:
        async def work(number: int) -> None:
            for turn in range(20):
                await pool.execute("SET", f"own{number}", turn)
                assert await pool.execute("GET", f"own{number}") == b"%d" % turn

        await asyncio.gather(*(work(number) for number in range(50)))

    async def test_answers_are_converted_as_redis_py_does(self, pool: Any) -> None:
        async with pool.acquire() as client:
            for command in (
                ("HSET", "h", "a", 1, "b", 2.5, "c", b"x"),
                ("HGETALL", "h"),
                ("EXPIRE", "h", 100),
                ("CONFIG GET", "maxmemory"),
                ("ZADD", "z", 1, "a", 2, "b"),
                ("ZSCORE", "z", "b"),
                ("SMEMBERS", "nothing"),
                ("SET", "big", memoryview(b"y" * 100_000)),
                ("GET", "big"),
                ("INFO", "server"),
            ):
                alone = await client.execute_command(*command)
                if command[0] == "INFO":
                    assert (await pool.execute(*command)).keys() == alone.keys()
                elif command[0] not in ("HSET", "ZADD"):
                    assert await pool.execute(*command) == alone
        options = {"withscores": True}
        assert await pool.execute("ZRANGE", "z", 0, -1, "WITHSCORES", **options) == (
            await pool.commands.zrange("z", 0, -1, withscores=True)
        )

    async def test_a_commands_method_shares_too(self, pool: Any) -> None:
        before = acquired(pool)
        await gathered(*(pool.commands.incrby("count", 2) for _ in range(50)))
        assert acquired(pool) == before + 1
        assert [key async for key in pool.commands.scan_iter("cou*")] == [b"count"]

    async def test_the_lease_is_told_by_the_line_that_asked_first(self, pool: Any) -> None:
        blocker = [await pool.acquire() for _ in range(3)]
        asking = [
            asyncio.create_task(pool.execute("EVAL", SLOW, 0)),
            asyncio.create_task(pool.execute("PING")),
        ]
        while pool.in_use < 4:  # noqa: ASYNC110
            await asyncio.sleep(0)
        (site,) = {lease.site for lease in pool.leases()} - {lease.site for lease in blocker}
        assert __file__ in site
        await asyncio.gather(*asking)
        for lease in blocker:
            lease.release()

    async def test_redis_pys_method_is_told_by_the_line_that_called_it(self, pool: Any) -> None:
        asking = asyncio.create_task(pool.commands.eval(SLOW, 0))
        while not pool.in_use:  # noqa: ASYNC110
            await asyncio.sleep(0)
        (lease,) = pool.leases()
        assert __file__ in lease.site
        await asking


SLOW = "local i = 0; while i < 100000 do i = i + 1 end return i"


class TestErrors:
    async def test_an_error_of_one_is_no_error_of_the_others(self, pool: Any) -> None:
        await pool.execute("SET", "text", "x")
        answers = await gathered(
            pool.execute("SET", "a", 1),
            pool.execute("INCR", "text"),
            pool.execute("NOSUCH"),
            pool.execute("SET", "b", {"no": "value"}),
            pool.execute("GET", "a"),
        )
        assert [type(each).__name__ for each in answers] == [
            "bool", "ResponseError", "ResponseError", "DataError", "bytes",
        ]  # fmt: skip
        assert pool.stats().lost == 0
        assert await pool.execute("GET", "a") == b"1"

    async def test_a_loss_is_told_to_everyone_with_an_error_of_his_own(
        self, server: Valkey
    ) -> None:
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, max_size=4) as pool:
                await pool.ping()
                proxy.fall_silent()
                asking = asyncio.gather(
                    *(pool.execute("INCR", "count") for _ in range(20)), return_exceptions=True
                )
                await proxy.swallowed.wait()
                proxy.drop()
                errors = await asking
                proxy.speak()
                assert {type(error) for error in errors} == {BackendUnavailable}
                assert len(set(map(id, errors))) == 20
                assert {type(error.__cause__).__name__ for error in errors} == {"ConnectionError"}
                assert await pool.execute("GET", "count") is None

    async def test_reads_are_answered_although_the_writes_beside_them_fail(
        self, server: Valkey
    ) -> None:
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, max_size=4) as pool:
                await pool.execute("SET", "k", "v")
                proxy.fall_silent()
                asking = asyncio.gather(
                    pool.execute("GET", "k"),
                    pool.execute("INCR", "count"),
                    pool.execute("MGET", "k", "l"),
                    return_exceptions=True,
                )
                await proxy.swallowed.wait()
                proxy.drop()
                proxy.speak()
                one, two, three = await asking
                assert (one, three) == (b"v", [b"v", None])
                assert isinstance(two, BackendUnavailable)

    async def test_redis_pys_own_retries_take_the_place_of_ours(self, server: Valkey) -> None:
        lost = [redis.exceptions.ConnectionError]
        options = {"retry": Retry(NoBackoff(), 2), "retry_on_error": lost}
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            async with redis_pool(url, options=options) as pool, pool.acquire() as client:
                await client.ping()
                proxy.fall_silent()
                writing = asyncio.create_task(client.incr("count"))
                await proxy.swallowed.wait()
                proxy.drop()
                proxy.speak()
                assert await writing == 1

    async def test_silence_ends_at_the_socket_timeout(self, server: Valkey) -> None:
        async with Proxy("127.0.0.1", server.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            settings = {"options": {"socket_timeout": 0.2}, "check_after": 60.0}
            async with redis_pool(url, **settings) as pool:
                await pool.ping()
                proxy.fall_silent()
                errors = await gathered(*(pool.execute("GET", "k") for _ in range(5)))
                assert {type(each) for each in errors} == {BackendUnavailable}
                assert "no reply" in str(errors[0])

    async def test_a_command_that_waited_for_its_time_is_told_so_and_no_other(
        self, server: Valkey
    ) -> None:
        async with redis_pool(server.url, max_size=1, acquire_timeout=1.0) as pool:
            lease = await pool.acquire()
            early = asyncio.create_task(pool.execute("ECHO", "early"))
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=0.5)
            late = asyncio.create_task(pool.execute("ECHO", "late"))
            with pytest.raises(PoolTimeout, match="in use"):
                await early
            lease.release()
            assert await late == b"late"

    async def test_a_closing_pool_refuses_those_who_wait(self, server: Valkey) -> None:
        config = redis_config(server.url, max_size=1)
        pools.register(config.alias, config)
        pool = pools[config.alias]
        lease = await pool.acquire()
        waiting = [asyncio.create_task(pool.execute("PING")) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        closing = asyncio.create_task(pools.remove(config.alias))
        errors = await gathered(*waiting)
        assert {type(each) for each in errors} == {PoolClosed}
        lease.release()
        await closing


class TestCancelling:
    async def test_a_cancelled_caller_disturbs_no_other(self, pool: Any) -> None:
        for turns in range(12):
            tasks = [asyncio.create_task(pool.execute("ECHO", str(n))) for n in range(20)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            answers = await gathered(*tasks)
            for number, answer in enumerate(answers):
                expected = b"%d" % number
                cancelled = isinstance(answer, asyncio.CancelledError) and number % 3 == 0
                assert answer == expected or cancelled
        assert pool.in_use == 0
        assert pool.stats().lost == 0

    async def test_nothing_is_sent_for_those_who_have_all_gone(self, pool: Any) -> None:
        leases = [await pool.acquire() for _ in range(4)]
        tasks = [asyncio.create_task(pool.execute("INCR", "count")) for _ in range(5)]
        while not pool.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await gathered(*tasks)
        for lease in leases:
            lease.release()
        assert await pool.execute("GET", "count") is None

    async def test_a_storm_of_cancels_leaves_every_slot(self, pool: Any) -> None:
        async def work(number: int) -> None:
            for turn in range(10):
                task = asyncio.create_task(pool.execute("ECHO", f"{number}.{turn}"))
                for _ in range((number + turn) % 7):
                    await asyncio.sleep(0)
                if (number + turn) % 2:
                    task.cancel()
                answer = (await gathered(task))[0]
                assert answer == f"{number}.{turn}".encode() or isinstance(
                    answer, asyncio.CancelledError
                )

        await asyncio.gather(*(work(number) for number in range(30)))
        leases = [await pool.acquire(timeout=5) for _ in range(4)]
        for lease in leases:
            lease.release()

    def test_a_loop_that_ends_meanwhile_leaves_nobody_waiting(self, redis_url: str) -> None:
        config = redis_config(redis_url, max_size=1)
        pools.register(config.alias, config)
        ended: list[type[BaseException]] = []

        async def ask(pool: Any) -> None:
            try:
                await pool.execute("PING")
            except BaseException as error:
                ended.append(type(error))
                raise

        async def main() -> None:
            pool = pools[config.alias]
            await pool.acquire()
            main.tasks = [asyncio.create_task(ask(pool)) for _ in range(5)]  # type: ignore[attr-defined]
            for _ in range(5):
                await asyncio.sleep(0)

        asyncio.run(main())
        assert ended == [asyncio.CancelledError] * 5
        asyncio.run(pools.remove(config.alias))

    def test_a_loop_that_ends_meanwhile_lets_goodbyes_be_said(self, redis_url: str) -> None:
        """Whatever a command is doing when the end comes."""
        config = redis_config(redis_url)
        pools.register(config.alias, config)
        key = f"goodbyes:{config.alias}"

        async def stay(pool: Any) -> None:
            try:
                while True:
                    await pool.execute("PING")
            finally:
                await pool.execute("INCR", key)

        async def main(turns: int) -> None:
            pool = pools[config.alias]
            await pool.ping()
            main.task = asyncio.create_task(stay(pool))  # type: ignore[attr-defined]
            for _ in range(turns):
                await asyncio.sleep(0)

        async def said() -> int:
            return int(await pools[config.alias].execute("GETDEL", key))

        for turns in range(1, 21):
            asyncio.run(main(turns))
        assert asyncio.run(said()) == 20
        asyncio.run(pools.remove(config.alias))


class TestAlone:
    async def test_a_command_that_blocks_holds_up_no_other(self, pool: Any) -> None:
        blocked = asyncio.create_task(pool.execute("BLPOP", "list", 30))
        answers = await gathered(*(pool.execute("PING") for _ in range(10)))
        assert answers == [True] * 10 or answers == [b"PONG"] * 10
        await pool.execute("RPUSH", "list", "x")
        assert tuple(await blocked) == (b"list", b"x")

    @pytest.mark.parametrize(
        ("command", "hint"),
        [
            (("SELECT", 1), "number into LOCATION"),
            (("select 1",), "number into LOCATION"),
            ((b"MULTI",), "pool.pipeline"),
            (("WATCH", "k"), "client's own pipeline"),
            (("SUBSCRIBE", "a"), "pool.subscribe"),
            (("CLIENT", "REPLY", "OFF"), "everybody's"),
            (("client tracking", "on"), "everybody's"),
            (("RESET",), "everybody's"),
            ((), "has a name"),
            (("  ",), "has a name"),
        ],
    )
    async def test_a_command_that_changes_the_connection_is_refused(
        self, pool: Any, command: Any, hint: str
    ) -> None:
        with pytest.raises(ValueError, match=hint):
            await pool.execute(*command)
        with pytest.raises(ValueError, match=hint):
            pool.pipeline().execute_command(*command)

    async def test_a_harmless_client_command_is_not(self, pool: Any) -> None:
        assert await pool.execute("CLIENT", "ID") > 0
        assert await pool.commands.client_getname()

    @pytest.mark.parametrize(
        ("command", "seconds"),
        [
            (("GET", "k"), 0.0),
            (("BLPOP", "a", "b", 2), 2.0),
            (("BLPOP", "a", 0), float("inf")),
            (("BLMPOP", "1.5", 1, "a", "LEFT"), 1.5),
            (("BLMOVE", "a", "b", "LEFT", "RIGHT", 3), 3.0),
            (("WAIT", 1, 500), 0.5),
            (("XREAD", "STREAMS", "s", "0"), 0.0),
            (("XREAD", "COUNT", 1, "BLOCK", 250, "STREAMS", "s", "$"), 0.25),
            (("XREADGROUP", "GROUP", "g", "c", b"BLOCK", b"0", "STREAMS", "s", ">"), float("inf")),
            (("BLPOP", "a", "soon"), 0.0),
        ],
    )
    def test_for_how_long_a_command_may_block(self, command: Any, seconds: float) -> None:
        assert blocks_for(command) == seconds
        assert is_plain(command[0]) == (command[0] == "GET")
        assert refusal(command) is None


async def test_the_pool_of_another_loop_is_refused(pool: Any) -> None:
    def elsewhere() -> None:
        with pytest.raises(PoolError, match="another event loop"):
            asyncio.run(pool.execute("PING"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)


class TestPipelines:
    async def test_commands_are_sent_together_and_answered_in_order(self, pool: Any) -> None:
        before = acquired(pool)
        async with pool.pipeline() as pipe:
            pipe.set("a", 1).incr("a").hset("h", mapping={"x": 1})
            assert len(pipe) == 3
            assert acquired(pool) == before
            assert await pipe.execute() == [True, 2, 1]
            assert len(pipe) == 0
            assert await pipe.execute() == []
        assert acquired(pool) == before + 1

    @pytest.mark.parametrize("transaction", [True, False])
    async def test_the_first_error_is_raised_or_all_are_told(
        self, pool: Any, transaction: bool
    ) -> None:
        await pool.execute("SET", "text", "x")
        pipe = pool.pipeline(transaction)
        with pytest.raises(redis.exceptions.ResponseError, match="not an integer"):
            await pipe.set("a", 1).incr("text").execute()
        answers = await pipe.set("a", 2).incr("text").get("a").execute(raise_on_error=False)
        assert [type(each) for each in answers] == [bool, redis.exceptions.ResponseError, bytes]

    async def test_a_transaction_that_is_refused_changes_nothing(self, pool: Any) -> None:
        with pytest.raises(redis.exceptions.ResponseError):
            await pool.pipeline().set("a", 1).execute_command("NOSUCH").execute()
        assert await pool.execute("GET", "a") is None

    async def test_what_is_not_executed_is_dropped(self, pool: Any) -> None:
        async with pool.pipeline() as pipe:
            pipe.set("a", 1)
        assert await pool.execute("GET", "a") is None

    async def test_to_await_it_is_a_mistake_that_is_told(self, pool: Any) -> None:
        with pytest.raises(PoolError, match="execute"):
            await pool.pipeline().set("a", 1)

    async def test_watch_works_with_the_borrowed_clients_own(self, pool: Any) -> None:
        async with pool.acquire() as client, client.pipeline() as pipe:
            await pipe.watch("k")
            await pool.execute("SET", "k", "changed")
            pipe.multi()
            pipe.set("k", "mine")
            with pytest.raises(redis.exceptions.WatchError):
                await pipe.execute()


def test_every_short_cut_crosses_to_the_pool_loop_where_loops_are_shared(redis_url: str) -> None:
    config = redis_config(redis_url, loops="shared")
    pools.register(config.alias, config)
    key = f"crossing:{config.alias}"

    async def use() -> None:
        pool = pools[config.alias]
        assert await pool.execute("SET", key, 1, "EX", 60)
        assert await pool.commands.incr(key) == 2
        assert await pool.pipeline().incr(key).get(key).execute() == [3, b"3"]
        with pytest.raises(redis.exceptions.ResponseError):
            await pool.execute("LPUSH", key, 1)
        assert await pool.publish(key, "x") == 0
        assert pool.stats().connected == 0

    try:
        for _ in range(5):
            asyncio.run(use())
        (home,) = [each for each in pools.all(initialized_only=True) if each.alias == config.alias]
        assert home.stats().connected == 1
    finally:
        asyncio.run(pools.remove(config.alias))
