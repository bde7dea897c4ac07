"""The client that is lent, and what is done with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.commands.cluster import READ_COMMANDS
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import MaxConnectionsError

from poolapp.backends.redis.connections import Register, writer_of
from poolapp.backends.redis.traits import name_of
from poolapp.core.backend import Sockets
from poolapp.core.resilience import RetryBudget, repeat_delay


class PooledRedis(Redis):
    """A ``redis.asyncio.Redis`` that repeats a command once when its connection is lost and the
    command only reads; one that writes may have taken effect, and is not repeated."""

    registers: tuple[Register, ...] = ()
    """Of the connections to the server, then of those to Sentinels."""
    repeats: RetryBudget | None = None
    """None where OPTIONS say how redis-py itself retries."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        repeats = self.repeats
        if repeats is None:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        repeats.deposit()
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except LostError as error:
            if not may_repeat(args, error) or not repeats.withdraw():
                raise
        await pause()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def sockets(self) -> Sockets:
        return _count(self.registers[0], list(self.connection_pool._in_use_connections))


class PooledCluster(RedisCluster):
    """A ``redis.asyncio.RedisCluster``, with as many connections to each node as there are
    leases."""

    registers: tuple[Register, ...] = ()

    def sockets(self) -> Sockets:
        in_use = []
        for node in list(self.nodes_manager.nodes_cache.values()):
            free = set(map(id, list(node._free)))
            in_use += [each for each in list(node._connections) if id(each) not in free]
        return _count(self.registers[0], in_use)


Client = PooledRedis | PooledCluster


def _count(register: Register, in_use: list[Any]) -> Sockets:
    return Sockets(
        open=len(register.open()), in_use=sum(writer_of(each) is not None for each in in_use)
    )


def may_repeat(command: tuple[Any, ...], error: LostError) -> bool:
    """Whether a command that only reads failed because its connection was lost. Subclasses of the
    error say more: a wrong password, a server that is loading."""
    return type(error) is LostError and not is_full(error) and name_of(command[0]) in _SAFE


def is_full(error: BaseException) -> bool:
    """Whether the client has no connection free: more commands at once than leases."""
    # Before version 6 redis-py had no class for it here.
    return isinstance(error, MaxConnectionsError) or str(error) == "Too many connections"


_SAFE = READ_COMMANDS | {"PING"}


async def pause() -> None:
    """Before a command is repeated: of many that failed at once the fewest meet again."""
    await asyncio.sleep(repeat_delay(1, random.random))


def retire_sockets(client: Client) -> None:
    """Have the client reconnect: its server became a replica, and its address may lead to another
    one by now."""
    if isinstance(client, PooledRedis):
        client.registers[0].retire(list(client.connection_pool._available_connections))
    else:
        for node in client.get_nodes():
            client.registers[0].retire(list(node._free))


def registers(client: Client) -> Iterator[Register]:
    """Of a client whose end has come: it won't connect again."""
    if isinstance(client, PooledCluster):
        client._initialize = True  # else it warns that nobody has closed it
    yield from client.registers
