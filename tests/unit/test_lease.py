"""What ``acquire()`` gives."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from poolapp.core.exceptions import PoolError
from poolapp.core.lease import NEVER, Entry, Lease
from tests.fake import KINDS, all_can_be_held, lab
from tests.virtual import virtual


@KINDS
@virtual
async def test_three_ways_to_borrow(shared: bool) -> None:
    async with lab(shared=shared, max_size=1) as pool:
        async with pool.acquire() as connection:
            assert await connection.query() == 1
        lease = await pool.acquire()
        assert lease.connection is connection
        lease.release()
        lease = await pool.acquire()
        pool.release(lease)
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_lease_that_holds_nothing_says_so(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        lease = pool.acquire()
        with pytest.raises(PoolError, match="this lease of pool 'fake' holds no connection"):
            _ = lease.connection
        with pytest.raises(PoolError, match="released before"):
            lease.release()
        assert "holding nothing" in repr(lease) or "not lent" in repr(lease)
        async with lease:
            assert ", held for 0.000 s>" in repr(lease)
        assert "holding nothing" in repr(lease) or "returned" in repr(lease)


@KINDS
@virtual
async def test_lease_can_be_used_again(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        lease = pool.acquire()
        for _ in range(3):
            async with lease as connection:
                assert connection.open
        assert pool.stats().acquired == 3
        assert pool.stats().nested == 0


@KINDS
@virtual
async def test_release_with_an_error_is_told_to_the_adapter(shared: bool) -> None:
    async with lab(shared=shared, max_size=1) as pool:
        lease = await pool.acquire()
        lease.connection.alive = False
        lease.connection.known_dead = True
        lease.release(ConnectionResetError("gone"))
        assert pool.stats().lost == (0 if shared else 1)
        async with pool.acquire() as connection:
            assert connection.number == 2


@KINDS
@virtual
async def test_lease_may_be_released_by_another_task(shared: bool) -> None:
    async with lab(shared=shared, max_size=2) as pool:
        taken = asyncio.Event()
        leases: list[Lease[object]] = []

        async def take() -> None:
            leases.append(await pool.acquire())
            taken.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            await taken.wait()
        leases[0].release()
        assert pool.leases() == []
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_leases_of_one_task_may_be_released_in_any_order(shared: bool) -> None:
    async with lab(shared=shared, max_size=3) as pool:
        for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [0, 2, 1], [2, 0, 1]):
            leases = [await pool.acquire() for _ in range(3)]
            assert set(pool.leases()) == set(leases)
            for position, index in enumerate(order):
                leases[index].release()
                assert set(pool.leases()) == {leases[left] for left in order[position + 1 :]}
        assert pool.in_use == 0


@virtual
async def test_site_is_the_line_of_the_acquire_in_all_ways_to_borrow() -> None:
    async with lab() as pool:
        async with pool.acquire():
            (lease,) = pool.leases()
            first = _line(lease)
        lease = await pool.acquire()
        second = _line(lease)
        lease.release()
        assert second == first + 3
        assert lease.site.endswith("in test_site_is_the_line_of_the_acquire_in_all_ways_to_borrow")


def _line(lease: Lease[object]) -> int:
    return int(lease.site.split(":")[-1].split(" ")[0])


@virtual
async def test_site_keeps_no_local_variable_alive() -> None:
    class Big:
        pass

    async with lab() as pool:
        gone: list[weakref.ref[Big]] = []

        async def borrow() -> Lease[object]:
            big = Big()
            gone.append(weakref.ref(big))
            return await pool.acquire()

        lease = await borrow()
        assert gone[0]() is None
        lease.release()


@KINDS
@virtual
async def test_what_was_lent_is_freed_without_the_collector(shared: bool) -> None:
    """No cycle keeps a lease, its error or its task until the garbage collector comes."""
    async with lab(shared=shared, max_size=1, acquire_timeout=1) as pool:
        gone: list[weakref.ref[object]] = []

        async def visit() -> None:
            gone.append(weakref.ref(asyncio.current_task()))  # type: ignore[arg-type]
            async with pool.acquire():
                await asyncio.sleep(0.1)

        async def fail() -> None:
            gone.append(weakref.ref(asyncio.current_task()))  # type: ignore[arg-type]
            try:
                async with pool.acquire(timeout=0.01):
                    pass
            except TimeoutError as error:
                gone.append(weakref.ref(error))

        gc.collect()
        gc.disable()
        try:
            for main in (visit(), visit(), fail(), fail()):
                task = asyncio.create_task(main)
                del main
                if len(gone) % 2:
                    await task
                del task
            await asyncio.sleep(1)
            pool.witness.log.clear()
            assert [each() for each in gone if each() is not None] == []
        finally:
            gc.enable()


@virtual
async def test_holder_and_stack_outside_of_coroutines() -> None:
    async with lab() as pool:
        lease = await pool.acquire()
        task, lease.task = lease.task, None
        assert lease.holder == "no task"
        assert lease.stack() == [lease.site]
        lease.task = task
        assert lease.stack()[-1] == lease.site
        lease.release()


def test_entry_keeps_the_first_reason_of_its_end() -> None:
    entry = Entry(object(), 1, 0.0, 10.0, 5.0)
    assert not entry.condemned
    assert entry.reason == "lifetime"
    entry.condemn("drained")
    entry.condemn("lost")
    assert entry.condemned
    assert entry.expires_at == NEVER
    assert entry.reason == "drained"


@KINDS
@virtual
async def test_held_counts_from_the_moment_it_was_lent(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        pool.server.create.slow(seconds=3)
        lease = await pool.acquire()
        await asyncio.sleep(2)
        assert lease.held == pytest.approx(2)
        lease.release()
