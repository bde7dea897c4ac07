"""A backend made of plain async functions, for ``pools.register(alias, create=...)``."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from poolapp.core.backend import BaseBackend
from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import PoolError

Step = Callable[[Any], Awaitable[object]]


class CustomBackend(BaseBackend[Any]):
    """Calls the functions it was given; what was not given is not done."""

    resetting: type[CustomBackend]

    def __init__(
        self,
        config: PoolConfig,
        create: Callable[[], Awaitable[Any]],
        validate: Step | None,
        reset: Step | None,
        close: Step | None,
    ) -> None:
        super().__init__(config)
        self._create = create
        self._validate = validate
        self._reset = reset
        self._close = close

    async def connect(self) -> Any:
        return await self._create()

    async def check(self, connection: Any) -> None:
        if self._validate is not None and await self._validate(connection) is False:
            raise PoolError("validate() returned False")

    async def close(self, connection: Any) -> None:
        if self._close is not None:
            await self._close(connection)
        else:
            self.terminate(connection)

    def terminate(self, connection: Any) -> None:
        """Without a goodbye there is only a plain ``close()`` or ``terminate()``, if it has one."""
        for name in ("terminate", "close"):
            method = getattr(connection, name, None)
            if method is not None and not inspect.iscoroutinefunction(method):
                method()
                return

    abandon = terminate


class _ResettingBackend(CustomBackend):
    async def reset(self, connection: Any) -> None:
        assert self._reset is not None
        await self._reset(connection)


CustomBackend.resetting = _ResettingBackend
