"""A WebSocket server of the tests' own, which can misbehave in every way that servers do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

WEBSOCKET = "poolapp.backends.websocket.WebSocketBackend"

Answer = Callable[[ServerConnection, Any], Awaitable[None]]


async def echo(connection: ServerConnection, message: Any) -> None:
    await connection.send(message)


class Feed:
    """``async with Feed() as feed``: listens, notes who comes and what they say."""

    def __init__(self, *, answer: Answer | None = None, **options: Any) -> None:
        self._answer = answer
        self._options = options
        self._server: Server | None = None
        self._changed = asyncio.Condition()
        self.port = 0
        self.tls: ssl.SSLContext | None = options.get("ssl")
        self.open: list[ServerConnection] = []
        """Those that are connected now."""
        self.accepted = 0
        self.most = 0
        """That were ever open at once."""
        self.heard: list[Any] = []
        self.goodbyes: list[int | None] = []
        """The close codes of those that have gone."""
        self.greeting: Any = None
        """Sent to each that comes, unless it is None."""
        self.hang_up: int | None = None
        """The code with which each that comes is sent away, unless it is None."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        settings = {"ping_interval": None, "close_timeout": 0.2, **self._options}
        self._server = await serve(self._serve, "127.0.0.1", self.port, **settings)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """As a power cut would: nobody gets a goodbye."""
        if self._server is not None:
            self._server.close(close_connections=False)
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Reset every connection."""
        for each in self.open:
            each.transport.abort()

    async def close_all(self, code: int = 1001) -> None:
        """Say goodbye to everyone."""
        await asyncio.gather(*(each.close(code) for each in list(self.open)))

    def tell(self, *messages: Any) -> None:
        for each in messages:
            broadcast(self.open, each)

    def babble(self, data: bytes) -> None:
        """Send what is no WebSocket frame."""
        for each in self.open:
            each.transport.write(data)

    async def until(self, question: Callable[[Feed], Any]) -> None:
        """Wait for what happens here until the answer is true."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: question(self))

    async def _serve(self, connection: ServerConnection) -> None:
        self.open.append(connection)
        self.accepted += 1
        self.most = max(self.most, len(self.open))
        try:
            await self._note()
            if self.hang_up is not None:
                await connection.close(self.hang_up)
            if self.greeting is not None:
                await connection.send(self.greeting)
            while True:
                message = await connection.recv()
                self.heard.append(message)
                await self._note()
                if self._answer is not None:
                    await self._answer(connection, message)
        except ConnectionClosed:
            pass
        finally:
            self.open.remove(connection)
            self.goodbyes.append(connection.close_code)
            await self._note()

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()
