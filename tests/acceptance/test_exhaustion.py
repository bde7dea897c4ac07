"""All connections are lent: who waits, in which order, for how long, and what they are told."""

from __future__ import annotations

import asyncio
import re

import pytest

from poolapp.core.exceptions import PoolTimeout, TooManyRequests
from poolapp.core.pool import Pool
from tests.fake import KINDS, all_can_be_held, lab
from tests.virtual import turns, virtual


@KINDS
@virtual
async def test_timeout_lands_on_time_and_says_why(shared: bool) -> None:
    """Scenario 7: the timeout lands within 50 % of its setting; its message carries size, in use,
    idle, waiting, longest holder and last connect error."""
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=2, acquire_timeout=3) as pool, pool.acquire():
        await asyncio.sleep(2)
        other = asyncio.create_task(_hold(pool, 9))
        await turns(5)
        started = loop.time()
        with pytest.raises(PoolTimeout) as caught:
            await pool.acquire()
        assert loop.time() - started == pytest.approx(3, rel=0.01)
        message = str(caught.value)
        assert re.match(
            r"pool 'fake' gave no connection within 3 s: "
            r"size 2 of 2, 2 in use, 0 idle, 0 waiting; longest held for 5 s by Task-\d+ "
            r"\(test_timeout_lands_on_time_and_says_why\) at .*test_exhaustion\.py:\d+ in ",
            message,
        )
        assert caught.value.retryable
        assert isinstance(caught.value, TimeoutError)
        await other


@KINDS
@virtual
async def test_timeout_names_the_last_connect_error(shared: bool) -> None:
    """Scenario 7: a connect that fails is named by its class and message."""
    async with lab(shared=shared, acquire_timeout=1, breaker=None) as pool:
        pool.server.create.fail(ConnectionRefusedError("nobody listens at port 1"))
        with pytest.raises(PoolTimeout) as caught:
            await pool.acquire()
        assert str(caught.value).endswith(
            "last connect error: ConnectionRefusedError: nobody listens at port 1"
        )
        pool.server.create.ok()
        await asyncio.sleep(30)
        await all_can_be_held(pool)


@virtual
async def test_timeout_says_that_connects_hang() -> None:
    """Scenario 7: so is one that gets no answer."""
    async with lab(acquire_timeout=3, connect_timeout=1) as pool:
        pool.server.create.never()
        with pytest.raises(PoolTimeout, match="TimeoutError: no answer within 1 s"):
            await pool.acquire()


@KINDS
@virtual
async def test_zero_overtakes(shared: bool) -> None:
    """Scenario 8: 100 tasks over 10 connections, each coming back for more: zero overtakes."""
    async with lab(shared=shared, max_size=10, max_connecting=10) as pool:
        arrived: list[tuple[int, int]] = []
        served: list[tuple[int, int]] = []

        async def customer(number: int) -> None:
            for visit in range(20):
                arrived.append((number, visit))
                async with pool.acquire() as connection:
                    served.append((number, visit))
                    await connection.query(0.001 * (1 + (number * 7 + visit) % 5))

        await asyncio.gather(*(customer(number) for number in range(100)))
        assert served == arrived
        assert len(served) == 2000
        assert pool.witness.peak == 10


@virtual
async def test_newcomer_does_not_overtake_one_whose_connection_is_being_checked() -> None:
    """Scenario 8: a connection that comes back goes to the first in the queue, whatever that one
    was promised."""
    async with lab(max_size=2) as pool:
        first = await pool.acquire()
        second = await pool.acquire()
        second.release()
        await asyncio.sleep(5)
        pool.server.check.hold()
        served: list[str] = []
        early = asyncio.create_task(_sign(pool, "early", served))
        await turns(2)
        assert pool.server.check.inside == 1
        first.release()
        late = asyncio.create_task(_sign(pool, "late", served))
        await turns(3)
        pool.server.check.open()
        await asyncio.gather(early, late)
        assert served == ["early", "late"]


@KINDS
@virtual
async def test_different_timeouts_keep_the_order(shared: bool) -> None:
    """Scenario 8: a timeout of one's own changes no place in the queue."""
    async with lab(shared=shared, max_size=1) as pool:
        served: list[str] = []
        async with pool.acquire():
            waiting = [
                asyncio.create_task(_sign(pool, name, served, timeout))
                for name, timeout in [("a", None), ("b", 1), ("c", None), ("d", 0.5), ("e", 9)]
            ]
            await turns(2)
        await asyncio.gather(*waiting)
        assert served == ["a", "b", "c", "d", "e"]


@KINDS
@virtual
async def test_max_waiting_refuses_at_once(shared: bool) -> None:
    """Scenario 9: more waiters than MAX_WAITING are refused at once."""
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=1, max_waiting=2) as pool:
        async with pool.acquire():
            waiting = [asyncio.create_task(_hold(pool, 0)) for _ in range(2)]
            await turns(2)
            started = loop.time()
            with pytest.raises(TooManyRequests) as caught:
                await pool.acquire()
            assert loop.time() == started
            assert "2 acquires wait already (MAX_WAITING is 2)" in str(caught.value)
            assert "1 in use" in str(caught.value)
            assert caught.value.retryable
        await asyncio.gather(*waiting)
        assert pool.witness.details("refused") == [["max_waiting"]]
        assert pool.stats().refused == 1


@KINDS
@virtual
async def test_no_waiters_allowed_still_lends_what_is_idle(shared: bool) -> None:
    """Scenario 9: MAX_WAITING=0 refuses whoever would have to queue, once there are connections."""
    async with lab(shared=shared, max_size=1, max_waiting=1) as pool:
        async with pool.acquire():
            pass
        pool.config = pool.config.replace(max_waiting=0)
        async with pool.acquire():
            with pytest.raises(TooManyRequests):
                await pool.acquire()
        async with pool.acquire():
            pass


@KINDS
@virtual
async def test_timeout_per_call(shared: bool) -> None:
    """Scenario 10: the timeout of a call takes the place of ACQUIRE_TIMEOUT, shorter or longer."""
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=1, acquire_timeout=5) as pool, pool.acquire():
        for timeout in (0.25, 30):
            started = loop.time()
            with pytest.raises(PoolTimeout, match=f"within {timeout:g} s"):
                await pool.acquire(timeout=timeout)
            assert loop.time() - started == pytest.approx(timeout)


@KINDS
@virtual
async def test_timeout_of_zero_tries_once(shared: bool) -> None:
    """Scenario 10: 0 takes what is idle, or opens where there is room, and queues behind nobody."""
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=2) as pool:
        pool.server.create.slow(seconds=0.5)
        first = await pool.acquire(timeout=0)
        second = await pool.acquire(timeout=0)
        started = loop.time()
        with pytest.raises(PoolTimeout, match="within 0 s"):
            await pool.acquire(timeout=0)
        assert loop.time() == started
        second.release()
        third = await pool.acquire(timeout=0)
        third.release()
        first.release()


@KINDS
@virtual
async def test_timeout_of_zero_does_not_queue_behind_others(shared: bool) -> None:
    """Scenario 10: the connect under way belongs to who came first."""
    async with lab(shared=shared, max_size=1) as pool:
        pool.server.create.hold()
        first = asyncio.create_task(_hold(pool, 0))
        await turns(3)
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)
        pool.server.create.open()
        await first


@KINDS
@virtual
async def test_nested_acquire_is_reported(shared: bool) -> None:
    """Scenario 11: a task that acquires while it holds a lease of the same pool is told of, with
    both leases; where every connection is held so, nobody can go on."""
    async with lab(shared=shared, max_size=2) as pool:
        async with pool.acquire(), pool.acquire():
            assert len(pool.leases()) == 2
            (inner, outer) = pool.witness.details("nested")[0]
            assert inner is not outer
            assert inner.task is outer.task is asyncio.current_task()
        assert pool.stats().nested == 1

        async def nest() -> None:
            async with pool.acquire():
                await asyncio.sleep(1)
                async with pool.acquire(timeout=3):
                    pass

        results = await asyncio.gather(nest(), nest(), return_exceptions=True)
        assert [type(result) for result in results] == [PoolTimeout, PoolTimeout]
        assert "longest held for 4 s" in str(results[0])
        await all_can_be_held(pool)


@virtual
async def test_leases_of_different_tasks_are_not_nested() -> None:
    """Scenario 11: two tasks that hold one each are no hazard."""
    async with lab(max_size=3) as pool:
        async with pool.acquire():
            await asyncio.gather(_hold(pool, 1), _hold(pool, 1))
        async with pool.acquire():
            pass
        async with pool.acquire():
            pass
        assert pool.stats().nested == 0


async def _hold(pool: Pool[object], seconds: float) -> None:
    async with pool.acquire():
        await asyncio.sleep(seconds)


async def _sign(
    pool: Pool[object], name: str, served: list[str], timeout: float | None = None
) -> None:
    async with pool.acquire(timeout=timeout):
        served.append(name)
        await turns(2)
