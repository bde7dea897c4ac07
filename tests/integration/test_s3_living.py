"""An S3 client in use: servers that go away, health, sockets, and what is left when it is gone."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from poolapp import BackendUnavailable, PoolError, pools
from tests.acceptance.test_broken_connections import Load
from tests.buckets import ONCE, S3, address, new_bucket, s3_pool, sockets_to, through
from tests.real import Proxy, config_of, eventually, heard

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def bucket_url(s3_url: str) -> str:
    async def make() -> str:
        url = await new_bucket(s3_url)
        async with s3_pool(url) as pool:
            await pool.put("key", b"content")
            await pool.put("large", bytes(4 * MIB))
        return url

    return asyncio.run(make())


@pytest.fixture
async def pool(bucket_url: str) -> AsyncIterator[Any]:
    async with s3_pool(bucket_url, max_size=4) as pool:
        yield pool


class Server(Proxy):
    """May go away, and come back at the same port."""

    async def stop(self) -> None:
        await self.__aexit__()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)


async def all_can_be_held(pool: Any) -> None:
    leases = [await pool.acquire(timeout=30) for _ in range(pool.config.max_size)]
    for lease in leases:
        await lease.connection.head_object(Bucket=pool.backend.bucket, Key="key")
        lease.release()


class TestBroken:
    async def test_nobody_notices_that_all_idle_sockets_were_killed(self, bucket_url: str) -> None:
        """Scenario 18: the client's idle sockets die: zero errors to callers."""
        async with Proxy(*address(bucket_url)) as proxy:
            async with s3_pool(through(proxy.port, bucket_url), max_size=10) as pool:
                await asyncio.gather(*(pool.get("key") for _ in range(10)))
                accepted = proxy.accepted
                proxy.drop()
                answers = await asyncio.gather(*(pool.get("key") for _ in range(50)))
                assert answers == [b"content"] * 50
            assert proxy.accepted > accepted

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(
        self, bucket_url: str
    ) -> None:
        """Scenario 19: requests cut while under way fail in their callers' hands."""
        async with Server(*address(bucket_url)) as server:
            url = through(server.port, bucket_url)
            async with s3_pool(url, max_size=4, options=ONCE) as pool:
                await all_can_be_held(pool)
                server.fall_silent()
                held = await pool.acquire()
                bucket = pool.backend.bucket
                asking = [
                    asyncio.create_task(held.connection.put_object(Bucket=bucket, Key="a")),
                    asyncio.create_task(pool.put("b", b"")),
                    asyncio.create_task(pool.get("key")),
                    asyncio.create_task(pool.exists("key")),
                ]
                await eventually(lambda: sockets_in_use(pool, 4))
                # Not only cut: the HTTP client repeats what a kept connection broke under.
                await server.stop()
                own, *others = await asyncio.gather(*asking, return_exceptions=True)
                assert type(own).__name__ == "EndpointConnectionError"
                assert {type(error) for error in others} == {BackendUnavailable}
                assert all(error.__cause__ is not None for error in others)
                held.release(own)
                assert pool.in_use == 0
                server.speak()
                await server.start()
                await all_can_be_held(pool)

    async def test_a_body_that_breaks_off_is_an_error_and_no_shorter_body(
        self, bucket_url: str
    ) -> None:
        """Scenario 19: also when the answer has begun."""
        async with (
            Proxy(*address(bucket_url)) as proxy,
            s3_pool(through(proxy.port, bucket_url), options=ONCE) as pool,
        ):
            with pytest.raises(BackendUnavailable) as info:
                async for _ in pool.stream("large", chunk_size=1024):
                    proxy.drop()
            assert info.value.__cause__ is not None
            assert pool.in_use == 0
            assert await pool.get("key") == b"content"

    async def test_a_server_killed_under_load_and_started_again(
        self, bucket_url: str, services: Any
    ) -> None:
        """Scenario 20: kill -9 and restart under load: recovers, no permanent loss of slots."""
        settings = {"max_size": 8, "acquire_timeout": 10.0, "options": ONCE}
        async with s3_pool(bucket_url, **settings) as pool:

            async def ask() -> None:
                assert await pool.get("key") == b"content"

            with heard(pool.alias) as events:
                async with Load(ask, tasks=20) as load:
                    await load.until(answers=50)
                    assert not load.errors
                    await asyncio.to_thread(services.kill, "s3")
                    await load.until(errors=100)
                    assert len(events.connect_errors) < 30
                    await asyncio.to_thread(services.restart, "s3")
                    await load.until(answers=100)
            assert all(isinstance(error, PoolError | ClientError) for error in load.errors)
            assert any(isinstance(error, BackendUnavailable) for error in load.errors)
            await all_can_be_held(pool)
            assert pool.in_use == 0
            assert pool.stats().sockets.open <= 8

    async def test_silence_is_found_by_the_check(self, bucket_url: str) -> None:
        """Scenario 22: a black-holed network ends at CHECK_TIMEOUT: the client is replaced, and
        the borrower does not fail."""
        async with Proxy(*address(bucket_url)) as proxy:
            settings = {"max_size": 1, "check_after": 0.0, "check_timeout": 0.1}
            async with s3_pool(through(proxy.port, bucket_url), **settings) as pool:
                await pool.ping()
                proxy.fall_silent()
                with heard(pool.alias) as events:
                    asking = asyncio.create_task(pool.get("key"))
                    await events.until(lambda: events.lost_count == 1)
                    proxy.speak()
                    assert await asking == b"content"

    async def test_an_outage_is_never_not_found(self, bucket_url: str) -> None:
        """Scenario 41: get, head, exists, delete and list on a stopped server raise
        BackendUnavailable."""
        async with Server(*address(bucket_url)) as server:
            settings = {"options": ONCE, "acquire_timeout": 0.3}
            async with s3_pool(through(server.port, bucket_url), **settings) as pool:

                async def first() -> Any:
                    return [each async for each in pool.list()]

                asks = [
                    lambda: pool.get("key"),
                    lambda: pool.head("key"),
                    lambda: pool.exists("key"),
                    lambda: pool.exists("nothing"),
                    lambda: pool.delete("nothing"),
                    lambda: pool.put("key", b""),
                    lambda: pool.upload("key", b""),
                    first,
                    lambda: anext(pool.stream("key")),
                ]
                for ask in asks:
                    await pool.ping()
                    await server.stop()
                    with pytest.raises(BackendUnavailable):
                        await ask()
                    await server.start()

    async def test_an_error_of_the_callers_own_body_is_no_outage(self, pool: Any) -> None:
        class Broken:
            def read(self, *_: object) -> bytes:
                raise ZeroDivisionError

            def tell(self) -> int:
                return 0

            def seek(self, *_: object) -> int:
                return 0

        with pytest.raises(Exception) as info:
            await pool.put("key", Broken())
        assert not isinstance(info.value, BackendUnavailable)
        assert pool.stats().lost == 0


async def sockets_in_use(pool: Any, count: int) -> bool:
    return bool(pool.stats().sockets.in_use == count)


class TestUse:
    async def test_all_holders_have_the_same_client(self, pool: Any) -> None:
        async with pool.acquire() as one, pool.acquire() as other:
            assert one is other
        assert pool.stats().connected == 1

    async def test_the_servers_refusals_change_nothing(self, pool: Any) -> None:
        with pytest.raises(ClientError, match="NoSuchKey"):
            await pool.get("nothing")
        assert await pool.get("key") == b"content"
        assert (pool.stats().connected, pool.stats().lost) == (1, 0)

    async def test_a_resize_makes_a_client_with_as_many_sockets(self, pool: Any) -> None:
        await pool.ping()
        pools.resize(pool.alias, max_size=9)
        async with pool.acquire() as s3:
            assert s3.meta.config.max_pool_connections == 9

    async def test_a_client_that_its_holder_closed_still_works_for_the_next(
        self, pool: Any
    ) -> None:
        async with pool.acquire() as s3:
            await s3.close()
        assert await pool.get("key") == b"content"

    async def test_two_hundred_tasks_open_no_more_than_max_size(self, pool: Any) -> None:
        most = 0

        async def work() -> None:
            nonlocal most
            assert await pool.exists("key")
            most = max(most, pool.stats().sockets.open)

        await asyncio.gather(*(work() for _ in range(200)))
        assert 2 <= most <= 4

    async def test_what_the_sockets_do_may_be_asked_from_another_thread(self, pool: Any) -> None:
        async with pool.acquire() as s3:
            answer = await s3.get_object(Bucket=pool.backend.bucket, Key="large")
            sockets = await asyncio.to_thread(lambda: pool.stats().sockets)
            assert (sockets.open, sockets.in_use) == (1, 1)
            answer["Body"].close()
        await pool.get("key")
        assert pool.stats().sockets.in_use == 0


class TestHealth:
    async def test_a_bucket_that_is_there(self, pool: Any) -> None:
        async with pool.acquire() as s3:
            assert await pool.backend.health(s3) == ("healthy", "")

    async def test_a_bucket_that_is_not(self, s3_url: str) -> None:
        async with s3_pool(f"{s3_url}/nowhere-to-be-found") as pool, pool.acquire() as s3:
            assert await pool.backend.health(s3) == (
                "unhealthy",
                "there is no bucket 'nowhere-to-be-found'",
            )

    async def test_a_server_that_is_gone_raises(self, bucket_url: str) -> None:
        async with (
            Server(*address(bucket_url)) as server,
            s3_pool(through(server.port, bucket_url)) as pool,
            pool.acquire() as s3,
        ):
            await server.stop()
            with pytest.raises(Exception, match=r"connect|closed"):
                await pool.backend.health(s3)

    async def test_the_server_tells_its_name(self, pool: Any) -> None:
        async with pool.acquire() as s3:
            assert "SeaweedFS" in (await pool.backend.server_info(s3))["version"]


class TestEnding:
    async def test_a_close_leaves_no_socket(self, bucket_url: str) -> None:
        async with s3_pool(bucket_url, max_size=4) as pool:
            await asyncio.gather(*(pool.get("key") for _ in range(8)))
            before = pool.stats().sockets.open
            assert 1 <= before <= sockets_to(bucket_url)
        assert sockets_to(bucket_url) == 0

    async def test_aborting_cuts_the_requests_under_way(self, bucket_url: str) -> None:
        async with Proxy(*address(bucket_url)) as proxy:
            config = config_of(S3, through(proxy.port, bucket_url), options=ONCE)
            pools.register(config.alias, config)
            pool = pools[config.alias]
            await pool.ping()
            proxy.fall_silent()
            asking = asyncio.create_task(pool.get("key"))
            await proxy.swallowed.wait()
            await pool.close(timeout=0)
            with pytest.raises(Exception, match=r"disconnected|closed|Connection"):
                await asking
            await pools.remove(config.alias)
            assert sockets_to(f"http://127.0.0.1:{proxy.port}") == 0

    def test_loops_that_end_without_a_close_leave_no_socket(self, bucket_url: str) -> None:
        """Scenario 31: 20 times asyncio.run, with no growth in connections."""
        config = config_of(S3, bucket_url, max_size=4)
        pools.register(config.alias, config)

        async def main() -> None:
            pool = pools[config.alias]
            await asyncio.gather(*(pool.get("key") for _ in range(4)))
            assert sockets_to(bucket_url) <= 4

        for _ in range(20):
            asyncio.run(main())
            assert sockets_to(bucket_url) == 0
        asyncio.run(pools.remove(config.alias))

    def test_loops_closed_by_hand_are_noticed_at_the_next_look_up(self, bucket_url: str) -> None:
        """Scenario 31: a loop that was closed without finalising its generators."""
        config = config_of(S3, bucket_url, max_size=2)
        pools.register(config.alias, config)

        async def main() -> None:
            pool = pools[config.alias]
            await asyncio.gather(pool.get("key"), pool.get("key"))
            lease = await pool.acquire()
            assert lease.connection

        async def other() -> None:
            assert await pools[config.alias].get("key") == b"content"
            assert sockets_to(bucket_url) == 1

        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
        assert sockets_to(bucket_url) > 0
        asyncio.run(other())
        assert sockets_to(bucket_url) == 0
        asyncio.run(pools.remove(config.alias))
        gc.collect()
