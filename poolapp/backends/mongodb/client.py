"""The client that is lent: the driver's own, whose sockets can be counted, and dropped.

Imports the driver, and so is itself imported only when a pool connects.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymongo
from pymongo.asynchronous import pool as driver_pool
from pymongo.errors import AutoReconnect, ConfigurationError, _OperationCancelled
from pymongo.monitoring import (
    ConnectionClosedReason,
    ConnectionPoolListener,
    ServerHeartbeatListener,
    _EventListeners,
)

from poolapp.backends.abandoned import drop
from poolapp.backends.mongodb.tasks import begin, end
from poolapp.core.backend import Sockets

SHARE = 0.9
"""Of a timeout, for the driver: its own words come before the pool's patience ends."""

_DROPPED_AFTER = 0.05
"""Seconds."""

_OURS = (str(Path(pymongo.__file__).parent), __file__)


class PooledMongoClient(pymongo.AsyncMongoClient[dict[str, Any]]):
    """An ``AsyncMongoClient`` like any other, but for what its pool has to know of it."""

    def __init__(self, host: str, *, shown: str, **options: Any) -> None:
        # All of ours is behind one name with an underscore: any other name is a database's.
        self._poolapp = ours = Companion(shown)
        listeners = [*(options.pop("event_listeners", None) or ()), ours.wires, ours.heartbeats]
        super().__init__(
            host,
            event_listeners=listeners,
            _pool_class=partial(WiredPool, ours.wires),
            **options,
        )

    def __repr__(self) -> str:
        # The driver's would show the password of the client certificate's key.
        return f"<AsyncMongoClient of {self._poolapp.shown}>"

    async def close(self) -> None:
        await super().close()
        self._poolapp.lost()

    aclose = close


class Companion:
    """What a pool keeps beside a client."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.wires = Wires()
        self.heartbeats = Heartbeats()
        self.lost: Callable[[], None] = lambda: None
        """Called when somebody has closed the client."""


def starts_task(listeners: Iterable[Any]) -> bool:
    """Whether a client with these listeners, and with those that the process registered for all,
    starts a task when it is made: that can be done on its loop only."""
    found: Any = _EventListeners(list(listeners))
    return bool(found.enabled_for_server or found.enabled_for_topology)


def is_closed(client: PooledMongoClient) -> bool:
    return client._closed


async def answered(client: PooledMongoClient, seconds: float) -> None:
    """Have any server of the deployment answer a ping, in time.

    Raises the driver's error: when the time is over, and also as soon as every server has been
    tried and none can be reached. By itself the driver would go on trying until then.
    """
    with pymongo.timeout(seconds * SHARE):
        ping = begin(_ping(client))
    unreachable = client._poolapp.heartbeats.unreachable(client)
    try:
        either: list[asyncio.Future[Any]] = [ping, unreachable]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not ping.done():
            raise unreachable.result()
        ping.result()
    finally:
        unreachable.cancel()
        await end(ping, seconds)


async def _ping(client: PooledMongoClient) -> None:
    await client.admin.command("ping", read_preference=pymongo.ReadPreference.NEAREST)


def cut(client: PooledMongoClient) -> None:
    """Drop its sockets and end its tasks, at once, on its running loop; a later use of it raises
    InvalidOperation."""
    _mark_closed(client)
    for executor in _executors(client):
        executor.close()
    client._poolapp.wires.cut(lambda transport: transport.abort())


def abandon(client: PooledMongoClient) -> None:
    """The same where its loop is closed already."""
    _mark_closed(client)
    # Nobody can cancel a task of a closed loop. Left alone, the driver's would complain one by one
    # when they are collected: of being pending, and of not being able to clean up.
    for executor in _executors(client):
        executor._task = None
    client._poolapp.wires.cut(drop)
    for task in asyncio.all_tasks(client._loop) if client._loop is not None else ():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and code.co_filename.startswith(_OURS):
            _silence(task)


def _mark_closed(client: PooledMongoClient) -> None:
    client._closed = True
    topology: Any = client._topology
    if topology is not None:
        topology._closed = True


def _executors(client: PooledMongoClient) -> Iterator[Any]:
    """Of the client's tasks. Before the hosts of a ``mongodb+srv`` URL are known there are none."""
    topology: Any = client._topology
    if topology is None:
        return
    yield client._kill_cursors_executor
    monitors = [server._monitor for server in topology._servers.values()]
    if topology._srv_monitor is not None:
        monitors.append(topology._srv_monitor)
    for monitor in monitors:
        yield monitor._executor
        rtt_monitor = getattr(monitor, "_rtt_monitor", None)
        if rtt_monitor is not None:
            yield rtt_monitor._executor


def _silence(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    try:
        task.get_coro().close()
    except Exception:  # noqa: S110, BLE001, RUF100 - it tried to tell its loop
        pass


class Wires(ConnectionPoolListener):
    """The sockets of one client.

    Counted by the driver's own pool events, on the client's loop; the two numbers may be read
    from anywhere. Those of the driver's monitors are no part of the pools and not counted.
    """

    def __init__(self) -> None:
        self.open = 0
        self.in_use = 0
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._cut: Callable[[Any], None] | None = None

    def counted(self) -> Sockets:
        return Sockets(open=self.open, in_use=self.in_use)

    def opened(self, connection: Any) -> None:
        """One was opened, for whatever purpose; too late when the client has been cut."""
        self._connections.add(connection)
        if self._cut is not None:
            self._cut(_transport(connection))

    def cut(self, how: Callable[[Any], None]) -> None:
        self._cut = how
        for connection in list(self._connections):
            how(_transport(connection))

    def connection_created(self, event: object) -> None:
        self.open += 1

    def connection_closed(self, event: object) -> None:
        self.open -= 1

    def connection_checked_out(self, event: object) -> None:
        self.in_use += 1

    def connection_checked_in(self, event: object) -> None:
        self.in_use -= 1

    def _ignore(self, event: object) -> None:
        pass

    connection_ready = connection_check_out_started = connection_check_out_failed = _ignore
    pool_created = pool_ready = pool_cleared = pool_closed = _ignore


def _transport(connection: Any) -> asyncio.BaseTransport:
    transport: asyncio.BaseTransport = connection.conn.conn[0]
    return transport


class WiredPool(driver_pool.Pool):
    """Tells of each socket that it opens: one that is in use is known to nobody else.

    And it finishes what it has begun: the driver by itself leaves a socket open whose connect is
    cancelled.
    """

    def __init__(self, wires: Wires, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._poolapp_wires = wires

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        wanted = True

        async def finish(connecting: Coroutine[Any, Any, Any]) -> Any:
            try:
                connection = await connecting
            except Exception:
                if wanted:
                    raise
            else:
                self._poolapp_wires.opened(connection)
                if wanted:
                    return connection
                await connection.close_conn(ConnectionClosedReason.ERROR)

        finishing = asyncio.ensure_future(finish(super().connect(*args, **kwargs)))
        try:
            return await asyncio.shield(finishing)
        except asyncio.CancelledError:
            wanted = False
            if finishing.done() and not finishing.cancelled() and not finishing.exception():
                await finishing.result().close_conn(ConnectionClosedReason.ERROR)
            raise


class Heartbeats(ServerHeartbeatListener):
    """What the driver's monitors find: which servers can't be reached now, and why."""

    def __init__(self) -> None:
        self._failing: dict[Any, Exception] = {}
        self._told: dict[asyncio.Future[Exception], PooledMongoClient] = {}

    def unreachable(self, client: PooledMongoClient) -> asyncio.Future[Exception]:
        """Has a result, the reason, once all servers have failed from now on."""
        future: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._failing.clear()
        self._told[future] = client
        future.add_done_callback(self._told.pop)
        return future

    def started(self, event: object) -> None:
        pass

    def succeeded(self, event: Any) -> None:
        self._failing.pop(event.connection_id, None)
        # A server that turns out to be of another replica set is dropped, a few turns from now.
        for future in self._told:
            future.get_loop().call_later(_DROPPED_AFTER, self._insist_on_servers, future)

    def _insist_on_servers(self, future: asyncio.Future[Exception]) -> None:
        if not future.done() and not self._told[future].topology_description.server_descriptions():
            name = self._told[future].topology_description.replica_set_name
            future.set_result(ConfigurationError(f"no server is a member of replica set {name!r}"))

    def failed(self, event: Any) -> None:
        # The driver breaks a check off to begin another at once: that says nothing of the server.
        if isinstance(event.reply, _OperationCancelled):
            return
        self._failing[event.connection_id] = event.reply
        for future, client in list(self._told.items()):
            servers = client.topology_description.server_descriptions()
            if servers and servers.keys() <= self._failing.keys() and not future.done():
                future.set_result(_summary([self._failing[address] for address in servers]))


def _summary(errors: list[Exception]) -> Exception:
    if len(errors) == 1:
        return errors[0]
    return AutoReconnect("; ".join(str(error) for error in errors))
