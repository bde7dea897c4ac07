"""What synchronous code yields, chunk by chunk: a generator that runs natively, and rests between
the chunks, with its cursor open."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from poolapp.backends.postgres.native.session import Session, cross, open_session
from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    from poolapp.backends.postgres.pool import PostgresPool
    from poolapp.core.lease import Site

T = TypeVar("T")


async def chunks(
    pool: PostgresPool, site: Site, iterate: Callable[[], Iterable[T]], size: int
) -> AsyncGenerator[list[T], None]:
    """Lists of up to ``size`` of what ``iterate()`` gives. The end of this generator, whatever it
    is, is the end of the other."""
    stream = _Stream(site, iterate, size)
    try:
        while chunk := await cross(pool, stream.fetch):
            yield chunk
            if len(chunk) < size:
                break
    finally:
        await cross(pool, stream.close)


class _Stream(Generic[T]):
    """Lives where the pool's connections are. Its session is its own, unless the task is in a
    transaction, and stays open between the calls."""

    def __init__(self, site: Site, iterate: Callable[[], Iterable[T]], size: int) -> None:
        self._site = site
        self._iterate = iterate
        self._size = size
        self._iterator: Iterator[T] | None = None
        self._session: Session | None = None

    async def fetch(self, pool: PostgresPool) -> list[T]:
        if self._session is None:
            self._session = open_session(pool) or Session()
            self._session.hold()
        return await self._session.run(pool, self._site, self._next)

    def _next(self) -> list[T]:
        if self._iterator is None:
            self._iterator = iter(self._iterate())
        return list(islice(self._iterator, self._size))

    async def close(self, pool: PostgresPool) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            # A pool or a connection that is gone has no cursor left.
            with suppress(PoolError):
                await session.run(pool, self._site, self._close)
        finally:
            session.let_go()

    def _close(self) -> None:
        close: Any = getattr(self._iterator, "close", None)
        if close is not None:
            close()
