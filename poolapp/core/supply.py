"""Where connections come from and where they go: connects, checks, resets, closes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from poolapp.core.backend import BaseBackend, Sockets
from poolapp.core.budget import Budget
from poolapp.core.config import Location
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.lease import Entry
from poolapp.core.resilience import Recovery

if TYPE_CHECKING:
    from poolapp.core.lending import Lender

C = TypeVar("C")
R = TypeVar("R")

Opened = tuple[C, tuple[Location, ...]]
"""A connection, and where it was opened."""

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
        self, pool: Lender[C], backend: BaseBackend[C], budget: Budget, random: Callable[[], float]
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
        self._impatient = False
        """Whether a step that is cancelled has had its time."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connects: set[asyncio.Task[Opened[C]]] = set()
        self._where: tuple[Location, ...] | None = None
        """Where this generation's connections were opened, and with which password."""

    @property
    def coming(self) -> int:
        """Connections that somebody who waits now may hope for without another connect."""
        return self.connecting + self.checking + self.returning

    def start(
        self, step: Coroutine[Any, Any, R], settle: Callable[[R | None, BaseException | None], None]
    ) -> asyncio.Task[R]:
        """Run a step; ``settle(result, error)`` is called when it has ended, however it ended.

        A loop's end cancels all tasks, the pool's too, and of one that has not had its first turn
        nothing runs then, not even a ``finally``. So no step keeps accounts: ``settle`` does.
        """
        # In an empty context, since what a driver starts here outlives the borrower for whom it
        # happens to be started, and must neither see nor keep that one's context variables.
        context = Context()
        task = context.run(self.pool.loop.create_task, step)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, settle), context=context)
        return task

    def _ended(
        self, settle: Callable[[R | None, BaseException | None], None], task: asyncio.Task[R]
    ) -> None:
        self._tasks.discard(task)
        self._connects.discard(task)
        if self._abandoned:
            return
        error: BaseException | None
        if task.cancelled():
            # A cancel from outside leaves a mark; one that a driver let through doesn't.
            error = _Ending() if task.cancelling() else asyncio.CancelledError()
        else:
            error = task.exception()
        if isinstance(error, Exception):
            self.recovery.last_error = describe(error, self.pool.config.scrub)
        settle(None if error else task.result(), error)

    @property
    def _said(self) -> dict[str, str]:
        """For the log."""
        return {"alias": self.pool.alias, "event": "backend_failed"}

    def ask(self, question: Callable[..., object], *details: object) -> bool:
        """What the adapter says, and yes when it fails to say: its fault costs a connection, not
        a slot."""
        try:
            return bool(question(*details))
        except Exception:
            logger.exception("%s failed", question.__qualname__, extra=self._said)
            return True

    def latency(self) -> float | None:
        """The slowest connection's last heartbeat, in seconds, as far as the driver tells."""
        return max(self._told(self.backend.latency), default=None)

    def sockets(self) -> Sockets | None:
        """What the driver tells of its own sockets, over all generations that live."""
        told = self._told(self.backend.sockets)
        if not told:
            return None
        return Sockets(
            open=sum(each.open for each in told), in_use=sum(each.in_use for each in told)
        )

    def _told(self, question: Callable[[C], R | None]) -> list[R]:
        """The answers of the adapter for all that live; one that it fails to give is none."""
        found = []
        for entry in list(self.entries):
            try:
                found.append(question(entry.connection))
            except Exception:
                logger.exception("%s failed", question.__qualname__, extra=self._said)
        return [each for each in found if each is not None]

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
        started = self.pool.clock()
        settle = partial(self._connected, self.generation, started)
        self._connects.add(self.start(self._connect(), settle))
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

    async def _connect(self) -> Opened[C]:
        async with asyncio.timeout(self.pool.config.connect_timeout):
            where = await self.pool.config.locate()
            return await self.backend.connect(), where

    def _connected(
        self,
        generation: int,
        started: float,
        opened: Opened[C] | None,
        error: BaseException | None,
    ) -> None:
        pool = self.pool
        self.connecting -= 1
        self.budget.end_connecting()
        if error is not None:
            self.size -= 1
            self.budget.give()
            # A driver may let the cancel of a task of its own through: that is a failure too.
            # That of a loop's end is none, nor is what became of a server, or with a password,
            # that was left meanwhile: whoever waits, be it to say goodbye, needs another connect.
            if pool.state in ("open", "paused"):
                if generation == self.generation and not isinstance(error, _Ending):
                    self._connect_failed(error, pool.clock())
                else:
                    pool.pump()
            return
        assert opened is not None
        connection, where = opened
        if generation == self.generation:
            if where != self._where is not None:
                # Not before a connect has proved that the new password, or server, is good: the
                # old connections serve until then.
                self.condemn_all("drained")
                pool.events.emit("drained", pool)
                generation = self.generation
            self._where = where
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
        if alone and (
            self.recovery.is_open
            or isinstance(error, ConfigurationError)
            or self.ask(self.backend.is_hopeless, error)
        ):
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
        self.start(self._check(entry), partial(self._checked, entry))

    async def _check(self, entry: Entry[C]) -> bool:
        async with asyncio.timeout(self.pool.config.check_timeout):
            await self.backend.check(entry.connection)
        return not self.backend.is_closed(entry.connection)

    def _checked(self, entry: Entry[C], good: bool | None, error: BaseException | None) -> None:
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
        self.start(self._reset(entry), partial(self._was_reset, entry))

    async def _reset(self, entry: Entry[C]) -> None:
        async with asyncio.timeout(self.pool.config.check_timeout):
            await self.backend.reset(entry.connection)

    def _was_reset(self, entry: Entry[C], result: None, error: BaseException | None) -> None:
        self.returning -= 1
        if error is None:
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
        self._where = None
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
            self.start(self._close(entry), partial(self._closed, entry, False))

    async def _close(self, entry: Entry[C]) -> None:
        # The permit is kept until the server knows: it counts a connection until then.
        async with asyncio.timeout(self.pool.config.close_timeout):
            await self.backend.close(entry.connection)

    def _closed(
        self, entry: Entry[C], again: bool, result: None, error: BaseException | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and not again and not self._impatient:
            # A loop's end cancels all tasks first. What comes next, the close of its pools, has
            # time for a goodbye; without it, a driver that has no ``terminate`` leaves its socket
            # open.
            self.start(self._close(entry), partial(self._closed, entry, True))
            return
        self.leaving.discard(entry)
        if error is not None:
            self._terminate(entry)
        self._gone(entry, closed=True)
        self.pool.pump()

    def _terminate(self, entry: Entry[C]) -> None:
        self._attempt(self.backend.terminate, entry.connection)

    def _attempt(self, last_act: Callable[..., object], *details: object) -> None:
        """Have the driver tidy up; that it fails to is noted, and nothing more can be done."""
        try:
            last_act(*details)
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
            self._impatient = True
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

        Steps under way end where they are; nothing is settled for them.
        """
        self._abandoned = True
        opened = [entry.connection for entry in self.entries | self.leaving]
        opened += [each.result()[0] for each in self._connects if _has_result(each)]
        for connection in opened:
            self._attempt(self.backend.abandon, connection)
        for task in self._tasks:
            # Nobody can await them any more, so that nobody need be told.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            self._attempt(task.get_coro().close)  # a driver may tidy up by means of its loop
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


def _has_result(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


class _Ending(asyncio.CancelledError):
    """A step was cancelled from outside: by the end of its loop, or by ``finish``."""


def describe(error: BaseException, scrub: Callable[[str], str]) -> str:
    """The error's class and message in one line, without secrets."""
    text = " ".join(scrub(str(error)).split())
    name = type(error).__name__
    return f"{name}: {text}" if text else name
