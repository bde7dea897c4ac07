"""Cancels at every turn of the loop: no slot is lost, nobody starves, no cancel is swallowed."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from poolapp.core.budget import Budget
from poolapp.core.exceptions import BackendUnavailable, PoolError, PoolTimeout
from tests.fake import (
    KINDS,
    SWEEP,
    FakePool,
    FakeServer,
    Witness,
    all_can_be_held,
    lab,
    make_pool,
    quiet,
    settled,
)
from tests.virtual import Loops, run_virtual, turns, virtual


async def borrow(pool: FakePool, seconds: float = 0.0) -> int:
    async with pool.acquire() as connection:
        return await connection.query(seconds)


@KINDS
@virtual
async def test_cancelled_waiter_leaks_no_slot_and_the_next_is_served(shared: bool) -> None:
    """Scenario 1: a cancelled waiter leaks no slot; the next waiter is served."""
    async with lab(shared=shared, max_size=1) as pool:
        lease = await pool.acquire()
        cancelled = asyncio.create_task(borrow(pool))
        patient = asyncio.create_task(borrow(pool))
        await turns(3)
        assert pool.waiting == 2
        cancelled.cancel()
        lease.release()
        assert await patient == 1
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert pool.stats().cancelled == 1
        await all_can_be_held(pool)


@KINDS
@pytest.mark.parametrize("resets", [False, True], ids=["no reset", "reset"])
def test_cancel_in_the_turn_of_the_grant(shared: bool, resets: bool) -> None:
    """Scenario 2: a cancel in the same turn as the grant, swept: no slot is lost, the next waiter
    is served, and every cancel that was accepted arrives."""
    for turn in SWEEP:
        for cancel_first in (False, True):
            run_virtual(_cancel_around_the_grant(shared, resets, turn, cancel_first))


async def _cancel_around_the_grant(
    shared: bool, resets: bool, turn: int, cancel_first: bool
) -> None:
    async with lab(shared=shared, resets=resets, max_size=1) as pool:
        pool.server.reset.slow(turns=10)
        lease = await pool.acquire()
        first = asyncio.create_task(borrow(pool))
        second = asyncio.create_task(borrow(pool))
        await turns(2)
        if cancel_first:
            accepted = first.cancel()
            await turns(turn)
            lease.release()
        else:
            lease.release()
            await turns(turn)
            accepted = first.cancel()
        assert await second == 1, f"the next waiter starved ({turn=})"
        await asyncio.wait([first])
        assert first.cancelled() or not accepted, f"a cancel was swallowed ({turn=})"
        await quiet(pool)
        assert (pool.in_use, pool.idle, pool.waiting) == (0, 1, 0), turn
        await all_can_be_held(pool)


@KINDS
def test_cancel_during_connect_wastes_no_connection(shared: bool) -> None:
    """Scenario 3: a cancel during connect: the connection finishes and joins the pool."""
    for turn in SWEEP:
        run_virtual(_cancel_during_connect(shared, turn))


async def _cancel_during_connect(shared: bool, turn: int) -> None:
    async with lab(shared=shared) as pool:
        pool.server.create.slow(turns=20)
        task = asyncio.create_task(borrow(pool))
        await turns(turn)
        task.cancel()
        await asyncio.wait([task])
        await quiet(pool)
        started = pool.server.count("create")
        assert pool.server.created == pool.idle == pool.size == started, f"{turn=}"
        assert await borrow(pool) == 1
        assert pool.server.created == 1, f"the connect was wasted ({turn=})"


@pytest.mark.parametrize("step", ["check", "reset", "close"])
def test_cancel_during_a_step_of_an_exclusive_connection(step: str) -> None:
    """Scenario 4: a cancel during check, reset and release: the step ends undisturbed, the slot
    comes back."""
    for turn in SWEEP:
        run_virtual(_cancel_during(step, turn, shared=False))


def test_cancel_during_the_check_of_a_shared_client() -> None:
    """Scenario 4, for a shared client."""
    for turn in SWEEP:
        run_virtual(_cancel_during("check", turn, shared=True))


async def _cancel_during(step: str, turn: int, *, shared: bool) -> None:
    settings = {"max_lifetime": 0.5} if step == "close" else {}
    async with lab(shared=shared, resets=step == "reset", max_size=1, **settings) as pool:
        assert await borrow(pool) == 1
        await asyncio.sleep(2)  # so that a check is due, or the life over
        getattr(pool.server, step).slow(turns=15)
        task = asyncio.create_task(borrow(pool))
        await turns(turn)
        task.cancel()
        await asyncio.wait([task])
        await quiet(pool)
        assert pool.in_use == pool.waiting == 0
        await all_can_be_held(pool)
        assert not pool.witness.closed_because()["lost"]


@KINDS
@virtual
async def test_cancel_while_the_release_waits_for_nothing(shared: bool) -> None:
    """Scenario 4: giving back awaits nothing, so a cancel can't come between."""
    async with lab(shared=shared, resets=not shared, max_size=1) as pool:
        pool.server.reset.hold()
        entered = asyncio.Event()

        async def hold() -> None:
            async with pool.acquire():
                entered.set()
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(hold())
        await entered.wait()
        task.cancel()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert pool.in_use == 0
        pool.server.reset.open()
        await all_can_be_held(pool)


@KINDS
@pytest.mark.parametrize("seed", range(40))
def test_random_storm(shared: bool, seed: int) -> None:
    """Scenario 5: a random storm of cancels, timeouts, kills, errors and verbs; at the end all
    MAX_SIZE can be held at once, the budget is what is open, and no task or lease is left."""
    run_virtual(_storm(shared, seed))


async def _storm(shared: bool, seed: int) -> None:
    dice = random.Random(seed)
    async with lab(
        shared=shared,
        resets=not shared,
        max_size=4,
        min_size=dice.choice([0, 2]),
        max_lifetime=0.2,
        idle_timeout=0.1,
        check_after=0.01,
        check_timeout=0.02,
        connect_timeout=0.02,
        close_timeout=0.02,
        acquire_timeout=0.05,
        max_waiting=dice.choice([None, 10]),
    ) as pool:
        await asyncio.gather(
            *(_client_in_a_storm(pool, dice) for _ in range(12)), _weather(pool, dice)
        )
        await _calm(pool)


async def _client_in_a_storm(pool: FakePool, dice: random.Random) -> None:
    for _ in range(60):
        task = asyncio.create_task(_one_storm_borrow(pool, dice))
        if dice.random() < 0.4:
            await turns(dice.randrange(12))
            task.cancel()
        elif dice.random() < 0.2:
            await asyncio.sleep(dice.random() * 0.05)
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, PoolError | ConnectionError | ZeroDivisionError), error


async def _one_storm_borrow(pool: FakePool, dice: random.Random) -> None:
    timeout = dice.choice([None, None, 0, 0.005, 0.05])
    async with pool.acquire(timeout=timeout, clean=dice.random() < 0.3) as connection:
        if dice.random() < 0.1:
            connection.kill(noticed=dice.random() < 0.5)
        if dice.random() < 0.5:
            await connection.query(dice.choice([0, 0.001, 0.01]))
        if dice.random() < 0.1:
            raise ZeroDivisionError
        if dice.random() < 0.1:
            async with pool.acquire(timeout=0.01):
                await turns(1)


async def _weather(pool: FakePool, dice: random.Random) -> None:
    server = pool.server
    for _ in range(120):
        gate = dice.choice([server.create, server.check, server.reset, server.close])
        match dice.randrange(12):
            case 0:
                gate.fail(times=dice.randrange(1, 4))
            case 1:
                gate.slow(turns=dice.randrange(40))
            case 2:
                gate.slow(seconds=dice.random() * 0.03)
            case 3:
                gate.never()
            case 4:
                server.kill_all(noticed=dice.random() < 0.7)
            case 5:
                pool.drain()
            case 6:
                pool.reset()
            case 7:
                pool.pause()
                await asyncio.sleep(0.01)
                pool.resume()
            case 8:
                size = dice.randrange(1, 7)
                minimum = min(size, pool.config.min_size)
                pool.reconfigure(pool.config.replace(max_size=size, min_size=minimum))
                pool.budget.resize(size)
            case _:
                gate.ok()
        assert pool.in_use >= 0
        assert pool.size >= 0
        await asyncio.sleep(dice.random() * 0.02)


async def _calm(pool: FakePool) -> None:
    server = pool.server
    for gate in (server.create, server.check, server.reset, server.close):
        gate.open()
    await _first_success(pool)
    await quiet(pool)
    assert pool.in_use == pool.waiting == 0
    assert pool.leases() == []
    assert pool.budget.used == pool.size
    if not pool.backend.shared:
        assert pool.size == len(server.open)
    await all_can_be_held(pool)


@KINDS
@pytest.mark.parametrize("seed", range(40))
def test_random_storm_over_several_loops(shared: bool, seed: int) -> None:
    """Scenario 5, over three loops that share one budget, moved in a random order."""
    with Loops(3, seed) as loops:
        server = FakeServer()
        budget = Budget(4, 2)
        pools = [
            make_pool(
                shared=shared,
                resets=not shared,
                server=server,
                budget=budget,
                witness=Witness(),
                loop=loop,
                max_size=4,
                max_lifetime=0.2,
                idle_timeout=0.1,
                check_after=0.01,
                check_timeout=0.02,
                connect_timeout=0.02,
                close_timeout=0.02,
                acquire_timeout=0.05,
            )
            for loop in loops.loops
        ]

        async def storm(pool: FakePool, dice: random.Random) -> None:
            await asyncio.gather(*(_client_in_a_storm(pool, dice) for _ in range(6)))

        async def weather(dice: random.Random) -> None:
            for _ in range(100):
                gate = dice.choice([server.create, server.check, server.reset, server.close])
                match dice.randrange(6):
                    case 0:
                        gate.fail(times=dice.randrange(1, 4))
                    case 1:
                        gate.slow(turns=dice.randrange(40))
                    case 2:
                        gate.slow(seconds=dice.random() * 0.03)
                    case 3:
                        dice.choice(pools).wake(dice.choice(["drain", "reset"]))
                    case 4:
                        budget.resize(dice.randrange(2, 6))
                    case 5:
                        gate.ok()
                await asyncio.sleep(dice.random() * 0.02)

        async def held(pool: FakePool) -> None:
            await _first_success(pool)
            for number in range(4):
                await pool.acquire(timeout=60)
                assert pool.in_use == number + 1
            for lease in pool.leases():
                lease.release()

        loops.run(
            *(
                loops.start(i, storm(pool, random.Random(f"{seed}.{i}")))
                for i, pool in enumerate(pools)
            ),
            loops.start(0, weather(random.Random(seed))),
        )
        for gate in (server.create, server.check, server.reset, server.close):
            gate.open()
        budget.resize(4)
        for index, pool in enumerate(pools):
            loops.run(loops.start(index, held(pool)))
            assert budget.used == sum(each.size for each in pools)
        loops.run(*(loops.start(index, pool.close()) for index, pool in enumerate(pools)))
        for pool in pools:
            settled(pool)


async def _first_success(pool: FakePool) -> None:
    """The delay after the last failed connect may outlast an acquire, but not by much."""
    for _ in range(40):
        try:
            await borrow(pool)
            return
        except (BackendUnavailable, PoolTimeout):
            await asyncio.sleep(1)
    raise AssertionError(f"it did not recover: {pool}")


@KINDS
@pytest.mark.parametrize("seed", range(40))
def test_close_ends_any_storm(shared: bool, seed: int) -> None:
    """Scenario 5, cut short: a close in the middle of the storm, and nothing is left."""

    async def storm() -> None:
        dice = random.Random(seed)
        async with lab(
            shared=shared,
            resets=not shared,
            max_size=3,
            min_size=1,
            check_after=0.01,
            acquire_timeout=0.1,
            check_timeout=0.1,
            connect_timeout=0.1,
            close_timeout=0.1,
        ) as pool:
            clients = [asyncio.create_task(_client_in_a_storm(pool, dice)) for _ in range(8)]
            weather = asyncio.create_task(_weather(pool, dice))
            await asyncio.sleep(dice.random())
            await turns(dice.randrange(10))
            await pool.close(timeout=dice.choice([0, None, 0.01]))
            assert pool.state == "closed"
            await asyncio.gather(*clients)
            weather.cancel()
            await asyncio.wait([weather])
            assert weather.cancelled() or weather.exception() is None

    run_virtual(storm())


BEHAVIOURS = ("ok", "fail", "slow", "never")
MATRIX = list(itertools.product(BEHAVIOURS, repeat=4))


@pytest.mark.parametrize("create", BEHAVIOURS)
def test_matrix_of_steps(create: str) -> None:
    """Scenario 6: create / check / reset / close, each ok / error / slow / never, all 256 cases:
    the size never exceeds the maximum, nothing hangs past its timeout."""
    for case in [case for case in MATRIX if case[0] == create]:
        try:
            run_virtual(_matrix_case(case, shared=False))
        except BaseException as error:
            raise AssertionError(f"create, check, reset, close = {case}") from error


@pytest.mark.parametrize("create", BEHAVIOURS)
def test_matrix_of_steps_of_a_shared_client(create: str) -> None:
    """Scenario 6, for a shared client, which has no reset: 64 cases."""
    for case in [case for case in MATRIX if case[0] == create and case[2] == "ok"]:
        try:
            run_virtual(_matrix_case(case, shared=True))
        except BaseException as error:
            raise AssertionError(f"create, check, reset, close = {case}") from error


async def _matrix_case(case: tuple[str, ...], *, shared: bool) -> None:
    loop = asyncio.get_running_loop()
    async with lab(
        shared=shared,
        resets=not shared,
        max_size=2,
        max_lifetime=8,
        check_after=0,
        connect_timeout=1,
        check_timeout=1,
        close_timeout=1,
        acquire_timeout=5,
        breaker=None,
    ) as pool:
        server = pool.server
        # One good connection first, so that each step has something to work on.
        assert await borrow(pool) == 1
        for gate, behaviour in zip(
            (server.create, server.check, server.reset, server.close), case, strict=True
        ):
            if behaviour == "slow":
                gate.slow(turns=3, seconds=0.3)
            else:
                getattr(gate, behaviour)()

        async def visit(number: int) -> None:
            await asyncio.sleep(number * 0.4)
            started = loop.time()
            try:
                async with pool.acquire():
                    assert pool.size <= 2
                    await asyncio.sleep(0.2)
            except PoolTimeout:
                pass
            assert loop.time() - started <= 5.3, "an acquire hung past its timeout"

        async def look() -> None:
            for _ in range(500):
                assert 0 <= pool.size <= 2
                assert pool.size <= pool.budget.used <= 2
                assert server.peak <= 2 or shared
                await asyncio.sleep(0.05)

        await asyncio.gather(look(), *(visit(number) for number in range(40)))
        started = loop.time()
        await pool.close()
        assert loop.time() - started <= 1 + 1 + 0.1, "the close hung past its timeout"
        assert pool.budget.used == 0
        assert server.open == [] or case[3] in ("fail", "never")
