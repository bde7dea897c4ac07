"""Where connections come from and where they go: connects, checks, resets, closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from poolapp.core.backend import BaseBackend
from poolapp.core.budget import Budget
from poolapp.core.lease import Entry
from poolapp.core.resilience import Recovery

if TYPE_CHECKING:
    from poolapp.core.pool import Pool

C = TypeVar("C")

logger = logging.getLogger("poolapp.backends")

LIFETIME_JITTER = 0.05
"""Share of MAX_LIFETIME that is taken off at random, so that connections opened together don't
all end together."""

LAST_PATIENCE = 1.0
"""Seconds that a cancelled step is waited for."""


class Supply(Generic[C]):
    """The connections of one pool, each step of their lives in a task of the pool's own.

    A borrower never runs a step itself: it takes what lies idle or waits on a future. So no
    cancelled borrower can tear a connect, a check or a reset apart, and what a step yields goes
    to whoever waits then.

    Everything happens on the pool's loop; the budget is the only thing shared with other threads.
    """

    def __init__(
        self, pool: Pool[C], backend: BaseBackend[C], budget: Budget, random: Callable[[], float]
    ) -> None:
        self.pool = pool
        self.backend = backend
        self.budget = budget
        self.random = random
        self.recovery = Recovery(pool.config.breaker, random)
        self.resets = type(backend).reset is not BaseBackend.reset
        self.entries: set[Entry[C]] = set()
        """Those that live; one that is being closed is not among them."""
        self.client: Entry[C] | None = None
        """Of a shared backend: whose seats are lent."""
        self.generation = 1
        self.size = 0
        """Permits in use: live connections or seats, those being opened, those being closed."""
        self.connecting = 0
        self.checking = 0
        self.returning = 0
        self.leaving: set[Entry[C]] = set()
        """Those that are being closed."""
        self.starved = False
        """Whether a permit was asked for in vain: the budget hands the next one over by itself."""
        self._hungry = False
        """Whether the budget knows that."""
        self._retry: asyncio.TimerHandle | None = None
        self._probe_due = False
        self._abandoned = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: set[asyncio.Task[None] | None] = set()
        self._connects: set[asyncio.Task[None]] = set()

    @property
    def coming(self) -> int:
        """Connections that somebody who waits now may hope for without another connect."""
        return self.connecting + self.checking + self.returning

    def start(
        self, step: Coroutine[Any, Any, None], unbegun: Callable[[], None]
    ) -> asyncio.Task[None]:
        # A loop's end cancels all tasks, the pool's too. Of one that has not had its first turn
        # nothing runs then, not even a ``finally``: ``unbegun`` settles its accounts.
        #
        # In an empty context, since what a driver starts here outlives the borrower for whom it
        # happens to be started, and must neither see nor keep that one's context variables.
        task = Context().run(self.pool.loop.create_task, step)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, unbegun))
        return task

    def _begin(self) -> None:
        """The first thing a step does."""
        self._begun.add(asyncio.current_task())

    def _ended(self, unbegun: Callable[[], None], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._connects.discard(task)
        if task in self._begun:
            self._begun.discard(task)
        else:
            unbegun()

    def ask(self, question: Callable[..., object], *details: object) -> bool:
        """What the adapter says, and yes when it fails to say: its fault costs a connection, not
        a slot."""
        try:
            return bool(question(*details))
        except Exception:
            logger.exception("%s failed", question.__qualname__)
            return True

    # -- opening ------------------------------------------------------------------------------

    def open_one(self) -> bool:
        """Get one more connection, or seat, on its way; False when that can't be now.

        Whatever it is that forbids it (the budget, connects in flight, the delay after a failure)
        calls ``pool.pump`` when it changes.
        """
        client = self.client
        if client is not None:
            if client.checking or not self._take_permit():
                return False
            client.seats += 1
            self.size += 1
            self.pool.offer(client)
            return True
        config = self.pool.config
        allowed = (
            1 if self.backend.shared else self.recovery.connects_allowed(config.max_connecting)
        )
        if self.connecting >= allowed:
            return False
        if self.recovery.failures and self.pool.clock() < self.recovery.retry_at:
            self.retry_later()
            return False
        if not self.budget.start_connecting(self.pool):
            return False
        if not self._take_permit():
            self.budget.end_connecting()
            return False
        self.size += 1
        self.connecting += 1
        self._probe_due = False
        self._connects.add(self.start(self._connect(), self._connect_unbegun))
        return True

    def _take_permit(self) -> bool:
        self.starved = not self.budget.take(self.pool)
        self._hungry = self._hungry or self.starved
        return not self.starved

    def satisfied(self) -> None:
        """No permit is needed any more, or none could be used now."""
        self.starved = False
        self.note_hunger()

    def note_hunger(self) -> None:
        """Tell the budget when a permit is no longer asked for; one that it has granted meanwhile
        goes to others."""
        if self._hungry and not self.starved:
            self._hungry = False
            self.budget.satisfied(self.pool)

    async def _connect(self) -> None:
        self._begin()
        pool = self.pool
        generation = self.generation
        started = pool.clock()
        try:
            async with asyncio.timeout(pool.config.connect_timeout):
                connection = await self.backend.connect()
        except BaseException as error:
            self._connect_ended(opened=False)
            # A driver may let the cancel of a task of its own through: that is a failure too.
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise
            if pool.state in ("open", "paused"):
                self._connect_failed(error, pool.clock())
            return
        self._connect_ended(opened=True)
        now = pool.clock()
        seconds = now - started
        pool.counters.connected += 1
        pool.counters.connect_seconds += seconds
        life = pool.config.max_lifetime * (1 - LIFETIME_JITTER * self.random())
        entry = Entry(connection, generation, now, now + life, now + pool.config.check_after)
        self.entries.add(entry)
        pool.events.emit("connected", pool, seconds)
        if self.recovery.succeeded(pool.config.max_connecting):
            pool.events.emit("breaker_closed", pool)
        if generation != self.generation:
            entry.condemn("drained")
        elif self.backend.shared:
            self.client = entry
        if pool.state in ("closing", "closed"):
            entry.condemn("shutdown")
        self.ask(self.backend.watch, connection, lambda: self.went_away(entry))
        self.restock(entry)

    def _connect_ended(self, *, opened: bool) -> None:
        if self._abandoned:
            return
        self.connecting -= 1
        self.budget.end_connecting()
        if not opened:
            self.size -= 1
            self.budget.give()

    def _connect_unbegun(self) -> None:
        self._connect_ended(opened=False)
        self.pool.pump()

    def _connect_failed(self, error: BaseException, now: float) -> None:
        pool = self.pool
        text = describe(error, pool.config.scrub)
        if isinstance(error, TimeoutError) and not str(error):
            text = f"{type(error).__name__}: no answer within {pool.config.connect_timeout:g} s"
        alone = not self.entries
        opened = self.recovery.failed(text, now, alone=alone)
        pool.counters.connect_failed += 1
        pool.events.emit("connect_failed", pool, text)
        if opened:
            pool.events.emit("breaker_opened", pool, self.recovery.failures)
        if alone and (self.recovery.is_open or self.ask(self.backend.is_hopeless, error)):
            pool.turn_away_unavailable()
        if self._probe_due:
            self.retry_later()
        pool.pump()

    def probe_later(self) -> None:
        """Somebody was refused because the circuit is open: have the next connect tried in time,
        although nobody waits for it."""
        self._probe_due = True
        if not self.connecting:
            self.retry_later()

    def retry_later(self) -> None:
        if self._retry is None:
            delay = max(0.0, self.recovery.retry_at - self.pool.clock())
            self._retry = Context().run(self.pool.loop.call_later, delay, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        if self._probe_due and self.pool.state == "open":
            self.open_one()
        self.pool.pump()

    # -- checking and resetting ----------------------------------------------------------------

    def check(self, entry: Entry[C]) -> None:
        """Have an idle one checked; it is offered when it is good."""
        entry.checking = True
        self.checking += 1
        self.start(self._check(entry), lambda: self._checked(entry, good=False))

    async def _check(self, entry: Entry[C]) -> None:
        self._begin()
        good = False
        try:
            async with asyncio.timeout(self.pool.config.check_timeout):
                await self.backend.check(entry.connection)
            good = not self.backend.is_closed(entry.connection)
        except Exception as error:
            self.recovery.last_error = describe(error, self.pool.config.scrub)
        finally:
            self._checked(entry, good=good)

    def _checked(self, entry: Entry[C], *, good: bool) -> None:
        if self._abandoned:
            return
        self.checking -= 1
        entry.checking = False
        if good:
            entry.fresh_until = self.pool.clock() + self.pool.config.check_after
        else:
            self.lose(entry, in_use=False)
        self.restock(entry)

    def reset(self, entry: Entry[C]) -> None:
        """Have one that came back cleaned; it is offered when it is clean."""
        self.returning += 1
        self.start(self._reset(entry), lambda: self._was_reset(entry, clean=False))

    async def _reset(self, entry: Entry[C]) -> None:
        self._begin()
        clean = False
        try:
            async with asyncio.timeout(self.pool.config.check_timeout):
                await self.backend.reset(entry.connection)
            clean = True
        except Exception as error:
            self.recovery.last_error = describe(error, self.pool.config.scrub)
        finally:
            self._was_reset(entry, clean=clean)

    def _was_reset(self, entry: Entry[C], *, clean: bool) -> None:
        if self._abandoned:
            return
        self.returning -= 1
        if clean:
            entry.fresh_until = self.pool.clock() + self.pool.config.check_after
        elif self.ask(self.backend.is_closed, entry.connection):
            self.lose(entry, in_use=False)
        else:
            entry.condemn("dirty")
        self.restock(entry)

    def restock(self, entry: Entry[C]) -> None:
        """Offer a connection that nobody holds, or close it when its time is over."""
        if self.pool.clock() >= entry.expires_at:
            # All seats of a shared client go with the first one that is returned too late, else
            # constant use would keep it alive for ever.
            entry.condemn("lifetime")
            self.withdraw(entry)
            self.retire(entry)
        else:
            self.pool.offer(entry)
        self.pool.pump()

    # -- losing and closing --------------------------------------------------------------------

    def went_away(self, entry: Entry[C]) -> None:
        """The driver says that a connection has gone by itself."""
        if entry in self.entries and not entry.condemned:
            in_use = entry not in self.pool.idle_entries and not entry.checking
            self.lose(entry, in_use=in_use)
            self.pool.pump()

    def lose(self, entry: Entry[C], *, in_use: bool) -> None:
        """A connection is dead. What lies idle may be dead of the same cause: it is checked
        before it is lent."""
        if entry.condemned:
            return
        entry.condemn("lost")
        self.pool.counters.lost += 1
        self.pool.events.emit("lost", self.pool, in_use)
        self.withdraw(entry)
        now = self.pool.clock()
        for other in self.pool.idle_entries:
            other.fresh_until = min(other.fresh_until, now)

    def withdraw(self, entry: Entry[C]) -> None:
        """Take a condemned one, with all its seats, from the idle ones, and close it there."""
        if self.client is entry:
            self.client = None
        idle = self.pool.idle_entries
        seats = idle.count(entry)
        if seats:
            idle[:] = [other for other in idle if other is not entry]
            for _ in range(seats):
                self.retire(entry)

    def condemn_all(self, reason: str) -> None:
        """Close what is idle now, and the rest as it comes back."""
        self.generation += 1
        for entry in list(self.entries):
            entry.condemn(reason)
            self.withdraw(entry)

    def retire(self, entry: Entry[C]) -> None:
        """Close one that nobody holds, or give up one seat of a shared client."""
        if entry not in self.entries:
            return  # dropped, while a step that would not end still had it
        entry.seats -= 1
        if entry.seats:
            self.size -= 1
            self.budget.give()
            return
        self.entries.discard(entry)
        if self.client is entry:
            self.client = None
        if entry.reason in ("lost", "reset", "aborted"):
            self._terminate(entry)
            self._gone(entry)
        else:
            self.leaving.add(entry)
            self.budget.start_closing()
            self.start(self._close(entry), lambda: self._closed(entry, said_goodbye=False))

    async def _close(self, entry: Entry[C]) -> None:
        # The permit is kept until the server knows: it counts a connection until then.
        self._begin()
        said_goodbye = False
        try:
            async with asyncio.timeout(self.pool.config.close_timeout):
                await self.backend.close(entry.connection)
            said_goodbye = True
        except Exception as error:
            self.recovery.last_error = describe(error, self.pool.config.scrub)
        finally:
            self._closed(entry, said_goodbye=said_goodbye)

    def _closed(self, entry: Entry[C], *, said_goodbye: bool) -> None:
        if self._abandoned:
            return
        self.leaving.discard(entry)
        if not said_goodbye:
            self._terminate(entry)
        self._gone(entry, closed=True)
        self.pool.pump()

    def _terminate(self, entry: Entry[C]) -> None:
        try:
            self.backend.terminate(entry.connection)
        except Exception as error:
            self.recovery.last_error = describe(error, self.pool.config.scrub)

    def _gone(self, entry: Entry[C], *, closed: bool = False) -> None:
        self.size -= 1
        self.pool.counters.closed[entry.reason] += 1
        self.pool.events.emit("closed", self.pool, entry.reason)
        self.budget.give(closed=closed)

    # -- the end -------------------------------------------------------------------------------

    def stop_connecting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self.satisfied()
        for task in list(self._connects):
            task.cancel()

    async def finish(self, timeout: float) -> None:
        """Wait for the steps under way; drop what is left after ``timeout`` seconds."""
        for patience in (timeout, LAST_PATIENCE):
            deadline = self.pool.loop.time() + patience
            # A step may end by starting another: a reset that fails ends in a close.
            while self._tasks and self.pool.loop.time() < deadline:
                await asyncio.wait(set(self._tasks), timeout=deadline - self.pool.loop.time())
            for task in list(self._tasks):
                task.cancel()
        for entry in list(self.entries):
            self.drop(entry)

    def drop(self, entry: Entry[C]) -> None:
        """Terminate a live one whatever its state, with all its seats."""
        entry.condemn("aborted")
        entry.reason = "aborted"  # whatever it was to be closed for
        self.entries.discard(entry)
        self._terminate(entry)
        self.size -= entry.seats - 1
        self.budget.give(entry.seats - 1)
        self._gone(entry)

    def abandon(self) -> None:
        """The loop is closed: drop the sockets and give the permits back; nothing is awaited.

        The tasks of steps under way are collected some time, and their ``finally`` run then, when
        all is accounted for.
        """
        self._abandoned = True
        for entry in self.entries | self.leaving:
            try:
                self.backend.abandon(entry.connection)
            except Exception as error:
                self.recovery.last_error = describe(error, self.pool.config.scrub)
        for _ in range(self.connecting):
            self.budget.end_connecting()
        for _ in self.leaving:
            self.budget.give(closed=True)
        self.budget.give(self.size - len(self.leaving))
        self.size = self.connecting = 0
        self.entries.clear()
        self.leaving.clear()
        self._tasks.clear()
        self._connects.clear()
        self._begun.clear()


def describe(error: BaseException, scrub: Callable[[str], str]) -> str:
    """The error's class and message in one line, without secrets."""
    text = " ".join(scrub(str(error)).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name
