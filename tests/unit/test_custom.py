"""Pools of plain async functions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import BackendUnavailable, ConfigurationError
from poolapp.core.registry import Registry
from tests.virtual import turns, virtual


class Wire:
    """A connection of a library that nobody has written an adapter for."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def close(self) -> None:
        self.said.append("close")


class Telegraph:
    """The functions that a user hands over."""

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.valid: object = True

    async def create(self) -> Wire:
        await asyncio.sleep(0)
        self.wires.append(Wire())
        return self.wires[-1]

    async def validate(self, wire: Wire) -> object:
        wire.said.append("validate")
        if isinstance(self.valid, Exception):
            raise self.valid
        return self.valid

    async def reset(self, wire: Wire) -> None:
        wire.said.append("reset")

    async def goodbye(self, wire: Wire) -> None:
        wire.said.append("goodbye")


@virtual
async def test_create_alone_is_enough() -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register("wire", create=telegraph.create, max_size=2)
    pool = registry["wire"]
    async with pool.acquire() as wire:
        assert wire is telegraph.wires[0]
    async with pool.acquire() as same:
        assert same is wire
    assert pool.stats().max_size == 2
    await registry.close_all()
    assert wire.said == ["close"], "its own plain close()"


@virtual
async def test_all_four_functions() -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register(
        "wire",
        create=telegraph.create,
        validate=telegraph.validate,
        reset=telegraph.reset,
        close=telegraph.goodbye,
        check_after=0,
    )
    pool = registry["wire"]
    async with pool.acquire() as wire:
        pass
    await turns(5)
    async with pool.acquire():
        pass
    await turns(5)
    async with pool.acquire(clean=True):
        pass
    await registry.remove("wire")
    assert wire.said == ["reset", "validate", "reset", "validate", "goodbye"]
    assert "wire" not in registry


@pytest.mark.parametrize("valid", [False, ValueError("cut")], ids=["False", "raises"])
@virtual
async def test_what_is_not_valid_is_replaced(valid: object) -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register("wire", create=telegraph.create, validate=telegraph.validate, check_after=0)
    pool = registry["wire"]
    async with pool.acquire() as wire:
        pass
    telegraph.valid = valid
    async with pool.acquire() as other:
        assert other is not wire
    assert wire.said == ["validate", "close"]
    assert pool.stats().lost == 1
    await registry.close_all()


@pytest.mark.parametrize("valid", [None, True, 0, ""], ids=repr)
@virtual
async def test_only_false_itself_means_not_valid(valid: object) -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register("wire", create=telegraph.create, validate=telegraph.validate)
    pool = registry["wire"]
    telegraph.valid = valid
    assert await pool.ping() >= 0
    await registry.close_all()


@virtual
async def test_ping_says_what_validate_said() -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register("wire", create=telegraph.create, validate=telegraph.validate)
    telegraph.valid = False
    with pytest.raises(
        BackendUnavailable,
        match=r"pool 'wire': no good answer: PoolError: validate\(\) returned False",
    ):
        await registry["wire"].ping()
    await registry.close_all()


@virtual
async def test_terminate_is_preferred_and_nothing_awaitable_is_called_unawaited() -> None:
    class Abrupt(Wire):
        def terminate(self) -> None:
            self.said.append("terminate")

    class Awaitable:
        said: list[str] = []  # noqa: RUF012

        async def close(self) -> None:
            self.said.append("close")

    class Bare:
        pass

    made: list[Any] = [Abrupt(), Awaitable(), Bare()]

    for index, wire in enumerate(made):

        async def create(wire: Any = wire) -> Any:
            return wire

        registry = Registry()
        registry.register("wire", create=create)
        async with registry["wire"].acquire():
            registry.reset("wire")
        await registry.close_all()
        assert getattr(wire, "said", []) == ([["terminate"], [], []][index])


def test_dropped_with_its_loop_closed_by_hand() -> None:
    registry, telegraph = Registry(), Telegraph()
    registry.register("wire", create=telegraph.create, close=telegraph.goodbye)

    async def visit() -> None:
        async with registry["wire"].acquire():
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(visit())
    loop.close()
    asyncio.run(visit())
    assert [wire.said for wire in telegraph.wires] == [["close"], ["goodbye"]]


def test_register_wants_one_of_both() -> None:
    registry, telegraph = Registry(), Telegraph()
    with pytest.raises(ConfigurationError, match="pool 'wire': give either a configuration or"):
        registry.register("wire")
    registry.register("wire", create=telegraph.create)
    with pytest.raises(ConfigurationError, match="registered already; remove it first"):
        registry.register("wire", create=telegraph.create)


@pytest.mark.parametrize(
    ("keyword", "hint"),
    [
        ("max_siz", "takes no 'max_siz'; did you mean 'max_size'?"),
        ("MAX_SIZE", "takes no 'MAX_SIZE'; did you mean 'max_size'?"),
        ("validat", "did you mean 'validate'?"),
        ("location", "takes no 'location'; "),
        ("locations", "takes no 'locations'; "),
        ("zzz", "takes no 'zzz'; it takes create, validate, reset, close, acquire_timeout, "),
    ],
)
def test_a_keyword_that_means_nothing_is_told(keyword: str, hint: str) -> None:
    registry, telegraph = Registry(), Telegraph()
    with pytest.raises(ConfigurationError, match=r"pool 'wire': register\(\) ") as caught:
        registry.register("wire", create=telegraph.create, **{keyword: 5})
    assert hint in str(caught.value)
    assert "wire" not in registry


def test_a_setting_beside_a_configuration_is_told() -> None:
    registry = Registry()
    config = PoolConfig(alias="wire", backend="tests.fake.FakeBackend")
    with pytest.raises(ConfigurationError, match="'max_size' beside a configuration, which has it"):
        registry.register("wire", config, max_size=5)
