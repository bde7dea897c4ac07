"""What the scenarios leave open of a pool's behaviour."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

from poolapp.core.exceptions import (
    BackendUnavailable,
    CircuitOpen,
    PoolClosed,
    PoolError,
    PoolTimeout,
)
from tests.fake import KINDS, FakePool, all_can_be_held, lab, make_pool, quiet
from tests.virtual import Clock, VirtualLoop, turns, virtual


async def visit(pool: FakePool, seconds: float = 0.0) -> int:
    async with pool.acquire() as connection:
        return await connection.query(seconds)


# -- reuse -----------------------------------------------------------------------------------------


@virtual
async def test_idle_connections_are_reused_last_in_first_out() -> None:
    async with lab(max_size=3) as pool:
        leases = [await pool.acquire() for _ in range(3)]
        for lease in leases:
            lease.release()
        assert [await visit(pool) for _ in range(3)] == [3, 3, 3]


@KINDS
@virtual
async def test_connection_used_lately_is_lent_without_a_round_trip_or_a_turn(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        await visit(pool)
        calls = list(pool.server.calls)
        borrowing = pool.acquire().__aenter__()
        with pytest.raises(StopIteration) as ended:
            borrowing.send(None)
        assert ended.value.value is pool.server.connections[0]
        pool.leases()[0].release()
        assert pool.server.calls == calls


@KINDS
@virtual
async def test_connection_idle_for_longer_than_check_after_is_checked_once(shared: bool) -> None:
    async with lab(shared=shared, check_after=2) as pool:
        await visit(pool)
        await asyncio.sleep(1.9)
        await visit(pool)
        assert pool.server.count("check") == 0
        await asyncio.sleep(2.1)
        await visit(pool)
        await visit(pool)
        assert pool.server.count("check") == 1


@KINDS
@virtual
async def test_check_after_zero_checks_always(shared: bool) -> None:
    async with lab(shared=shared, check_after=0) as pool:
        for _ in range(4):
            await visit(pool)
        assert pool.server.count("check") == 3


@virtual
async def test_several_stale_connections_are_checked_at_once() -> None:
    async with lab(max_size=4, max_connecting=4) as pool:
        await asyncio.gather(*(visit(pool, 1) for _ in range(4)))
        await asyncio.sleep(10)
        pool.server.check.slow(seconds=1)
        started = pool.loop.time()
        await asyncio.gather(*(visit(pool) for _ in range(4)))
        assert pool.loop.time() - started == pytest.approx(1)
        assert pool.server.created == 4


@virtual
async def test_shared_client_is_checked_once_for_all_seats() -> None:
    async with lab(shared=True, max_size=5) as pool:
        await asyncio.gather(*(visit(pool, 1) for _ in range(5)))
        assert (pool.idle, pool.server.created) == (5, 1)
        await asyncio.sleep(10)
        await asyncio.gather(*(visit(pool, 1) for _ in range(5)))
        assert pool.server.count("check") == 1
        pool.server.check.fail()
        await asyncio.sleep(10)
        await asyncio.gather(*(visit(pool, 1) for _ in range(5)))
        assert pool.server.created == 2
        assert pool.stats().lost == 1
        pool.server.check.ok()
        await all_can_be_held(pool)


@virtual
async def test_clean_lease_needs_no_reset() -> None:
    async with lab(resets=True) as pool:
        async with pool.acquire(clean=True):
            pass
        assert pool.server.count("reset") == 0
        await visit(pool)
        await quiet(pool)
        assert pool.server.count("reset") == 1


# -- shared clients --------------------------------------------------------------------------------


@virtual
async def test_seats_are_leases_of_one_client() -> None:
    async with lab(shared=True, max_size=3) as pool:
        leases = [await pool.acquire() for _ in range(3)]
        assert len({lease.connection for lease in leases}) == 1
        assert (pool.size, pool.in_use, pool.budget.used) == (3, 3, 3)
        with pytest.raises(PoolTimeout):
            await pool.acquire(timeout=0)
        for lease in leases:
            lease.release()
        assert (pool.size, pool.idle) == (3, 3)


@virtual
async def test_lost_client_is_replaced_while_its_holders_finish() -> None:
    async with lab(shared=True, max_size=3) as pool:
        first, second = await pool.acquire(), await pool.acquire()
        old = first.connection
        old.kill()
        third = await pool.acquire()
        assert third.connection is not old
        assert (pool.size, pool.in_use) == (3, 3)
        first.release()
        assert old.open, "somebody still holds it"
        second.release()
        assert not old.open
        third.release()
        assert (pool.size, pool.idle) == (1, 1)
        await all_can_be_held(pool)


@virtual
async def test_error_of_one_holder_has_the_client_checked_for_the_next() -> None:
    async with lab(shared=True, max_size=2) as pool:
        with pytest.raises(ConnectionError):
            async with pool.acquire() as connection:
                connection.known_dead = True
                raise ConnectionError
        connection.known_dead = False
        await visit(pool)
        assert pool.server.count("check") == 1
        assert pool.server.created == 1


@KINDS
@virtual
async def test_error_of_the_holders_own_costs_no_connection(shared: bool) -> None:
    async with lab(shared=shared, max_size=2) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire():
                raise ZeroDivisionError
        await visit(pool)
        assert pool.server.calls == ["create"]


@virtual
async def test_connects_of_a_shared_client_are_made_one_by_one() -> None:
    async with lab(shared=True, max_size=10, max_connecting=5) as pool:
        pool.server.create.slow(turns=5)
        await asyncio.gather(*(visit(pool, 1) for _ in range(10)))
        assert pool.server.created == 1


# -- failure ---------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_refusal_while_the_circuit_is_open_is_immediate_and_says_when(shared: bool) -> None:
    async with lab(shared=shared, acquire_timeout=60) as pool:
        pool.server.create.fail(ConnectionRefusedError("nobody there"))
        with pytest.raises(CircuitOpen):
            await pool.acquire()
        started = pool.loop.time()
        with pytest.raises(CircuitOpen) as caught:
            await pool.acquire()
        assert pool.loop.time() == started
        assert str(caught.value) == (
            "pool 'fake': the server is unavailable (5 connects failed in a row, the next is tried "
            f"in {caught.value.retry_after:.1f} s); "
            "last error: ConnectionRefusedError: nobody there"
        )
        assert pool.stats().last_error == "ConnectionRefusedError: nobody there"
        assert pool.stats().breaker_open


@KINDS
@virtual
async def test_first_acquire_after_the_delay_is_the_prober_and_waits(shared: bool) -> None:
    async with lab(shared=shared, acquire_timeout=60) as pool:
        pool.server.create.fail()
        with pytest.raises(CircuitOpen) as caught:
            await pool.acquire()
        await asyncio.sleep(caught.value.retry_after + 0.01)
        pool.server.create.hold()
        prober = asyncio.create_task(visit(pool))
        await turns(2)
        with pytest.raises(CircuitOpen):
            await pool.acquire()
        pool.server.create.open()
        assert await prober == 1
        assert not pool.stats().breaker_open


@KINDS
@virtual
async def test_refused_callers_keep_the_probes_going(shared: bool) -> None:
    """Nobody waits while the circuit is open, yet the server's return is found out."""
    async with lab(shared=shared, acquire_timeout=60) as pool:
        pool.server.create.fail(times=9)
        started = pool.loop.time()
        refused = 0
        while pool.stats().acquired == 0:
            try:
                await visit(pool)
            except CircuitOpen:
                refused += 1
                await asyncio.sleep(1)
        assert pool.stats().connect_failed == 9
        assert refused > 20
        assert pool.loop.time() - started < 60


@virtual
async def test_circuit_stays_closed_while_a_connection_lives() -> None:
    async with lab(max_size=3, acquire_timeout=5) as pool:
        async with pool.acquire():
            pool.server.create.fail()
            with pytest.raises(PoolTimeout, match="last connect error: ConnectionRefusedError"):
                await pool.acquire(timeout=100)
            assert pool.stats().connect_failed > 5
            assert not pool.stats().breaker_open
        assert await visit(pool) == 1


@KINDS
@virtual
async def test_outage_of_what_is_idle_does_not_open_the_circuit_for_good(shared: bool) -> None:
    async with lab(shared=shared, max_size=2, acquire_timeout=60) as pool:
        await visit(pool)
        for _ in range(3):
            pool.server.create.fail(times=6)
            pool.server.kill_all()
            with pytest.raises(CircuitOpen) as caught:
                await pool.acquire()
            await asyncio.sleep(caught.value.retry_after + 1)
            while pool.stats().breaker_open:
                try:
                    await visit(pool)
                except CircuitOpen as error:
                    await asyncio.sleep(error.retry_after + 0.01)
            await visit(pool)
        assert pool.witness.count("breaker_opened") == pool.witness.count("breaker_closed") == 3


@KINDS
@virtual
async def test_ping_measures_the_answer_alone(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        pool.server.create.slow(seconds=3)
        pool.server.check.slow(seconds=0.25)
        assert await pool.ping() == pytest.approx(0.25)
        assert pool.in_use == 0


@KINDS
@pytest.mark.parametrize("behaviour", ["fail", "never"])
@virtual
async def test_failed_ping_drops_the_connection_and_is_an_outage(
    shared: bool, behaviour: str
) -> None:
    async with lab(shared=shared, max_size=1, check_timeout=2) as pool:
        await visit(pool)
        getattr(pool.server.check, behaviour)()
        with pytest.raises(BackendUnavailable, match="pool 'fake': no good answer: "):
            await pool.ping()
        pool.server.check.ok()
        assert await visit(pool) == 2
        await all_can_be_held(pool)


# -- states ----------------------------------------------------------------------------------------


@KINDS
@virtual
async def test_pool_is_an_async_context_manager(shared: bool) -> None:
    async with make_pool(shared=shared) as pool:
        await visit(pool)
    assert pool.state == "closed"
    assert repr(pool) == "<FakePool 'fake' closed: size 0, 0 in use, 0 idle, 0 waiting>"
    with pytest.raises(PoolClosed):
        await pool.acquire()


@KINDS
@virtual
async def test_pause_and_resume_of_a_closed_pool_change_nothing(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        pool.resume()
        await pool.close()
        pool.pause()
        pool.resume()
        pool.drain()
        pool.reset()
        pool.pump()
        pool.sweep()
        assert pool.state == "closed"


@KINDS
@virtual
async def test_connect_that_ends_while_paused_lies_by(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        pool.server.create.hold()
        waiter = asyncio.create_task(visit(pool))
        await turns(3)
        pool.pause()
        pool.server.create.open()
        await quiet_but(pool, waiter)
        assert (pool.idle, pool.waiting) == (1, 1)
        pool.resume()
        assert await waiter == 1


async def quiet_but(pool: FakePool, *waiting: asyncio.Task[object]) -> None:
    while others := asyncio.all_tasks() - {asyncio.current_task(), *waiting}:
        await asyncio.wait(others)


@KINDS
@virtual
async def test_tell_acts_at_once_on_the_loop(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        pool.tell("pause")
        assert pool.state == "paused"
        pool.tell("resume")
        thread = threading.Thread(target=pool.tell, args=["pause"])
        thread.start()
        thread.join()
        assert pool.state == "open"
        await turns(2)
        assert pool.state == "paused"
        pool.resume()


def test_tell_of_a_closed_loop_is_heard_by_nobody() -> None:
    loop = asyncio.new_event_loop()
    pool = make_pool(loop=loop)
    loop.close()
    pool.tell("pause")
    assert not pool.wake("pump")
    pool.abandon()
    assert pool.state == "closed"


@virtual
async def test_fault_of_a_verb_is_the_callers_and_not_repeated() -> None:
    async with lab() as pool:
        calls = []

        def fail() -> None:
            calls.append(1)
            raise RuntimeError("a fault")

        pool.drain = fail  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="a fault"):
            pool.tell("drain")
        await turns(3)
        assert calls == [1]


def test_loop_may_move_to_another_thread() -> None:
    """As servers do that make their loop in one thread and run it in another."""
    pools: list[FakePool] = []

    async def first() -> None:
        pools.append(make_pool())
        await visit(pools[0])

    async def then() -> None:
        assert await visit(pools[0]) == 1
        lease = await pools[0].acquire()
        pools[0].release(lease)
        await pools[0].close()

    with asyncio.Runner() as runner:
        runner.run(first())
        thread = threading.Thread(target=runner.get_loop().run_until_complete, args=[then()])
        thread.start()
        thread.join()
    assert pools[0].state == "closed"


def test_interrupt_within_a_connect_costs_no_permit() -> None:
    """Ctrl-C comes up wherever the interpreter happens to be."""
    loop = VirtualLoop()
    pool = make_pool(loop=loop)
    pool.server.create.fail(KeyboardInterrupt(), times=1)
    waiting = loop.create_task(visit(pool))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(waiting)
    loop.run_until_complete(asyncio.sleep(0))
    assert (pool.size, pool.budget.used, pool.budget.connecting) == (0, 0, 0)
    assert loop.run_until_complete(waiting) == 1
    loop.run_until_complete(pool.close())
    loop.close()


def test_adapter_that_can_not_abandon_does_not_keep_the_permits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = VirtualLoop()
    pool = make_pool(loop=loop)
    loop.run_until_complete(visit(pool))
    loop.close()

    def fail(connection: object) -> None:
        raise RuntimeError("Event loop is closed")

    monkeypatch.setattr(pool.backend, "abandon", fail)
    pool.abandon()
    assert pool.state == "closed"
    assert pool.budget.used == 0


class Request:
    """What a borrower's context holds."""


request: ContextVar[Request] = ContextVar("request")


@KINDS
@virtual
async def test_connection_neither_sees_nor_keeps_its_first_borrowers_context(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a driver starts in a connect lives as long as the connection does."""
    async with lab(shared=shared, resets=not shared, max_size=1, min_size=1) as pool:
        seen: list[object] = []
        for step in ("connect", "check", "close", *([] if shared else ["reset"])):
            real = getattr(pool.backend, step)

            async def spy(*details: object, real: Any = real) -> object:
                seen.append(request.get(None))
                return await real(*details)

            monkeypatch.setattr(pool.backend, step, spy)
        pool.server.create.fail(times=1)
        gone: list[weakref.ref[Request]] = []

        async def serve() -> None:
            request.set(Request())
            gone.append(weakref.ref(request.get()))
            await asyncio.gather(visit(pool, 1), visit(pool))

        await asyncio.create_task(serve())
        await asyncio.sleep(5)
        await asyncio.create_task(serve())
        pool.drain()
        await asyncio.sleep(1)
        assert len(seen) > 4
        assert set(seen) == {None}
        pool.witness.log.clear()
        gc.collect()
        assert [each() for each in gone] == [None, None]


# -- housekeeping ----------------------------------------------------------------------------------


@KINDS
@virtual
async def test_clock_is_passed_in(shared: bool) -> None:
    clock = Clock()
    pool = make_pool(shared=shared, leak_after=60)
    pool.clock = clock
    lease = await pool.acquire()
    clock.advance(61)
    pool.sweep()
    assert pool.witness.count("leaked") == 1
    assert lease.held == 61
    lease.release()
    await pool.close()


@KINDS
@virtual
async def test_sweep_closes_what_has_lived_too_long_though_idle(shared: bool) -> None:
    async with lab(shared=shared, max_lifetime=100, idle_timeout=1e6) as pool:
        await asyncio.gather(*(visit(pool, 1) for _ in range(3)))
        await asyncio.sleep(130)
        assert pool.size == 0
        assert set(pool.witness.closed_because()) == {"lifetime"}
        assert pool.server.open == []


@KINDS
@virtual
async def test_idle_timeout_shorter_than_check_after(shared: bool) -> None:
    async with lab(shared=shared, idle_timeout=1, check_after=60) as pool:
        await visit(pool)
        await asyncio.sleep(0.5)
        assert pool.idle == 1
        await asyncio.sleep(1)
        assert pool.idle == 0


@KINDS
@virtual
async def test_unused_pool_has_no_timer_and_no_task(shared: bool) -> None:
    async with lab(shared=shared, min_size=2) as pool:
        assert len(asyncio.all_tasks()) == 1
        assert pool.server.calls == []


@KINDS
@virtual
async def test_closed_pool_leaves_no_timer(shared: bool) -> None:
    loop = asyncio.get_running_loop()
    async with lab(shared=shared, max_size=1) as pool:
        pool.server.create.fail(times=2)
        await visit(pool)
        async with pool.acquire():
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=1)
            with pytest.raises(PoolTimeout):
                await pool.acquire()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]


@KINDS
@virtual
async def test_size_is_what_is_open_on_the_server(shared: bool) -> None:
    """Also while a connection is opened or closed: the server counts it then."""
    async with lab(shared=shared, max_size=2) as pool:
        pool.server.create.hold()
        first = asyncio.create_task(visit(pool))
        await turns(3)
        assert (pool.size, pool.stats().connecting) == (1, 1)
        pool.server.create.open()
        await first
        pool.server.close.hold()
        pool.drain()
        await turns(3)
        assert pool.size == pool.budget.used == 1
        assert pool.idle == 0
        pool.server.close.open()
        await quiet(pool)
        assert pool.size == 0


@pytest.mark.parametrize("behaviour", ["fail", "never"])
@KINDS
@virtual
async def test_close_that_fails_or_hangs_is_ended_by_a_terminate(
    shared: bool, behaviour: str
) -> None:
    async with lab(shared=shared, max_size=1, close_timeout=3) as pool:
        await visit(pool)
        getattr(pool.server.close, behaviour)()
        pool.drain()
        started = pool.loop.time()
        assert await visit(pool) == 2
        assert pool.loop.time() - started == pytest.approx(3 if behaviour == "never" else 0)
        assert "terminate 1" in pool.server.calls
        pool.server.close.ok()


@KINDS
@virtual
async def test_acquire_gives_the_drivers_object_and_pool_error_is_the_base(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        async with pool.acquire() as connection:
            assert connection is pool.server.connections[0]
        with pytest.raises(PoolError):
            pool.release(None)  # type: ignore[arg-type]
