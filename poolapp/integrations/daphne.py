"""Daphne sends no lifespan messages; its Twisted reactor says goodbye instead.

When the reactor stops, Daphne cancels every request at once. So the requests that run under
``PoolLifespan`` are kept out of its reach: they end first, then the pools are closed, and the
reactor waits for both, because what its ``before shutdown`` triggers return is waited for (what
those of ``during`` return is not).

WebSocket consumers it may cancel. But it fails to, for up to a second after each handshake, which
it has in its list without an application (KeyError); and the cancel of one that is just then in a
thread, as Channels is after every message, gets lost in ``sync_to_async``. So here they are
cancelled until they have ended.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from twisted.internet import defer, tcp
from twisted.internet import reactor as installed

from poolapp.core.registry import pools

logger = logging.getLogger("poolapp.asgi")

reactor: Any = installed  # Twisted's annotations name its interfaces, not what stands here

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

GRACE = 10.0
"""Seconds that requests have to end, unless an alias has a longer ``CLOSE_TIMEOUT``."""

LAST_GRACE = 1.0
"""Seconds that they have once they are told that their clients have gone, and consumers that are
cancelled."""

AGAIN = 0.1
"""Seconds from one cancel to the next."""


class Goodbye:
    """Ends what runs, in its order, when the reactor stops."""

    def __init__(self) -> None:
        self.stopping = False
        self._arranged = False
        self._requests: dict[asyncio.Future[None], Receive | None] = {}
        """Those that run, each with where its messages come from."""
        self._consumers: set[asyncio.Task[Any]] = set()

    def arrange(self) -> None:
        """Have the reactor call ``_stop``, before Daphne's own trigger, which is added later."""
        if not self._arranged:
            self._arranged = True
            reactor.addSystemEventTrigger("before", "shutdown", self._stop)

    def _stop(self) -> defer.Deferred[None]:
        self.stopping = True
        ports: list[Any] = [each for each in reactor.getReaders() if isinstance(each, tcp.Port)]
        for port in ports:
            port.stopListening()
        for send in _unbegun():
            self._keep(_refuse(send))
        return defer.Deferred.fromFuture(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        late = await self._late(_patience())
        if late:
            logger.warning(
                "%d requests did not end in time and were cut short",
                len(late),
                extra={"alias": "", "event": "requests_cut"},
            )
            for task in late:
                _hang_up(self._requests[task])
            late = await self._late(LAST_GRACE)
        for task in late:
            task.cancel()
        await self._end_consumers()
        await pools.close_all()

    async def _end_consumers(self) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + LAST_GRACE
        while self._consumers and now() < deadline:
            for task in self._consumers:
                task.cancel()
            await asyncio.wait(set(self._consumers), timeout=AGAIN)

    async def _late(self, patience: float) -> set[asyncio.Future[None]]:
        """The requests that still run in so many seconds."""
        if not self._requests:
            return set()
        return (await asyncio.wait(set(self._requests), timeout=patience))[1]

    def wrap(self, application: Application) -> Application:
        """Run requests so that the reactor's stop does not cut them short."""

        async def see_through(scope: Message, receive: Receive, send: Send) -> None:
            if not reactor.running:
                await application(scope, receive, send)
            elif scope["type"] == "websocket":
                await self._consume(application, scope, receive, send)
            elif scope["type"] != "http":
                await application(scope, receive, send)
            elif self.stopping:
                await _refuse(send)
            else:
                await self._finish(application, scope, receive, send)

        return see_through

    async def _consume(
        self, application: Application, scope: Message, receive: Receive, send: Send
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._consumers.add(task)
        try:
            await application(scope, receive, send)
        finally:
            self._consumers.discard(task)

    async def _finish(
        self, application: Application, scope: Message, receive: Receive, send: Send
    ) -> None:
        task = self._keep(application(scope, receive, send), receive)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if not self.stopping:  # the client went away
                task.cancel()
            await asyncio.wait([task])
            if task.cancelled():
                raise
            await task

    def _keep(self, work: Awaitable[None], receive: Receive | None = None) -> asyncio.Future[None]:
        """Run it out of the reach of Daphne, which cancels what it started itself."""
        task = asyncio.ensure_future(work)
        self._requests[task] = receive
        task.add_done_callback(self._requests.pop)
        return task


def _hang_up(receive: Receive | None) -> None:
    """Tell an application that its client has gone. Django ends its view then, which it does not
    when it is cancelled itself."""
    queue = getattr(receive, "__self__", None)  # Daphne gives its queue's ``get``
    if isinstance(queue, asyncio.Queue):
        queue.put_nowait({"type": "http.disconnect"})


def _unbegun() -> list[Send]:
    """Where to answer the requests that Daphne has taken in this very moment.

    Their tasks have not had a turn. Daphne's cancel, which follows at once, ends such a task
    before any of our code runs, and the client would wait for the end of the process.
    """
    found = []
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and (
            inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
        ):
            given = inspect.getcoroutinelocals(coroutine)
            scope = given.get("scope")
            if isinstance(scope, dict) and scope.get("type") == "http" and "send" in given:
                found.append(given["send"])
    return found


async def _refuse(send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 503,
            "headers": [(b"retry-after", b"1"), (b"connection", b"close")],
        }
    )
    await send({"type": "http.response.body", "body": b""})


def _patience() -> float:
    return max([GRACE, *(pools.config(alias).close_timeout for alias in pools)])


goodbye = Goodbye()
