"""Closing the pools when an ASGI server shuts down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from poolapp import integrations
from poolapp.core.exceptions import PoolError
from poolapp.core.registry import pools

logger = logging.getLogger("poolapp.asgi")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class PoolLifespan:
    """Answers the server's lifespan messages, which Django does not.

    Wrap the whole application::

        application = PoolLifespan(get_asgi_application())

    or let Channels route to it::

        application = ProtocolTypeRouter({"lifespan": PoolLifespan(), "http": ...})

    At startup it opens the pools that have ``PREWARM``; when one can't be opened the server is
    told so, and does not start. At shutdown it closes all pools, each within its
    ``CLOSE_TIMEOUT``. A wrapped application that knows the lifespan protocol itself (Starlette,
    say) gets the same messages: it is started first and stopped first.

    Daphne sends no lifespan messages and cancels its requests when it stops. Under it this wrapper
    lets them end first, up to ``CLOSE_TIMEOUT``, before the pools are closed.
    """

    def __init__(self, application: Application | None = None) -> None:
        self.application = application and integrations.seen_through(application)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif self.application is None:
            raise ValueError(
                f"PoolLifespan() wraps no application, so it can't handle {scope['type']!r}"
            )
        else:
            await self.application(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Receive, send: Send) -> None:
        wrapped = _Wrapped(self.application, scope)
        try:
            message = await receive()
            answer = await wrapped.ask(message)
            if answer is None or answer["type"] == "lifespan.startup.complete":
                answer = {"type": "lifespan.startup.complete"}
                try:
                    await pools.prewarm()
                except PoolError as error:
                    answer = {"type": "lifespan.startup.failed", "message": str(error)}
            await send(answer)
            if answer["type"] == "lifespan.startup.failed":
                await pools.close_all()
                return
            message = await receive()
            answer = await wrapped.ask(message)
            await pools.close_all()
            await send(answer or {"type": "lifespan.shutdown.complete"})
        finally:
            wrapped.end()


class _Wrapped:
    """The lifespan of the wrapped application, if it has one."""

    def __init__(self, application: Application | None, scope: Message) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answer: asyncio.Future[Message] | None = None
        self._task: asyncio.Task[None] | None = None
        if application is not None:
            self._task = asyncio.create_task(self._run(application, scope))

    async def _run(self, application: Application, scope: Message) -> None:
        try:
            await application(scope, self._messages.get, self._receive_answer)
        except Exception as error:
            # The protocol's way to say that an application has no lifespan: Django raises
            # ValueError, others whatever they raise for an unknown scope.
            logger.debug(
                "The wrapped application has no lifespan: %r",
                error,
                extra={"alias": "", "event": "no_lifespan"},
            )

    async def _receive_answer(self, message: Message) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    async def ask(self, message: Message) -> Message | None:
        """The application's answer; None when it has none to give."""
        if self._task is None or self._task.done():
            return None
        self._answer = asyncio.get_running_loop().create_future()
        self._messages.put_nowait(message)
        either: set[asyncio.Future[Any]] = {self._answer, self._task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.result() if self._answer.done() else None

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
