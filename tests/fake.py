"""A server that does what the test says, and loops whose time the test owns.

``lab()`` gives a pool on a ``FakeServer``. Each of the four steps of a connection's life passes a
``Gate`` of the server: it lets through, fails, delays, holds until it is opened, or never answers.
A ``Witness`` writes down all events, and what must never happen: a connection in two hands, a
closed or unclean one lent, one closed under its holder.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from poolapp.core.backend import BaseBackend
from poolapp.core.budget import Budget
from poolapp.core.config import Location, Options, PoolConfig
from poolapp.core.events import EVENTS, Events, Observer
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from tests.virtual import turns

KINDS = pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])

SWEEP = range(41)
"""The loop turns over which a race is tried."""


# -- the server ------------------------------------------------------------------------------------


class Gate:
    """How one step behaves from now on. Those already inside stay as they were."""

    def __init__(self) -> None:
        self.inside = 0
        self._held: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.ok()

    def ok(self) -> None:
        self._set("ok")

    def fail(self, error: BaseException | None = None, *, times: int | None = None) -> None:
        """Raise ``error`` for ever, or ``times`` times."""
        self._set("fail")
        self._error = error or ConnectionRefusedError("connection refused")
        self._times = times

    def slow(self, *, turns: int = 0, seconds: float = 0.0) -> None:
        self._set("slow")
        self._turns = turns
        self._seconds = seconds

    def hold(self) -> None:
        """Hold everybody until ``open``."""
        self._set("hold")

    def never(self) -> None:
        self._set("never")

    def stubborn(self) -> None:
        """Held until ``open``, deaf to a cancel, as drivers that swallow one are."""
        self._set("stubborn")

    def open(self) -> None:
        """Let those in who are held, and whoever comes."""
        self.ok()
        held, self._held = self._held, []
        for loop, future in held:
            loop.call_soon_threadsafe(
                lambda future=future: future.done() or future.set_result(None)
            )

    def _set(self, mode: str) -> None:
        self._mode = mode
        self._times: int | None = None

    async def enter(self) -> None:
        self.inside += 1
        try:
            await self._enter()
        finally:
            self.inside -= 1

    async def _enter(self) -> None:
        if self._mode == "fail":
            if self._times is not None:
                self._times -= 1
                if self._times <= 0:
                    self.ok()
            error = self._error
            raise type(error)(*error.args)
        if self._mode == "slow":
            await turns(self._turns)
            if self._seconds:
                await asyncio.sleep(self._seconds)
        elif self._mode in ("hold", "never", "stubborn"):
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            if self._mode == "never":
                await future
            self._held.append((loop, future))
            while not future.done():
                try:
                    await (asyncio.shield(future) if self._mode == "stubborn" else future)
                except asyncio.CancelledError:
                    if self._mode != "stubborn":
                        raise


class FakeConnection:
    def __init__(self, server: FakeServer, number: int) -> None:
        self.server = server
        self.number = number
        self.open = True
        """The pool has not closed it."""
        self.alive = True
        """Its socket is up."""
        self.known_dead = False
        """The driver has noticed that the socket is down."""
        self.holders = 0
        self.dirty = False
        self.lost: Callable[[], None] | None = None

    async def query(self, seconds: float = 0.0) -> int:
        """One round trip; ConnectionResetError when the socket is down."""
        await asyncio.sleep(seconds)
        if not (self.alive and self.open):
            self.known_dead = True
            raise ConnectionResetError("connection reset by peer")
        return self.number

    def kill(self, *, noticed: bool = True) -> None:
        """Take the socket down; a driver that reads it notices at once."""
        self.alive = False
        if noticed:
            self.known_dead = True
            if self.lost is not None:
                self.lost()

    def __repr__(self) -> str:
        return f"<connection {self.number}>"


class FakeServer:
    """Counts what is open, remembers every call in its order."""

    def __init__(self, *, limit: int | None = None) -> None:
        self.create = Gate()
        self.check = Gate()
        self.reset = Gate()
        self.close = Gate()
        self.limit = limit
        self.calls: list[str] = []
        self.connections: list[FakeConnection] = []
        self.asked_for: list[tuple[Location, ...]] = []
        """The location of each connect."""
        self.broken_rules: list[str] = []
        self.peak = 0
        self.watched = True
        self._lock = threading.Lock()
        self._opening = 0

    @property
    def open(self) -> list[FakeConnection]:
        return [connection for connection in self.connections if connection.open]

    @property
    def created(self) -> int:
        return len(self.connections)

    def count(self, call: str) -> int:
        return sum(each.split()[0] == call for each in self.calls)

    def kill_all(self, *, noticed: bool = True) -> None:
        for connection in self.open:
            connection.kill(noticed=noticed)

    async def connect(self) -> FakeConnection:
        with self._lock:
            self.calls.append("create")
            self._opening += 1
            self.peak = max(self.peak, len(self.open) + self._opening)
        connection = None
        try:
            await self.create.enter()
            with self._lock:
                if self.limit is not None and len(self.open) >= self.limit:
                    raise ConnectionRefusedError("too many clients already")
                connection = FakeConnection(self, len(self.connections) + 1)
                self.connections.append(connection)
        finally:
            with self._lock:
                self._opening -= 1
        return connection

    def hang_up(self, connection: FakeConnection, call: str) -> None:
        self.calls.append(f"{call} {connection.number}")
        if not connection.open and call == "close":
            self.broken_rules.append(f"{connection} was closed twice")
        connection.open = False
        connection.lost = None


class PlainFakeBackend(BaseBackend[FakeConnection]):
    """Exclusive connections that need no reset; ``OPTIONS["server"]`` is the server."""

    hopeless: type[BaseException] | tuple[()] = PermissionError

    @property
    def server(self) -> FakeServer:
        server: FakeServer = self.config.options["server"]
        return server

    async def connect(self) -> FakeConnection:
        self.server.asked_for.append(self.config.where())
        return await self.server.connect()

    async def check(self, connection: FakeConnection) -> None:
        self.server.calls.append(f"check {connection.number}")
        await self.server.check.enter()
        await connection.query()

    async def close(self, connection: FakeConnection) -> None:
        if connection.holders:
            self.server.broken_rules.append(f"{connection} was closed under its holder")
        await self.server.close.enter()
        self.server.hang_up(connection, "close")

    def terminate(self, connection: FakeConnection) -> None:
        self.server.hang_up(connection, "terminate")

    def abandon(self, connection: FakeConnection) -> None:
        self.server.hang_up(connection, "abandon")

    def is_closed(self, connection: FakeConnection) -> bool:
        return connection.known_dead or not connection.open

    def is_hopeless(self, error: BaseException) -> bool:
        return isinstance(error, self.hopeless)

    def watch(self, connection: FakeConnection, lost: Callable[[], None]) -> None:
        if self.server.watched:
            connection.lost = lost


class FakeBackend(PlainFakeBackend):
    """Exclusive connections that are reset after a borrower."""

    async def reset(self, connection: FakeConnection) -> None:
        self.server.calls.append(f"reset {connection.number}")
        if connection.holders:
            self.server.broken_rules.append(f"{connection} was reset under its holder")
        await self.server.reset.enter()
        await connection.query()
        connection.dirty = False


class SharedFakeBackend(PlainFakeBackend):
    """One client for all leases."""

    shared = True


# -- the pool --------------------------------------------------------------------------------------


class FakePool(Pool[FakeConnection]):
    """A pool whose clock is its loop's, so that it is virtual where the loop is."""

    witness: Witness

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        kwargs.setdefault("clock", loop.time)
        super().__init__(*args, loop=loop, **kwargs)

    @property
    def server(self) -> FakeServer:
        server: FakeServer = self.config.options["server"]
        return server


PlainFakeBackend.pool_class = FakePool


class Witness(Observer):
    """Writes down every event, and what must never happen."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.broken_rules: list[str] = []
        self.held: dict[Lease[Any], FakeConnection] = {}
        self.peak = 0

    def names(self, *only: str) -> list[str]:
        return [event for event, *_ in self.log if not only or event in only]

    def count(self, event: str) -> int:
        return self.names().count(event)

    def details(self, event: str) -> list[Any]:
        return [details for name, _, *details in self.log if name == event]

    def closed_because(self) -> Counter[str]:
        return Counter(reason for (reason,) in self.details("closed"))

    def acquired(self, pool: Pool[Any], lease: Lease[Any], waited: float) -> None:
        self.log.append(("acquired", pool, lease, waited))
        connection = lease.connection
        if not connection.open:
            self.broken_rules.append(f"{connection} was lent when closed")
        if connection.dirty:
            self.broken_rules.append(f"{connection} was lent unclean")
        if connection.holders and not pool.backend.shared:
            self.broken_rules.append(f"{connection} was lent to two")
        connection.holders += 1
        self.held[lease] = connection
        self.peak = max(self.peak, len(self.held))

    def released(self, pool: Pool[Any], lease: Lease[Any], held: float) -> None:
        self.log.append(("released", pool, lease, held))
        self.held.pop(lease).holders -= 1

    def aborted(self, pool: Pool[Any], leases: list[Lease[Any]]) -> None:
        self.log.append(("aborted", pool, leases))
        for lease in leases:
            self.held.pop(lease).holders -= 1


def _written_down(event: str) -> Callable[..., None]:
    def write(self: Witness, pool: Pool[Any], *details: Any) -> None:
        self.log.append((event, pool, *details))

    return write


for _event in EVENTS:
    if _event not in vars(Witness):
        setattr(Witness, _event, _written_down(_event))


def backend_of(*, shared: bool = False, resets: bool = False) -> type[PlainFakeBackend]:
    if shared:
        return SharedFakeBackend
    return FakeBackend if resets else PlainFakeBackend


def config_of(
    alias: str = "fake",
    *,
    server: FakeServer | None = None,
    shared: bool = False,
    resets: bool = False,
    **settings: Any,
) -> PoolConfig:
    kind = backend_of(shared=shared, resets=resets)
    options = Options({"server": server or FakeServer(), **settings.pop("options", {})})
    return PoolConfig(
        alias=alias, backend=f"{kind.__module__}.{kind.__qualname__}", options=options, **settings
    )


def make_pool(
    *,
    shared: bool = False,
    resets: bool = False,
    server: FakeServer | None = None,
    budget: Budget | None = None,
    witness: Witness | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    random: Callable[[], float] = lambda: 0.5,
    **settings: Any,
) -> FakePool:
    config = config_of(server=server, shared=shared, resets=resets, **settings)
    events = Events()
    witness = witness or Witness()
    events.add(witness)
    pool = FakePool(
        config,
        backend_of(shared=shared, resets=resets)(config),
        budget or Budget(config.max_size, config.max_connecting),
        events,
        loop=loop or asyncio.get_running_loop(),
        random=random,
    )
    pool.witness = witness
    return pool


@contextlib.asynccontextmanager
async def lab(**settings: Any) -> AsyncIterator[FakePool]:
    """A pool, closed at the end; then nothing may be left of it."""
    pool = make_pool(**settings)
    try:
        yield pool
    finally:
        for gate in (pool.server.create, pool.server.check, pool.server.reset, pool.server.close):
            gate.open()
        await pool.close()
    settled(pool)


def settled(pool: FakePool) -> None:
    """Nothing is left of a closed pool, and nothing forbidden has happened."""
    assert pool.state == "closed"
    assert (pool.size, pool.in_use, pool.idle, pool.waiting) == (0, 0, 0, 0)
    assert pool.leases() == []
    assert pool.server.open == []
    assert pool.server.broken_rules == []
    assert pool.witness.broken_rules == []
    assert (pool.budget.used, pool.budget.connecting, pool.budget.closing) == (0, 0, 0)


async def all_can_be_held(pool: FakePool) -> None:
    """Every slot is there: ``MAX_SIZE`` leases at once, and no more."""
    maximum = pool.budget.limit
    leases = [await pool.acquire(timeout=60) for _ in range(maximum)]
    assert pool.in_use == pool.budget.used == maximum
    with pytest.raises(TimeoutError):
        await pool.acquire(timeout=0)
    for lease in leases:
        lease.release()


async def quiet(pool: FakePool) -> None:
    """Wait until no step of the pool is under way, and the last one is settled."""
    here = asyncio.current_task()
    # A step that has ended is no task any more; what follows from it happens in the next turn.
    still = 0
    while still < 3:
        others = asyncio.all_tasks() - {here}
        await (asyncio.wait(others) if others else asyncio.sleep(0))
        still = 0 if others else still + 1
