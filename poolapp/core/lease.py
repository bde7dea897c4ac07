"""One borrowing: who, since when, from which line of code."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from poolapp.core.exceptions import PoolError
from poolapp.core.work import Work

if TYPE_CHECKING:
    from poolapp.core.pool import Pool

C = TypeVar("C")

NEVER = float("-inf")


class Entry(Generic[C]):
    """A connection the pool owns, or the seats of a shared client."""

    __slots__ = (
        "checking", "connection", "expires_at", "fresh_until", "generation", "opened_at", "reason",
        "seats",
    )  # fmt: skip

    def __init__(
        self,
        connection: C,
        generation: int,
        opened_at: float,
        expires_at: float,
        fresh_until: float,
    ) -> None:
        self.connection = connection
        self.generation = generation
        self.opened_at = opened_at
        self.expires_at = expires_at
        """Returned after this moment it is closed; ``NEVER`` once it has been condemned."""
        self.fresh_until = fresh_until
        """Until this moment it is lent without a check."""
        self.reason = "lifetime"
        """Why it is closed when its time is over."""
        self.seats = 1
        """Permits of the budget it stands for: one, or one per seat of a shared client."""
        self.checking = False

    @property
    def condemned(self) -> bool:
        return self.expires_at == NEVER

    def condemn(self, reason: str) -> None:
        """Have it closed at its return. The first reason stays."""
        if self.expires_at != NEVER:
            self.expires_at = NEVER
            self.reason = reason


class Site:
    """A line of code, as a lease takes it from a frame; a frame would keep its variables alive."""

    __slots__ = ("f_code", "f_lasti")

    def __init__(self, frame: FrameType | Site) -> None:
        self.f_code: CodeType = frame.f_code
        self.f_lasti: int = frame.f_lasti


class Lease(Generic[C]):
    """What ``pool.acquire()`` gives.

    ``async with pool.acquire() as connection`` borrows and returns; ``lease = await
    pool.acquire()`` borrows, and ``lease.release()`` returns.

    The site of the acquire is kept as a code object and an offset, which costs nothing until
    somebody asks for the line; no frame, and so no local variable, is kept alive.
    """

    __slots__ = (
        "_code", "_lasti", "clean", "entry", "outer", "pool", "reported", "since", "task",
        "timeout", "work",
    )  # fmt: skip

    lasting: ClassVar[bool] = False
    """True in a subclass whose leases are meant to be held for long: they are never leaks."""

    def __init__(
        self, pool: Pool[C], timeout: float | None, clean: bool, frame: FrameType | Site
    ) -> None:
        self.pool = pool
        self.timeout = timeout
        self.clean = clean
        """Whether the holder can't have changed the session, so that no reset is due."""
        self._code: CodeType = frame.f_code
        self._lasti = frame.f_lasti
        self.entry: Entry[C] | None = None
        # Set when a connection is lent, not before: an acquire is made a million times.
        self.since: float
        """``pool.clock()`` when the connection was lent."""
        self.task: asyncio.Task[Any] | None
        self.outer: Lease[C] | None
        """A lease of the same pool that the task held already."""
        self.work: Work | None
        """The view, consumer, task or command for which it is held, where that is known."""
        self.reported: bool
        """Whether it was told as leaked."""

    async def __aenter__(self) -> C:
        if not self.pool._lend_idle(self):
            await self.pool._lend_queued(self)
        return self.entry.connection  # type: ignore[union-attr]

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.pool._take_back(self, error)

    async def _acquire(self) -> Lease[C]:
        await self.__aenter__()
        return self

    def __await__(self) -> Generator[Any, None, Lease[C]]:
        return self._acquire().__await__()

    @property
    def connection(self) -> C:
        """The borrowed connection; PoolError when it was returned already."""
        if self.entry is None:
            raise PoolError(f"this lease of pool {self.pool.alias!r} holds no connection")
        return self.entry.connection

    def release(self, error: BaseException | None = None) -> None:
        """Give the connection back; ``error`` is what went wrong while it was held.

        Raises PoolError when it was given back already.
        """
        self.pool._take_back(self, error)

    @property
    def held(self) -> float:
        """Seconds since it was lent."""
        return self.pool.clock() - self.since

    @property
    def site(self) -> str:
        """``path:line in function`` of the acquire."""
        line = self._code.co_firstlineno
        for start, end, found in self._code.co_lines():
            if start <= self._lasti < end and found is not None:
                line = found
                break
        return f"{self._code.co_filename}:{line} in {self._code.co_qualname}"

    @property
    def holder(self) -> str:
        """The work it is held for, and the task that acquired: its name and its outermost
        coroutine."""
        task = "no task"
        if self.task is not None:
            coroutine = self.task.get_coro()
            task = f"{self.task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"
        return task if self.work is None else f"{self.work}, {task}"

    def stack(self) -> list[str]:
        """Where the acquire stands, outermost call first, each ``path:line in function``.

        The callers are read off the holder's task, whose coroutines await one another; those that
        have ended since are gone, the acquire's own line never is.
        """
        lines = []
        awaited = None if self.task is None or self.task.done() else self.task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
            if frame is None or frame.f_code is self._code:
                break
            code = frame.f_code
            lines.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
        return [*lines, self.site]

    def __repr__(self) -> str:
        if self.entry is None:
            return f"<Lease of {self.pool.alias!r} at {self.site}, holding nothing>"
        return (
            f"<Lease of {self.pool.alias!r} by {self.holder} at {self.site}, "
            f"held for {self.held:.3f} s>"
        )


class LastingLease(Lease[C]):
    """Held for as long as somebody listens: not a leak, however old it is."""

    __slots__ = ()

    lasting: ClassVar[bool] = True
