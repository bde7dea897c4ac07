"""Storms that the scenarios don't ask for: observers that meddle, adapters that are broken."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from poolapp.core.events import EVENTS, Observer
from poolapp.core.exceptions import BackendUnavailable, PoolError
from poolapp.core.pool import Pool
from tests.fake import KINDS, FakeConnection, FakePool, all_can_be_held, lab, quiet, settled
from tests.virtual import VirtualLoop, run_virtual, turns, virtual


class Meddler(Observer):
    """Calls the pool's verbs from within its events."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.depth = 0
        self.meddling = True

    def heard(self, pool: Pool[Any]) -> None:
        if self.depth > 2 or not self.meddling or self.dice.random() > 0.05:
            return
        self.depth += 1
        try:
            match self.dice.randrange(5):
                case 0:
                    pool.drain()
                case 1:
                    pool.reset()
                case 2:
                    pool.pause()
                    pool.loop.call_later(0.01, pool.resume)
                case 3:
                    pool.pump()
                case 4:
                    pool.sweep()
        finally:
            self.depth -= 1


def _meddle(event: str) -> Callable[..., None]:
    return lambda self, pool, *details: self.heard(pool)


for _event in EVENTS:
    setattr(Meddler, _event, _meddle(_event))


@KINDS
@pytest.mark.parametrize("seed", range(20))
def test_verbs_may_be_called_from_within_events(shared: bool, seed: int) -> None:
    async def storm() -> None:
        dice = random.Random(seed)
        async with lab(
            shared=shared,
            resets=not shared,
            max_size=3,
            min_size=1,
            check_after=0.01,
            max_lifetime=0.3,
            idle_timeout=0.2,
            acquire_timeout=0.2,
        ) as pool:
            meddler = Meddler(dice)
            pool.events.add(meddler)
            pool.server.create.slow(turns=2)
            pool.server.check.slow(turns=3)
            pool.server.reset.slow(turns=1)

            async def customer() -> None:
                for _ in range(50):
                    try:
                        async with pool.acquire(clean=dice.random() < 0.5) as connection:
                            await connection.query(0.001)
                            if dice.random() < 0.1:
                                connection.kill(noticed=dice.random() < 0.5)
                    except (PoolError, ConnectionError):
                        pass

            await asyncio.gather(*(customer() for _ in range(8)))
            meddler.meddling = False
            pool.resume()
            await asyncio.sleep(0.05)
            await quiet(pool)
            assert pool.in_use == pool.waiting == 0
            assert pool.budget.used == pool.size
            await all_can_be_held(pool)

    run_virtual(storm())


@pytest.mark.parametrize("method", ["breaks", "is_closed", "watch", "is_hopeless", "terminate"])
@KINDS
@virtual
async def test_adapter_with_a_fault_costs_a_connection_not_a_slot(
    shared: bool,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with lab(shared=shared, resets=not shared, max_size=2, acquire_timeout=60) as pool:

        def broken(*details: object) -> bool:
            raise ZeroDivisionError("the adapter's own fault")

        monkeypatch.setattr(pool.backend, method, broken)
        for _ in range(6):
            with pytest.raises(ConnectionResetError):
                async with pool.acquire() as connection:
                    connection.alive = False
                    await connection.query()
            pool.server.create.fail(times=1)
            try:
                async with pool.acquire():
                    pass
            except BackendUnavailable:
                pass
        await asyncio.sleep(5)
        pool.server.create.ok()
        await quiet(pool)
        assert pool.in_use == 0
        assert pool.budget.used == pool.size
        monkeypatch.undo()
        await all_can_be_held(pool)
        if method == "terminate":
            for connection in pool.server.connections:
                connection.open = connection.alive  # the sockets it left behind


@KINDS
@virtual
async def test_step_that_swallows_its_cancel_costs_nothing_but_patience(shared: bool) -> None:
    async with lab(
        shared=shared, resets=not shared, max_size=2, close_timeout=1, check_timeout=1
    ) as pool:
        async with pool.acquire():
            pass
        await asyncio.sleep(5)
        pool.server.check.stubborn()
        visit = asyncio.create_task(_visit(pool))
        await turns(3)
        started = pool.loop.time()
        await pool.close()
        assert pool.loop.time() - started == pytest.approx(2)
        with pytest.raises(PoolError):
            await visit
        assert pool.budget.used == 0
        pool.server.check.open()
        await quiet(pool)
        settled(pool)


async def _visit(pool: FakePool) -> FakeConnection:
    async with pool.acquire() as connection:
        return connection


@KINDS
@virtual
async def test_tasks_of_the_pool_that_others_cancel_cost_no_slot(shared: bool) -> None:
    """Test runners and servers cancel all tasks they find, at any time."""
    async with lab(shared=shared, resets=not shared, max_size=3, acquire_timeout=30) as pool:
        dice = random.Random(7)
        pool.server.create.slow(turns=4)
        pool.server.check.slow(turns=4)
        pool.server.reset.slow(turns=4)
        pool.server.close.slow(turns=4)
        here = asyncio.current_task()
        visits: set[asyncio.Task[Any]] = set()
        for _ in range(200):
            visits.add(asyncio.create_task(_visit(pool)))
            if dice.random() < 0.1:
                pool.drain()
            if dice.random() < 0.1:
                await asyncio.sleep(3)
            await turns(dice.randrange(4))
            for task in asyncio.all_tasks() - {here} - visits:
                if dice.random() < 0.3:
                    task.cancel()
        await asyncio.wait(visits)
        assert not any(visit.cancelled() for visit in visits)
        assert {type(visit.exception()) for visit in visits} <= {
            type(None),
            BackendUnavailable,
        } | set(BackendUnavailable.__subclasses__())
        await asyncio.sleep(60)
        await quiet(pool)
        assert pool.in_use == 0
        assert pool.budget.used == pool.size
        assert pool.budget.connecting == pool.budget.closing == 0
        await all_can_be_held(pool)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@KINDS
def test_eager_tasks(shared: bool) -> None:
    """A loop whose tasks run their first step when they are made."""

    async def main() -> None:
        async with lab(shared=shared, resets=not shared, max_size=3, check_after=0.01) as pool:
            for turn in (0, 3):
                pool.server.create.slow(turns=turn)
                pool.server.check.slow(turns=turn)
                pool.server.reset.slow(turns=turn)
                await asyncio.gather(*(_visit(pool) for _ in range(20)))
                await asyncio.sleep(1)
                await asyncio.gather(*(_visit(pool) for _ in range(20)))
                pool.drain()
                await quiet(pool)
            await all_can_be_held(pool)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        factory = asyncio.eager_task_factory  # type: ignore[attr-defined,unused-ignore]
        runner.get_loop().set_task_factory(factory)
        runner.run(main())
