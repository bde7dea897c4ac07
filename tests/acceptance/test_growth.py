"""How a pool grows: within the budget of all loops, no faster than it must, and after an outage."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from poolapp.core.budget import Budget
from poolapp.core.exceptions import BackendUnavailable, CircuitOpen, PoolError, PoolTimeout
from poolapp.core.registry import Registry
from tests.fake import (
    KINDS,
    FakePool,
    FakeServer,
    Witness,
    all_can_be_held,
    config_of,
    lab,
    make_pool,
    quiet,
    settled,
)
from tests.virtual import Loops, forget, turns, virtual

# -- the budget over several loops -----------------------------------------------------------------


class Town(Loops):
    """Pools of one alias on several loops of one thread."""

    def __init__(self, count: int, *, limit: int, seed: int = 0, **settings: Any) -> None:
        super().__init__(count, seed)
        self.server = FakeServer()
        self.budget = Budget(limit, settings.setdefault("max_connecting", limit))
        self.pools = [
            make_pool(server=self.server, budget=self.budget, loop=loop, max_size=limit, **settings)
            for loop in self.loops
        ]

    def on(
        self, index: int, main: Callable[[FakePool], Coroutine[Any, Any, Any]]
    ) -> asyncio.Task[Any]:
        """Start something on one of the loops, with that loop's pool."""
        return self.start(index, main(self.pools[index]))

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        if kind is None:
            open_loops = [index for index, loop in enumerate(self.loops) if not loop.is_closed()]
            self.run(*(self.on(index, lambda pool: pool.close()) for index in open_loops))
        super().__exit__(kind, *details)
        if kind is None:
            for pool in self.pools:
                settled(pool)


async def visit(pool: FakePool, times: int = 1, seconds: float = 0.002) -> None:
    for _ in range(times):
        async with pool.acquire(timeout=60) as connection:
            await connection.query(seconds)


async def crowd(pool: FakePool, people: int, times: int = 20, seconds: float = 0.002) -> None:
    await asyncio.gather(*(visit(pool, times, seconds) for _ in range(people)))


def test_budget_over_eight_loops_in_eight_threads() -> None:
    """Scenario 12: the budget is never exceeded, over 8 loops in 8 threads."""
    registry = Registry()
    server = FakeServer()
    registry.register("fake", config_of(server=server, max_size=5, max_connecting=5))
    ready = threading.Barrier(8)
    failures: list[BaseException] = []

    async def main() -> None:
        ready.wait()
        await crowd(registry["fake"], 10, 30)  # type: ignore[arg-type]

    def thread() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=thread) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    assert server.peak <= 5
    assert server.open == []
    assert server.broken_rules == []
    assert registry.count() == 0
    assert registry._plans["fake"].budget.used == 0


@KINDS
@pytest.mark.parametrize("seed", range(10))
def test_budget_in_any_order_of_turns(shared: bool, seed: int) -> None:
    """Scenario 12: the same with the turns of 8 loops in a random order: everybody is served, and
    the leases of all loops together never exceed the limit."""
    witness = Witness()
    with Town(8, limit=5, seed=seed, shared=shared, witness=witness) as town:
        town.run(*(town.on(index, lambda pool: crowd(pool, 5, 5)) for index in range(8)))
        assert witness.peak <= 5
        assert town.server.peak <= 5 or shared
        assert witness.count("timed_out") == 0


@KINDS
def test_loop_gets_the_permit_of_another_loops_idle_connection(shared: bool) -> None:
    """Scenario 12: a loop that needs a permit while another loop holds idle connections gets one:
    the idle one is closed."""
    with Town(2, limit=3, shared=shared) as town:
        town.run(town.on(0, lambda pool: crowd(pool, 3, 1)))
        assert town.pools[0].idle == 3
        town.run(town.on(1, visit))
        assert town.pools[1].size == 1
        assert town.pools[0].size == 2
        assert town.budget.used == 3


@KINDS
def test_no_starvation_while_another_loop_is_busy(shared: bool) -> None:
    """Scenario 12: a loop that holds all permits and is never idle gives some up to another."""
    with Town(2, limit=4, shared=shared) as town:
        waits: list[float] = []

        async def poor(pool: FakePool) -> None:
            await asyncio.sleep(0.01)
            for _ in range(20):
                started = town.clock()
                await visit(pool)
                waits.append(town.clock() - started)

        town.run(town.on(0, lambda pool: crowd(pool, 12, 100)), town.on(1, poor))
        assert max(waits) < 0.05


def test_busy_loops_do_not_take_connections_from_each_other_and_back() -> None:
    """Scenario 12: two busy loops share an odd budget without a reconnect for each borrowing."""
    with Town(2, limit=3) as town:
        town.run(*(town.on(index, lambda pool: crowd(pool, 6, 100)) for index in range(2)))
        assert town.server.created <= 10


def test_waiters_of_the_only_busy_loop_cost_no_connection() -> None:
    """Scenario 12: while the other loops want nothing, a saturated loop keeps its connections."""
    with Town(2, limit=4) as town:
        town.run(town.on(1, visit))
        town.run(town.on(0, lambda pool: crowd(pool, 12, 50)))
        assert town.server.created <= 1 + 4
        assert town.pools[0].size == 4


def test_more_loops_than_permits() -> None:
    """Scenario 12: one permit goes round among four loops."""
    with Town(4, limit=1) as town:
        town.run(*(town.on(index, lambda pool: crowd(pool, 2, 3)) for index in range(4)))
        assert town.server.peak == 1


def test_permit_handed_to_a_loop_that_is_then_closed_comes_back() -> None:
    """Scenario 12: a loop may end before it hears of the permit that was given to it."""
    budget = Budget(1, 1)
    server = FakeServer()

    async def hold(pool: FakePool) -> Any:
        return await pool.acquire()

    async def end(pool: FakePool) -> None:
        lease.release()
        await pool.close()

    with Loops(2) as loops:
        first, second = [make_pool(server=server, budget=budget, loop=loop) for loop in loops.loops]
        (lease,) = loops.run(loops.start(0, hold(first)))
        waiting = loops.start(1, visit(second))
        while not second.waiting:
            loops.turn(1)
        ending = loops.start(0, end(first))
        while not ending.done():
            loops.turn(0)
        ending.result()
        assert budget.used == 1, "the permit is on its way"
        # The loop is closed by hand, without a turn in which it could hear of the permit.
        forget(waiting)
        loops.loops[1].close()
        second.abandon()
        assert budget.used == 0


def test_paused_pool_keeps_no_permit_from_others() -> None:
    """Scenario 12: a permit that comes to a paused pool goes on to who can use it."""
    with Town(3, limit=1) as town:
        holder, paused, _needy = town.pools

        async def hold(pool: FakePool) -> Any:
            return await pool.acquire()

        (lease,) = town.run(town.on(0, hold))

        async def give_up(pool: FakePool) -> None:
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=30)

        waiting = town.on(1, give_up)
        while not paused.waiting:
            town.turn(1)
        paused.pause()

        async def back(pool: FakePool) -> None:
            lease.release()
            await pool.close()

        town.run(town.on(0, back))
        town.run(town.on(2, lambda pool: visit(pool)))
        assert town.clock() < 1010, "the paused pool kept the permit until its waiter gave up"
        town.run(waiting)
        assert holder.state == "closed"


def test_pool_whose_connects_fail_keeps_no_permit_from_others() -> None:
    """Scenario 12: while a loop waits for its next attempt, another uses the permits."""
    with Town(2, limit=1, breaker=None) as town:

        async def hopeful(pool: FakePool) -> None:
            with pytest.raises(PoolTimeout):
                await pool.acquire(timeout=60)

        town.server.create.fail()
        waiting = town.on(0, hopeful)
        while town.pools[0].counters.connect_failed < 6:
            town.run(town.start(0, asyncio.sleep(1)))
        town.server.create.ok()
        started = town.clock()
        town.run(town.on(1, lambda pool: visit(pool)))
        assert town.clock() - started < 1
        waiting.cancel()
        town.run(town.on(0, lambda pool: asyncio.wait([waiting])))


# -- growth of one pool ----------------------------------------------------------------------------


@virtual
async def test_max_connecting_holds() -> None:
    """Scenario 13: at most MAX_CONNECTING connects are in flight."""
    async with lab(max_size=10, max_connecting=3) as pool:
        pool.server.create.hold()
        visits = [asyncio.create_task(visit(pool)) for _ in range(10)]
        await turns(5)
        assert pool.server.create.inside == pool.stats().connecting == 3
        pool.server.create.open()
        await asyncio.gather(*visits)


def test_max_connecting_holds_over_loops() -> None:
    """Scenario 13: over all loops of the process together."""
    with Town(4, limit=8, max_connecting=2) as town:
        most = 0
        town.server.create.slow(turns=5)

        async def look(pool: FakePool) -> None:
            nonlocal most
            while pool.counters.acquired < 10:
                most = max(most, town.server.create.inside)
                assert town.budget.connecting <= 2
                await asyncio.sleep(0.0005)

        town.run(
            *(town.on(index, lambda pool: crowd(pool, 5, 2)) for index in range(4)),
            *(town.on(index, look) for index in range(4)),
        )
        assert most == 2


@virtual
async def test_waiters_take_returned_connections_before_fresh_ones() -> None:
    """Scenario 13: 5 warm, 50 requests, 150 ms to connect, 2 ms a query: at most 5 new ones."""
    async with lab(max_size=50) as pool:
        await asyncio.gather(*(visit(pool, 1, 0.01) for _ in range(5)))
        assert pool.server.created == 5
        pool.server.create.slow(seconds=0.15)
        await asyncio.gather(*(visit(pool) for _ in range(50)))
        assert pool.loop.time() < 1000.05, "the requests waited for the connects"
        await quiet(pool)
        assert pool.server.created <= 10


@virtual
async def test_server_limit_below_max_size_is_no_error_while_a_connection_lives() -> None:
    """Scenario 14, on the fake: refused connects don't reach callers whom others can serve."""
    server = FakeServer(limit=3)
    async with lab(server=server, max_size=10) as pool:
        await crowd(pool, 30, 10)
        assert pool.stats().timed_out == pool.stats().refused == 0
        assert pool.size == 3
        assert not pool.stats().breaker_open


@KINDS
@virtual
async def test_recovers_after_first_connects_failed(shared: bool) -> None:
    """Scenario 15: first connects fail, then the pool recovers, without a new acquire's help."""
    async with lab(shared=shared) as pool:
        pool.server.create.fail(times=3)
        await visit(pool)
        assert pool.stats().connect_failed == 3
        assert pool.stats().last_error == ""
        assert pool.witness.names("connect_failed", "connected", "acquired") == [
            "connect_failed", "connect_failed", "connect_failed", "connected", "acquired",
        ]  # fmt: skip
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_keeps_trying_after_giving_up_once(shared: bool) -> None:
    """Scenario 15: when everybody was turned away, and the server returns, the next are served."""
    async with lab(shared=shared) as pool:
        pool.server.create.fail()
        with pytest.raises(CircuitOpen):
            await visit(pool)
        assert pool.witness.count("breaker_opened") == 1
        # Whoever comes while it is open has the next connect tried, at its time, for the rest.
        with pytest.raises(CircuitOpen) as caught:
            await pool.acquire()
        assert 0 < caught.value.retry_after <= 30
        pool.server.create.ok()
        await asyncio.sleep(caught.value.retry_after + 0.01)
        await quiet(pool)
        assert pool.idle == 1
        assert pool.witness.count("breaker_closed") == 1
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_hopeless_error_reaches_the_waiters_at_once(shared: bool) -> None:
    """Scenario 15: a wrong password is told to who waits, as a BackendUnavailable."""
    async with lab(shared=shared, acquire_timeout=60) as pool:
        pool.server.create.fail(PermissionError("password authentication failed"))
        started = pool.loop.time()
        with pytest.raises(BackendUnavailable, match="password authentication failed"):
            await visit(pool)
        assert pool.loop.time() == started
        pool.server.create.ok()
        await visit(pool)


@virtual
async def test_reconnects_ramp_after_an_outage() -> None:
    """Scenario 15: one prober goes first, and each connect that works doubles how many may."""
    async with lab(max_size=16, max_connecting=8) as pool:
        pool.server.create.fail(times=2)
        first = asyncio.create_task(pool.ping())
        await asyncio.sleep(0.01)
        pool.server.create.slow(seconds=1)
        crowded = asyncio.create_task(crowd(pool, 16, 1, seconds=60))
        at_once = []
        for _ in range(12):
            at_once.append(pool.stats().connecting)
            await asyncio.sleep(0.5)
        assert list(dict.fromkeys(at_once)) == [0, 1, 2, 8, 5]
        await asyncio.gather(first, crowded)


@KINDS
@virtual
async def test_concurrent_first_acquires_make_one_pool(shared: bool) -> None:
    """Scenario 16: 50 concurrent first acquires make one pool, and one client."""
    registry = Registry()
    server = FakeServer()
    registry.register("fake", config_of(server=server, shared=shared, max_size=50))
    pools: set[int] = set()

    async def first() -> None:
        pool = registry["fake"]
        pools.add(id(pool))
        await visit(pool)  # type: ignore[arg-type]

    await asyncio.gather(*(first() for _ in range(50)))
    assert len(pools) == registry.count() == 1
    if shared:
        assert server.created == 1
    await registry.close_all()
    assert server.open == []


@KINDS
@virtual
async def test_dead_backend_is_not_hammered(shared: bool) -> None:
    """Scenario 17: 1000 acquires against a dead backend make no 1000 connects."""
    async with lab(shared=shared, acquire_timeout=5) as pool:
        pool.server.create.fail()

        async def hopeful(number: int) -> BaseException:
            await asyncio.sleep(number * 0.03)
            with pytest.raises(PoolError) as caught:
                await pool.acquire()
            return caught.value

        errors = await asyncio.gather(*(hopeful(number) for number in range(1000)))
        assert all(isinstance(error, BackendUnavailable | PoolTimeout) for error in errors)
        assert sum(isinstance(error, CircuitOpen) for error in errors) > 900
        assert pool.server.count("create") < 15
        assert "ConnectionRefusedError: connection refused" in str(errors[-1])
        assert pool.stats().breaker_open


@virtual
async def test_dead_backend_without_a_breaker() -> None:
    """Scenario 17: BREAKER = None leaves the backoff: who waits learns it from the timeout."""
    async with lab(breaker=None, acquire_timeout=5) as pool:
        pool.server.create.fail()
        results = await asyncio.gather(
            *(pool._lend_queued(pool.acquire()) for _ in range(1000)), return_exceptions=True
        )
        assert {type(result) for result in results} == {PoolTimeout}
        assert pool.server.count("create") < 10


# -- broken connections, on the fake ---------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
@virtual
async def test_all_idle_killed_is_no_error_to_callers(shared: bool, noticed: bool) -> None:
    """Scenario 18: all idle connections killed: zero errors to callers, who get fresh ones."""
    async with lab(shared=shared, max_size=5) as pool:
        await crowd(pool, 5, 1)
        if not noticed:
            await asyncio.sleep(2)
        pool.server.kill_all(noticed=noticed)
        started = pool.loop.time()
        await crowd(pool, 5, 1)
        assert pool.loop.time() - started < 0.1
        assert pool.stats().lost == (1 if shared else 5)
        await all_can_be_held(pool)


@virtual
async def test_one_dead_connection_makes_the_idle_rest_suspect() -> None:
    """Scenario 18: after one that died in its holder's hands the others are checked, however
    lately they were used, so one caller at the most sees an error."""
    async with lab(max_size=5) as pool:
        pool.server.watched = False
        await crowd(pool, 5, 1)
        pool.server.kill_all(noticed=False)
        errors = 0
        for _ in range(5):
            try:
                await visit(pool)
            except ConnectionResetError:
                errors += 1
        assert errors == 1


@KINDS
@virtual
async def test_killed_while_borrowed(shared: bool) -> None:
    """Scenario 19: the error reaches the holder, the slot comes back."""
    async with lab(shared=shared, max_size=2) as pool:
        with pytest.raises(ConnectionResetError):
            async with pool.acquire() as connection:
                connection.kill(noticed=False)
                await connection.query()
        await all_can_be_held(pool)
        assert pool.stats().lost == 1
        lost = pool.server.connections[0]
        assert not lost.open


@KINDS
@virtual
async def test_lost_while_borrowed_is_not_lent_again(shared: bool) -> None:
    """Scenario 19: the driver's word is enough, though its holder saw no error."""
    async with lab(shared=shared, max_size=2) as pool:
        async with pool.acquire() as connection:
            connection.kill()
            assert connection.open, "it is its holder's until it is returned"
        async with pool.acquire() as other:
            assert other is not connection
        assert pool.witness.details("lost")[0] == [True]
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_check_that_hangs_ends_at_check_timeout(shared: bool) -> None:
    """Scenario 22: a check that hangs ends at CHECK_TIMEOUT; its waiter gets a fresh one."""
    async with lab(shared=shared, max_size=1, check_timeout=2, acquire_timeout=5) as pool:
        await visit(pool)
        await asyncio.sleep(10)
        pool.server.check.never()
        started = pool.loop.time()
        await visit(pool, 1, 0)
        assert pool.loop.time() - started == pytest.approx(2, rel=0.01)
        assert pool.server.created == 2
        pool.server.check.ok()
        await all_can_be_held(pool)


@pytest.mark.parametrize("behaviour", ["fail", "never"])
@virtual
async def test_reset_that_fails_or_hangs_costs_the_connection_not_the_slot(behaviour: str) -> None:
    """Scenario 24: the connection goes, the slot comes back."""
    async with lab(resets=True, max_size=1, check_timeout=1) as pool:
        getattr(pool.server.reset, behaviour)()
        await visit(pool)
        await turns(2)
        pool.server.reset.ok()
        await visit(pool)
        assert pool.server.created == 2
        assert pool.witness.closed_because() == {"dirty": 1}
        await all_can_be_held(pool)


@virtual
async def test_next_holder_gets_a_clean_one() -> None:
    """Scenario 23, on the fake: what a holder has changed is undone before the next one."""
    async with lab(resets=True, max_size=1) as pool:
        async with pool.acquire() as connection:
            connection.dirty = True
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire(clean=True) as connection:
                connection.dirty = True
                raise ZeroDivisionError
        async with pool.acquire(clean=True) as connection:
            assert not connection.dirty
        assert pool.server.count("reset") == 2


@virtual
async def test_slow_reset_delays_only_the_next_holder() -> None:
    """Scenario 24: a returned connection is reset behind its holder's back."""
    async with lab(resets=True, max_size=1) as pool:
        pool.server.reset.slow(seconds=0.5)
        started = pool.loop.time()
        await visit(pool, 1, 0)
        assert pool.loop.time() == started
        await visit(pool, 1, 0)
        assert pool.loop.time() == pytest.approx(started + 0.5)
