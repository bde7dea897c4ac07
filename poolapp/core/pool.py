"""One alias on one event loop, as its users and its operators know it."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import _get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from random import random as system_random
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from poolapp.core.backend import BaseBackend
from poolapp.core.budget import Budget
from poolapp.core.events import Events
from poolapp.core.exceptions import (
    BackendUnavailable,
    PoolClosed,
    PoolError,
)
from poolapp.core.lease import Lease
from poolapp.core.lending import Lender
from poolapp.core.stats import PoolStats, picture
from poolapp.core.supply import describe

if TYPE_CHECKING:
    from poolapp.core.config import PoolConfig

C = TypeVar("C")
T = TypeVar("T")


class Pool(Lender[C]):
    """Lends the connections of one alias on one loop, first come, first served.

    Not made by hand: ``pools[alias]`` gives the pool of the running loop. All methods are called
    on that loop, and take no lock; ``clock`` (seconds, monotonic) and ``random`` are passed in by
    tests.
    """

    crossing: ClassVar[tuple[str, ...]] = ()
    """Async methods of a subclass that an alias with ``LOOPS = "shared"`` runs on the process's
    own pool loop, from whatever loop they are called on."""

    crosses = False
    """Whether this is such an alias's, on another loop than that one."""

    def __init__(
        self,
        config: PoolConfig,
        backend: BaseBackend[C],
        budget: Budget,
        events: Events,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = system_random,
        on_closed: Callable[[Pool[Any]], None] = lambda pool: None,
    ) -> None:
        super().__init__(config, backend, budget, events, loop=loop, clock=clock, random=random)
        self._on_closed = on_closed
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        budget.join(self)
        events.emit("pool_opened", self)

    # -- borrowing -----------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None, clean: bool = False) -> Lease[C]:
        """Borrow a connection: ``async with pool.acquire() as connection``.

        ``timeout`` in seconds takes the place of ``ACQUIRE_TIMEOUT``; with 0 the acquire does not
        queue behind others: it takes what is idle, or opens a connection where there is room.
        ``clean=True`` promises that the session is left as it was found, which saves the reset.

        Raises PoolTimeout, PoolPaused, TooManyRequests, CircuitOpen, BackendUnavailable,
        PoolClosed.
        """
        return Lease(self, timeout, clean, sys._getframe(1))

    def release(self, lease: Lease[C]) -> None:
        """Give back what ``await pool.acquire()`` gave; PoolError when it is not this pool's, or
        was given back before."""
        if not isinstance(lease, Lease):
            raise PoolError(
                f"pool {self.alias!r}: release() takes the lease that 'await pool.acquire()' gave, "
                f"not {type(lease).__name__!r}"
            )
        if lease.pool is not self:
            raise PoolError(
                f"a lease of pool {lease.pool.alias!r} was released to "
                + (
                    f"another pool of {self.alias!r} (of another event loop, or closed since)"
                    if lease.pool.alias == self.alias
                    else f"pool {self.alias!r}"
                )
            )
        self._take_back(lease, None)

    def tell(self, verb: str, *details: Any) -> None:
        """Call a verb from any thread: now on the pool's own loop, soon from elsewhere."""
        if _get_running_loop() is self.loop:
            getattr(self, verb)(*details)
        else:
            self.wake(verb, *details)

    async def _perform(self, lease: Lease[C], operation: Callable[[C], Awaitable[T]]) -> T:
        """One operation on a connection that is borrowed for it: what the short cuts of a shared
        backend are made of.

        Raises what ``acquire`` raises; BackendUnavailable, caused by the driver's error, when
        ``backend.breaks`` says that the connection was lost; and the driver's other errors.
        """
        connection = await lease.__aenter__()
        try:
            result = await operation(connection)
        except BaseException as error:
            lease.release(error)
            self._raise_if_lost(connection, error)
            raise
        lease.release()
        return result

    def _raise_if_lost(self, connection: C, error: BaseException) -> None:
        """Raise BackendUnavailable in place of an error that says that the connection was lost."""
        if isinstance(error, Exception) and self.backend.breaks(connection, error):
            raise BackendUnavailable(
                f"pool {self.alias!r}: the server was lost during an operation, which may or "
                f"may not have taken effect: {describe(error, self.config.scrub)}"
            ) from error

    # -- verbs ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish and replace: idle connections are closed, those in use when they come back."""
        self._supply.condemn_all("drained")
        self.events.emit("drained", self)
        self.pump()

    def reset(self) -> None:
        """Drop at once: who waits gets a retryable BackendUnavailable, idle connections are cut,
        those in use when they come back."""
        evicted = self._turn_away(
            "reset", lambda: BackendUnavailable(f"pool {self.alias!r} was reset; try again")
        )
        self._supply.condemn_all("reset")
        self.events.emit("was_reset", self, evicted)
        self.pump()

    def pause(self) -> None:
        """Hold new acquires: they wait, and their timeouts run. Borrowers go on."""
        if self.state == "open":
            self.state = "paused"
            self.events.emit("paused", self)

    def resume(self) -> None:
        """Let them go, in their order."""
        if self.state == "paused":
            self.state = "open"
            self.events.emit("resumed", self)
            self.pump()

    def reconfigure(self, config: PoolConfig) -> None:
        """Take a new configuration of the same backend. When it says where or how to connect, what
        is open is drained."""
        before = self.config
        self.config = self.backend.config = config
        resized = (config.min_size, config.max_size) != (before.min_size, before.max_size)
        moved = (config.locations, config.options) != (before.locations, before.options)
        if moved:
            self._supply.recovery.retry_at = 0.0  # what failed may work now
        if moved or (resized and self.backend.shared):
            self.drain()
        if resized:
            self.events.emit("resized", self, config.min_size, config.max_size)
        self.pump()

    async def ping(self) -> float:
        """Borrow a connection, have the server answer; seconds of the answer alone.

        Raises what ``acquire`` raises, and BackendUnavailable when there is no good answer within
        ``CHECK_TIMEOUT``; that connection is dropped then.
        """
        lease = self.acquire(clean=True)
        async with lease as connection:
            started = self.clock()
            try:
                async with asyncio.timeout(self.config.check_timeout):
                    await self.backend.check(connection)
            except Exception as error:
                assert lease.entry is not None
                self._supply.lose(lease.entry, in_use=True)
                said = describe(error, self.config.scrub)
                raise BackendUnavailable(f"pool {self.alias!r}: no good answer: {said}") from None
            return self.clock() - started

    async def prewarm(self) -> None:
        """Open ``MIN_SIZE`` connections, at least one, and lay them by.

        Raises what ``acquire`` raises when they are not there after ``CONNECT_TIMEOUT``.
        """
        count = max(1, self.config.min_size)
        all_are_open = asyncio.Barrier(count)

        async def hold_one() -> None:
            async with self.acquire(timeout=self.config.connect_timeout, clean=True):
                await all_are_open.wait()

        # Each in a task of its own: one task that holds several is reported as a hazard.
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(count):
                    tasks.create_task(hold_one())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    # -- housekeeping --------------------------------------------------------------------------

    def _start(self) -> None:
        self._started = True
        if self._sweeper is None:
            config = self.config
            every = min(config.leak_after, config.idle_timeout, config.max_lifetime, 60.0) / 4
            # A timer that sets itself again would keep the context of the first borrower.
            self._sweeper = Context().run(self.loop.call_later, max(every, 0.01), self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeper = None
        self.sweep()
        if self.state in ("open", "paused"):
            self._start()

    def sweep(self) -> None:
        """Report leaks, close what has lived or idled too long, keep ``MIN_SIZE``.

        One look over everything, a few times within the shortest of the periods, instead of a
        timer for each lease and connection.
        """
        now = self.clock()
        for lease in self.leases():
            if lease.reported or lease.lasting:
                continue
            if now - lease.since >= self.config.leak_after:
                lease.reported = True
                self.counters.leaked += 1
                self.events.emit("leaked", self, lease, now - lease.since)
        idle = self.idle_entries
        for entry in [entry for entry in dict.fromkeys(idle) if now >= entry.expires_at]:
            entry.condemn("lifetime")
            self._supply.withdraw(entry)
        idled = self.config.idle_timeout - self.config.check_after
        surplus = self.budget.used - self.budget.closing - self.config.min_size
        while idle and surplus > 0 and now >= idle[0].fresh_until + idled:
            surplus -= 1
            self._retire(idle.pop(0), "idle")
        self.pump()

    # -- closing -------------------------------------------------------------------------------

    async def close(self, *, timeout: float | None = None) -> None:
        """Refuse new acquires and those who wait, wait for borrowers, close everything.

        Waits at most ``timeout`` seconds, else ``CLOSE_TIMEOUT``, for what is borrowed; then the
        connections are cut, and the event ``aborted`` names the holders. Calling it again waits
        for the same end.
        """
        await asyncio.shield(self.close_soon(timeout))

    def close_soon(self, timeout: float | None = None) -> asyncio.Task[None]:
        """Begin to close, without waiting for the end."""
        if self._closing is None or (self._closing.done() and self.state != "closed"):
            # The second: it was cancelled, as the end of a loop cancels all that runs on it.
            patience = self.config.close_timeout if timeout is None else timeout
            self._closing = self.loop.create_task(self._close(patience))
        return self._closing

    async def _close(self, patience: float) -> None:
        self.state = "closing"
        self._turn_away("closed", lambda: PoolClosed(f"pool {self.alias!r} is being closed"))
        self._queue.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._supply.stop_connecting()
        self._supply.condemn_all("shutdown")
        if self.in_use and patience > 0:
            self._all_returned = self.loop.create_future()
            await asyncio.wait([self._all_returned], timeout=patience)
        if self.in_use:
            held = self.leases()
            self.state = "closed"
            for lease in held:
                if lease.entry in self._supply.entries:
                    self._supply.drop(lease.entry)
            self.events.emit("aborted", self, held)
        await self._supply.finish(self.config.close_timeout)
        self._ended()

    def abandon(self) -> None:
        """The loop was closed with the pool open: drop the sockets, without awaiting anything.

        The one method that is called from outside the loop, which can't run any more.
        """
        self._supply.abandon()
        self._ended()

    def _ended(self) -> None:
        self.state = "closed"
        self.in_use = 0
        self.idle_entries.clear()
        self._leases.clear()
        self._queue.clear()
        self.budget.leave(self)
        self._on_closed(self)
        self.events.emit("pool_closed", self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- looking at it -------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """A picture of this moment; may be called from any thread."""
        return picture(self, self._supply)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.alias!r} {self.state}: size {self.size}, "
            f"{self.in_use} in use, {self.idle} idle, {self.waiting} waiting>"
        )
