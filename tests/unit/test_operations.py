"""One operation on a borrowed connection, and what a driver tells of its own sockets."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from poolapp.core.backend import Sockets
from poolapp.core.exceptions import BackendUnavailable, PoolTimeout
from poolapp.core.lease import Lease
from tests.fake import (
    KINDS,
    FakeConnection,
    FakePool,
    SharedFakeBackend,
    all_can_be_held,
    lab,
    quiet,
)
from tests.virtual import virtual


def perform(pool: FakePool, operation: Callable[[FakeConnection], Awaitable[Any]]) -> Any:
    return pool._perform(Lease(pool, None, True, sys._getframe(1)), operation)


@KINDS
@virtual
async def test_operation_gives_its_result_and_the_connection_back(shared: bool) -> None:
    async with lab(shared=shared, max_size=2) as pool:
        assert await perform(pool, FakeConnection.query) == 1
        assert pool.stats().acquired == 1
        await all_can_be_held(pool)


@KINDS
@virtual
async def test_lost_connection_is_an_outage_caused_by_the_drivers_error(shared: bool) -> None:
    async with lab(shared=shared, max_size=2) as pool:

        async def lose(connection: FakeConnection) -> int:
            connection.kill(noticed=False)
            return await connection.query()

        with pytest.raises(BackendUnavailable, match=r"pool 'fake'.*may or may not") as caught:
            await perform(pool, lose)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        await all_can_be_held(pool)


@virtual
async def test_secrets_of_the_drivers_error_stay_hidden() -> None:
    async with lab(options={"password": "hunter22"}) as pool:

        async def tell(connection: FakeConnection) -> None:
            connection.kill()
            raise ConnectionResetError("reset by hunter22@there")

        with pytest.raises(BackendUnavailable, match=r"reset by \*\*\*@there"):
            await perform(pool, tell)


@KINDS
@virtual
async def test_other_errors_come_out_as_they_are(shared: bool) -> None:
    async with lab(shared=shared) as pool:
        refusal = KeyError("no such thing")

        async def refuse(connection: FakeConnection) -> None:
            raise refusal

        with pytest.raises(KeyError) as caught:
            await perform(pool, refuse)
        assert caught.value is refusal
        assert pool.stats().lost == 0


@KINDS
@virtual
async def test_cancelled_operation_gives_its_slot_back(shared: bool) -> None:
    async with lab(shared=shared, max_size=1) as pool:
        begun = asyncio.Event()

        async def for_ever(connection: FakeConnection) -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(perform(pool, for_ever))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await quiet(pool)
        await all_can_be_held(pool)


@virtual
async def test_operation_waits_for_its_turn_as_any_acquire() -> None:
    async with lab(max_size=1, acquire_timeout=0.5) as pool, pool.acquire():
        with pytest.raises(PoolTimeout):
            await asyncio.create_task(perform(pool, FakeConnection.query))


class TestSockets:
    @virtual
    async def test_a_driver_without_sockets_of_its_own_tells_nothing(self) -> None:
        async with lab(shared=True) as pool, pool.acquire():
            assert pool.stats().sockets is None

    @virtual
    async def test_those_of_all_living_generations_are_counted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = {1: Sockets(open=3, in_use=1), 2: Sockets(open=2, in_use=2)}
        monkeypatch.setattr(
            SharedFakeBackend, "sockets", lambda self, connection: told[connection.number]
        )
        async with lab(shared=True) as pool:
            assert pool.stats().sockets is None, "nothing is connected yet"
            async with pool.acquire():
                assert pool.stats().sockets == told[1]
                pool.drain()
                async with pool.acquire():
                    assert pool.stats().sockets == Sockets(open=5, in_use=3)
            await quiet(pool)
            assert pool.stats().sockets == told[2]
            assert pool.stats().as_dict()["sockets"] == {"open": 2, "in_use": 2}

    @virtual
    async def test_an_adapter_that_fails_to_tell_spoils_no_picture(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(self: SharedFakeBackend, connection: FakeConnection) -> Sockets:
            raise RuntimeError("driver's internals have changed")

        monkeypatch.setattr(SharedFakeBackend, "sockets", fail)
        async with lab(shared=True) as pool, pool.acquire():
            with caplog.at_level(logging.ERROR, logger="poolapp.backends"):
                assert pool.stats().sockets is None
        assert "driver's internals have changed" in caplog.text
