"""An HTTP server of the test's own: answers as it is told, and counts who is connected.

``python -m tests.http_server PORT`` is one in a process of its own, to be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

from aiohttp import web

from poolapp.devservices.ports import free_port

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HTTP = "poolapp.backends.http.HttpBackend"


async def echo(request: web.Request) -> web.StreamResponse:
    """What was asked, as JSON."""
    return web.json_response(
        {
            "method": request.method,
            "path": request.path_qs,
            "headers": dict(request.headers),
            "body": (await request.read()).decode(),
        }
    )


class Api:
    """``async with`` gives it; ``handlers[path]`` answers that path, any other is echoed."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.handlers: dict[str, Handler] = {}
        self.requests: list[web.Request] = []
        self.accepted: set[Any] = set()
        """The sockets that a request came over."""
        self.most_open = 0
        self.inside = 0
        self._changed = asyncio.Condition()
        self.gate = asyncio.Event()
        """Every request waits for it."""
        self.gate.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gate.set()
        await self._runner.cleanup()

    def connections(self) -> list[Any]:
        assert self._runner.server is not None
        return self._runner.server.connections

    def cut(self) -> int:
        """Reset every connection there is."""
        cut = [each.transport for each in self.connections() if each.transport is not None]
        for transport in cut:
            transport.abort()
        return len(cut)

    def close_idle(self) -> None:
        """Hang up as a server does that is tired of an idle client."""
        for each in self.connections():
            each.transport.close()

    async def until_inside(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.inside >= count)

    async def until_nobody_is_connected(self) -> None:
        async with asyncio.timeout(10):
            while self.connections():  # noqa: ASYNC110 - aiohttp's server rings no bell
                await asyncio.sleep(0.005)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.accepted.add(request.transport)
        self.most_open = max(self.most_open, len(self.connections()))
        async with self._changed:
            self.inside += 1
            self._changed.notify_all()
        try:
            await self.gate.wait()
            return await self.handlers.get(request.path, echo)(request)
        finally:
            self.inside -= 1


def answers(*statuses: int, headers: dict[str, str] | None = None) -> Handler:
    """These statuses one after another, the last one for ever."""
    left = list(statuses)

    async def handler(request: web.Request) -> web.StreamResponse:
        status = left.pop(0) if len(left) > 1 else left[0]
        later = headers if status >= 400 else None
        return web.json_response({"status": status}, status=status, headers=later)

    return handler


class Rude:
    """A server that answers so many requests of a connection, and hangs up at the next without a
    word: what a client sees whose request crosses the server's goodbye."""

    def __init__(self, *, answered: int) -> None:
        self._answered = answered
        self.connections = 0
        self.requests = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            left = self._answered
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                left -= 1
                if left < 0:
                    break
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        writer.transport.abort()


class Elsewhere:
    """An Api on a thread of its own, for loops that come and go."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    def __enter__(self) -> Api:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self._open())
        return self.api

    async def _open(self) -> None:
        self.api = await Api(tls=self._tls).__aenter__()

    def wait_for_nobody(self) -> None:
        self._do(self.api.until_nobody_is_connected())

    def wait_for_somebody_inside(self) -> None:
        self._do(self.api.until_inside(1))

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self.api.gate.set)

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __exit__(self, *error: object) -> None:
        self._do(self.api.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Process:
    """A server in a process of its own, on one port for all its lives."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.http_server", str(self.port)]
        self._process = subprocess.Popen(command)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(self.url, timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError("the server does not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def process() -> Iterator[Process]:
    made = Process()
    made.start()
    try:
        yield made
    finally:
        made.kill()


async def _serve_for_ever(port: int) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(int(sys.argv[1])))
