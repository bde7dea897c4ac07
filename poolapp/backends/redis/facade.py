"""redis-py's own methods, each on a lease of its own: ``pool.commands.get("key")``."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    # Which methods there are is redis-py's, and what they give: an answer, or the pipeline itself.
    Methods = Any
    from poolapp.backends.redis.pool import Command, RedisPool
else:
    from redis.commands import AsyncCoreCommands, AsyncRedisModuleCommands

    class Methods(AsyncRedisModuleCommands, AsyncCoreCommands):
        """All that redis-py's own clients have, by way of ``execute_command``."""

        _is_async_client = True


class Commands(Methods):  # type: ignore[misc]
    """Every command that ``redis.asyncio.Redis`` has a method for, by ``pool.execute``.

    It holds nothing, so that it may be kept for as long as the pool.
    """

    def __init__(self, pool: RedisPool) -> None:
        self._pool = pool

    def execute_command(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
        return self._pool._execute(_caller(), args, options)

    def pipeline(self, transaction: bool = True, shard_hint: object = None) -> Pipeline:
        return Pipeline(self._pool, transaction)


class Pipeline(Methods):  # type: ignore[misc]
    """What ``pool.pipeline()`` gives: the methods collect commands, ``execute`` sends them all in
    one round trip, on a connection that is borrowed for just that.

    With ``transaction`` all of them are run, or none, and nothing else in between. It can't
    WATCH, for which a connection has to be held: use the borrowed client's own ``pipeline()``.
    """

    def __init__(self, pool: RedisPool, transaction: bool) -> None:
        self._pool = pool
        self._transaction = transaction
        self._commands: list[Command] = []

    def execute_command(self, *args: Any, **options: Any) -> Self:
        self._pool.refuse(args)
        self._commands.append((args, options))
        return self

    def execute(self, raise_on_error: bool = True) -> Coroutine[Any, Any, list[Any]]:
        """The answers in their order, and the pipeline is empty again.

        Raises the first error among them; with ``raise_on_error=False`` each error stands in its
        place. Raises BackendUnavailable when the connection is lost: some commands may have taken
        effect, of a transaction all or none.
        """
        commands, self._commands = self._commands, []
        if not commands:
            return _nothing()
        return self._pool._execute_all(
            sys._getframe(1), commands, self._transaction, raise_on_error
        )

    def __len__(self) -> int:
        return len(self._commands)

    def __bool__(self) -> bool:
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._commands.clear()

    def __await__(self) -> Any:
        raise PoolError("a pipeline's commands are sent by 'await pipeline.execute()'")


async def _nothing() -> list[Any]:
    return []


def _caller() -> FrameType:
    """The code that called redis-py's method."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("redis."):
        frame = frame.f_back
    return frame
