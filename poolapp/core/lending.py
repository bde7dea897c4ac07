"""Who gets a connection, in what order, and for how long to wait: the path that every acquire and
release takes."""

from __future__ import annotations

import asyncio
from asyncio import current_task, get_running_loop
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from poolapp.core.backend import BaseBackend
from poolapp.core.budget import Budget
from poolapp.core.events import Events
from poolapp.core.exceptions import (
    BackendUnavailable,
    CircuitOpen,
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    TooManyRequests,
)
from poolapp.core.lease import Entry, Lease
from poolapp.core.queue import Queue
from poolapp.core.stats import Counters
from poolapp.core.supply import Supply
from poolapp.core.work import WORK

if TYPE_CHECKING:
    from poolapp.core.config import PoolConfig

C = TypeVar("C")


class Lender(Generic[C]):
    """The lending half of a pool: what happens a million times, and what is decided there.

    All of it on the pool's loop, without a lock. The slow half, which opens and closes, is the
    Supply; ``pump`` is where they meet.
    """

    def __init__(
        self,
        config: PoolConfig,
        backend: BaseBackend[C],
        budget: Budget,
        events: Events,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.config = config
        self.backend = backend
        self.budget = budget
        self.events = events
        self.loop = loop
        self.clock = clock
        self.counters = Counters()
        self.state = "open"
        self.in_use = 0
        self.idle_entries: list[Entry[C]] = []
        """The last one was used last, and is lent first. A shared client stands in it once for
        each idle seat."""
        self._queue: Queue[Entry[C]] = Queue(loop, self._expired)
        self._leases: dict[asyncio.Task[Any] | None, Lease[C]] = {}
        self._supply = Supply(self, backend, budget, random)
        self._started = False
        self._thread = get_ident()
        self._all_returned: asyncio.Future[None] | None = None

    def _start(self) -> None:
        """Called when an acquire first has to queue, so that what keeps a pool in order runs only
        for one that is used."""
        self._started = True

    def _lend_idle(self, lease: Lease[C]) -> bool:
        """The fast path: no await, no lock, no timer, no check. False: it has to queue."""
        if lease.entry is not None:
            raise PoolError(f"this lease of pool {self.alias!r} is held already")
        lease.task = task = current_task(self.loop)
        if task is None or get_ident() != self._thread:
            self._insist_on_loop()
        idle = self.idle_entries
        if not idle or self._queue.waiters or self.state != "open":
            return False
        now = self.clock()
        if idle[-1].fresh_until <= now:
            return False
        self.in_use += 1
        self._grant(lease, idle.pop(), now, 0.0)
        return True

    async def _lend_queued(self, lease: Lease[C]) -> None:
        started = self.clock()
        supply = self._supply
        config = self.config
        if self.state != "open" or supply.recovery.is_open or config.max_waiting is not None:
            self._refuse_at_once(started)
        if not self._started:
            self._start()
        waiter: asyncio.Future[Entry[C]]
        timer = None
        if lease.timeout is None:
            waiter = self._queue.join(config.acquire_timeout)
            if self.idle_entries or not supply.starved:
                self.pump()
        else:
            waiter, timer = self._queue_for(lease.timeout)
        try:
            entry = await waiter
        except asyncio.CancelledError:
            self._cancelled(waiter, started)
            raise
        except PoolError as error:
            self.events.emit("gave_up", self, self.clock() - started, error)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del waiter  # it holds the error, whose traceback holds this frame
        now = self.clock()
        if self.state == "closed":
            raise PoolClosed(f"pool {self.alias!r} was closed")
        if lease.entry is not None:  # two tasks waited for the same lease
            self.in_use -= 1
            self._supply.restock(entry)
            self._note_returned()
            raise PoolError(f"this lease of pool {self.alias!r} is held already")
        waited = now - started
        self.counters.queued += 1
        self.counters.waited.observe(waited)
        self._grant(lease, entry, now, waited)

    def _queue_for(self, timeout: float) -> tuple[asyncio.Future[Entry[C]], asyncio.TimerHandle]:
        behind = len(self._queue)
        patience = timeout if timeout > 0 else self.config.connect_timeout
        waiter, timer = self._queue.join_for(patience)
        self.pump()
        if timeout <= 0 and (behind >= self._supply.coming or self.state != "open"):
            self._queue.expire(waiter, 0.0)
        return waiter, timer

    def _grant(self, lease: Lease[C], entry: Entry[C], now: float, waited: float) -> None:
        lease.entry = entry
        lease.since = now
        lease.reported = False
        lease.work = WORK.get()
        leases = self._leases
        lease.outer = outer = leases.get(lease.task)
        leases[lease.task] = lease
        self.counters.acquired += 1
        for heard in self.events.acquired:
            try:
                heard(self, lease, waited)
            except Exception:
                self.events.failed("acquired", self)
        if outer is not None:
            self.counters.nested += 1
            self.events.emit("nested", self, lease, outer)

    def _insist_on_loop(self) -> None:
        # The quick tests before this one (the thread, the loop's task) are right nearly always and
        # cost a third of asking for the running loop, which before Python 3.12 is a system call.
        if get_running_loop() is not self.loop:
            raise PoolError(
                f"pool {self.alias!r} belongs to another event loop; ask for pools[{self.alias!r}] "
                "where it is used, instead of keeping the pool or a lease"
            )
        self._thread = get_ident()

    def _refuse_at_once(self, now: float) -> None:
        if self.state in ("closing", "closed"):
            self._count_refused("closed")
            raise PoolClosed(f"pool {self.alias!r} is closed")
        supply = self._supply
        recovery = supply.recovery
        probing = supply.connecting > 0 or now < recovery.retry_at
        if recovery.is_open and not supply.entries and probing:
            supply.probe_later()
            self._count_refused("circuit_open")
            raise self._circuit_open(now)
        limit = self.config.max_waiting
        if limit is not None and len(self._queue) >= limit:
            self._count_refused("max_waiting")
            raise TooManyRequests(
                f"pool {self.alias!r}: {len(self._queue)} acquires wait already "
                f"(MAX_WAITING is {limit}); {self._situation()}"
            )

    def _circuit_open(self, now: float) -> CircuitOpen:
        recovery = self._supply.recovery
        retry_after = max(0.0, recovery.retry_at - now)
        return CircuitOpen(
            f"pool {self.alias!r}: the server is unavailable ({recovery.failures} connects failed "
            f"in a row, the next is tried in {retry_after:.1f} s); "
            f"last error: {recovery.last_error}",
            retry_after=retry_after,
        )

    def _count_refused(self, reason: str) -> None:
        self.counters.refused += 1
        self.events.emit("refused", self, reason)

    def _cancelled(self, waiter: asyncio.Future[Entry[C]], started: float) -> None:
        # The cancel may have come in the very turn in which the waiter was served: then the
        # future holds a connection that only this code knows of.
        self.counters.cancelled += 1
        self.events.emit("cancelled", self, self.clock() - started)
        if waiter.cancelled() or not waiter.done():
            self._queue.leave(waiter)
            self._nobody_waits()
        elif waiter.exception() is None and self.state != "closed":
            self.in_use -= 1
            self._supply.restock(waiter.result())
            self._note_returned()

    def _expired(self, waiter: asyncio.Future[Entry[C]], waited: float) -> None:
        paused = self.state == "paused"
        kind = PoolPaused if paused else PoolTimeout
        self.counters.timed_out += 1
        self.events.emit("timed_out", self, waited)
        waiter.set_exception(
            kind(
                f"pool {self.alias!r}{' is paused and' if paused else ''} gave no connection "
                f"within {waited:.3g} s: {self._situation()}"
            )
        )
        self._nobody_waits()

    def _nobody_waits(self) -> None:
        if not self._queue:
            self._supply.satisfied()

    def _situation(self) -> str:
        """Size, in use, idle, waiting, the longest holder, the last connect error."""
        text = (
            f"size {self.size} of {self.budget.limit}, {self.in_use} in use, {self.idle} idle, "
            f"{len(self._queue)} waiting"
        )
        longest = min(self.leases(), key=lambda lease: lease.since, default=None)
        if longest is not None:
            text += f"; longest held for {longest.held:.3g} s by {longest.holder} at {longest.site}"
        if self._supply.recovery.failures:
            text += f"; last connect error: {self._supply.recovery.last_error}"
        return text

    # -- giving back ---------------------------------------------------------------------------

    def _take_back(self, lease: Lease[C], error: BaseException | None) -> None:
        entry = lease.entry
        if self.state == "closed":
            lease.entry = None
            return
        if entry is None:
            raise PoolError(f"this lease of pool {self.alias!r} was released before: {lease.site}")
        if get_ident() != self._thread:
            self._insist_on_loop()
        now = self.clock()
        held = now - lease.since
        lease.entry = None
        self.in_use -= 1
        self.counters.used.observe(held)
        if lease.outer is None and self._leases.get(lease.task) is lease:
            del self._leases[lease.task]
        else:
            self._forget(lease)
        for heard in self.events.released:
            try:
                heard(self, lease, held)
            except Exception:
                self.events.failed("released", self)
        if lease.reported:
            self.events.emit("returned", self, lease, held)
        if (
            error is None
            and now < entry.expires_at
            and (lease.clean or not self._supply.resets)
            and not self.budget.pressure
        ):
            entry.fresh_until = now + self.config.check_after
            self.offer(entry)
        else:
            self._put_back(lease, entry, error, now)
        if self._all_returned is not None:
            self._note_returned()

    def _put_back(
        self, lease: Lease[C], entry: Entry[C], error: BaseException | None, now: float
    ) -> None:
        """What a returned connection needs that can't just be lent again."""
        supply = self._supply
        if error is not None and supply.ask(self.backend.breaks, entry.connection, error):
            if self.backend.shared:
                entry.fresh_until = min(entry.fresh_until, now)
            else:
                supply.lose(entry, in_use=True)
            supply.restock(entry)
        elif self.budget.pressure and self.budget.over(self):
            self._retire(entry, "budget")
            self.pump()
        elif now >= entry.expires_at:
            supply.restock(entry)
        elif supply.resets and (not lease.clean or error is not None):
            supply.reset(entry)
        else:
            entry.fresh_until = now + self.config.check_after
            self.offer(entry)

    def _forget(self, lease: Lease[C]) -> None:
        """Take a lease from the list of its task, in which it does not stand alone."""
        inner = self._leases.get(lease.task)
        if inner is lease:
            assert lease.outer is not None
            self._leases[lease.task] = lease.outer
        else:
            while inner is not None and inner.outer is not lease:
                inner = inner.outer
            if inner is not None:
                inner.outer = lease.outer
        lease.outer = None

    def _note_returned(self) -> None:
        done = self._all_returned
        if done is not None and not done.done() and not self.in_use:
            done.set_result(None)

    def offer(self, entry: Entry[C]) -> None:
        """Hand a good connection to the first who still waits, or lay it by."""
        if self.state == "open" and self._queue.serve(entry):
            self.in_use += 1
        else:
            self.idle_entries.append(entry)
            if self.budget.pressure and not self._supply.starved:
                # A pool of another loop asked while nothing was idle; it is not told of this one.
                self.yield_idle()

    # -- matching who waits with what there is -------------------------------------------------

    def pump(self) -> None:
        """Serve those who wait from what is idle; get more on its way where that is not enough.

        Called whenever anything that it looks at has changed, and safe to call at any time.
        """
        supply = self._supply
        if self.state != "open":
            supply.satisfied()
            return
        waiters = self._queue
        supply.starved = False
        if waiters:
            idle = self.idle_entries
            now = self.clock()
            while waiters and idle and idle[-1].fresh_until > now:
                self.offer(idle.pop())
            while len(waiters) > supply.coming:
                if idle:
                    if idle[-1].checking:
                        break
                    supply.check(idle.pop())
                elif not supply.open_one():
                    break
        if self._started:
            while self.budget.used < self.config.min_size and supply.open_one():
                pass
        supply.note_hunger()

    def turn_away_unavailable(self) -> None:
        """Tell all who wait that the server can't be reached."""
        recovery = self._supply.recovery
        if recovery.is_open:
            self._turn_away("circuit_open", lambda: self._circuit_open(self.clock()))
        else:
            self._turn_away(
                "unavailable",
                lambda: BackendUnavailable(
                    f"pool {self.alias!r}: the server refuses connections: {recovery.last_error}"
                ),
            )

    def _turn_away(self, reason: str, error: Callable[[], PoolError]) -> int:
        waiters = self._queue.clear()
        for waiter in waiters:
            self._count_refused(reason)
            waiter.set_exception(error())
        self._nobody_waits()
        return len(waiters)

    # -- what the budget asks of a pool; called through the loop -------------------------------

    def wake(self, method: str, *details: Any) -> bool:
        """Call the method soon, from any thread; False when the loop is closed, and so the pool."""
        try:
            self.loop.call_soon_threadsafe(getattr(self, method), *details)
        except RuntimeError:
            return False
        return True

    def yield_idle(self) -> None:
        """Close what others need more: the idle connection that was used longest ago."""
        excess = max(self.budget.excess, 1 if self.budget.pressure else 0)
        while excess > 0 and self.idle_entries:
            excess -= 1
            self._retire(self.idle_entries.pop(0), "budget")

    def _retire(self, entry: Entry[C], reason: str) -> None:
        if entry.seats == 1:
            entry.condemn(reason)
        self._supply.retire(entry)

    # -- looking at it -------------------------------------------------------------------------

    @property
    def alias(self) -> str:
        return self.config.alias

    @property
    def size(self) -> int:
        """Connections open, being opened or being closed on this loop."""
        return self._supply.size

    @property
    def idle(self) -> int:
        return len(self.idle_entries)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def leases(self) -> list[Lease[C]]:
        """Those held now."""
        found = []
        for lease in list(self._leases.values()):
            each: Lease[C] | None = lease
            while each is not None:
                found.append(each)
                each = each.outer
        return found
