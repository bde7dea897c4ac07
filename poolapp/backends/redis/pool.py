"""The short cuts of a Redis pool."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from functools import cached_property
from types import FrameType
from typing import TYPE_CHECKING, Any

from poolapp.backends.redis.coalescing import Coalescer
from poolapp.backends.redis.messages import Hub, Messages
from poolapp.backends.redis.traits import is_plain, refusal
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.subscription import Policy

if TYPE_CHECKING:
    from poolapp.backends.redis.clients import Client
    from poolapp.backends.redis.facade import Commands, Pipeline

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""Its words, and the options of ``Redis.execute_command``."""


class RedisPool(Pool["Client"]):
    """``execute``, ``publish``, ``pipeline`` and ``commands``, each on a connection that is
    borrowed for just that; ``subscribe``, on a connection of its own.

    Commands that are executed at the same time share a lease and a round trip (see Coalescer),
    except in a cluster. They raise what ``acquire`` raises; BackendUnavailable, caused by
    redis-py's error, when the connection is lost meanwhile, so that nobody knows whether a command
    took effect; and redis-py's ResponseError for whatever the server has against a command.
    """

    crossing = ("_execute", "_execute_all")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._coalescer = Coalescer(self)
        self._hub = Hub(self)
        self._is_cluster: bool | None = None

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over several servers, so that a command, or a transaction, can
        only have keys of one slot."""
        if self._is_cluster is None and (where := self.config.where()):
            self._is_cluster = where[0].scheme.endswith("+cluster")
        return bool(self._is_cluster)

    # These are plain functions that return a coroutine, so that the frame above is the caller's,
    # also when the coroutine is run by a task.

    def execute(self, *command: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        """One command, such as ``execute("SET", "key", "value", "EX", 60)``; its answer, converted
        as redis-py does for that command. ``options`` are those of ``Redis.execute_command``.

        Raises ValueError for a command that would leave the connection changed (``SELECT``,
        ``MULTI``, ``SUBSCRIBE``, ...), and says what to use instead.
        """
        return self._execute(sys._getframe(1), command, options)

    def publish(self, channel: str | bytes, message: Any) -> Coroutine[Any, Any, int]:
        """How many subscribers of this server the message reached."""
        return self._execute(sys._getframe(1), ("PUBLISH", channel, message), {})

    def _execute(
        self, frame: FrameType, command: tuple[Any, ...], options: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        plain = bool(command) and is_plain(command[0])
        if not plain:
            self.refuse(command)
        lease: Lease[Client] = Lease(self, None, True, frame)
        if plain and not self.is_cluster:
            return self._coalescer.submit(command, options, lease)
        return self._perform(lease, lambda it: it.execute_command(*command, **options))

    def _execute_all(
        self,
        frame: FrameType,
        commands: Sequence[Command],
        transaction: bool,
        raise_on_error: bool,
    ) -> Coroutine[Any, Any, list[Any]]:
        lease: Lease[Client] = Lease(self, None, True, frame)

        async def send(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=transaction)
            for args, options in commands:
                pipeline.execute_command(*args, **options)
            answers: list[Any] = await pipeline.execute(raise_on_error)
            return answers

        return self._perform(lease, send)

    def refuse(self, command: tuple[Any, ...]) -> None:
        """Raise ValueError when the command must not be run on a connection that others share."""
        hint = refusal(command)
        if hint is not None:
            name = " ".join(str(each) for each in command[:1])
            raise ValueError(f"pool {self.alias!r} does not execute {name!r}. {hint}")

    @cached_property
    def commands(self) -> Commands:
        """redis-py's own methods (``get``, ``hset``, ``scan_iter``, ...), each by ``execute``."""
        from poolapp.backends.redis.facade import Commands

        return Commands(self)

    def pipeline(self, transaction: bool = True) -> Pipeline:
        """Collects commands for one round trip: see Pipeline."""
        from poolapp.backends.redis.facade import Pipeline

        return Pipeline(self, transaction)

    # -- pub/sub -------------------------------------------------------------------------------

    def subscribe(
        self,
        *channels: str,
        patterns: Sequence[str] = (),
        limit: int = 1000,
        policy: Policy = "drop_oldest",
    ) -> Messages:
        """``async with pool.subscribe("channel") as messages: async for each in messages``: see
        Messages."""
        return Messages(
            self._hub, self.alias, channels=channels, patterns=patterns, limit=limit, policy=policy
        )

    def drain(self) -> None:
        super().drain()
        self._is_cluster = None  # it may be configured otherwise now
        self._hub.drop("the pool was drained")

    def reset(self) -> None:
        super().reset()
        self._hub.drop("the pool was reset")

    def close_soon(self, timeout: float | None = None) -> asyncio.Task[None]:
        self._hub.end()
        return super().close_soon(timeout)

    async def _close(self, patience: float) -> None:
        try:
            await super()._close(patience)
        finally:
            await self._hub.close()

    def abandon(self) -> None:
        self._hub.abandon()
        super().abandon()
