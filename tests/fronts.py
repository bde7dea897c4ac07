"""An HTTP server that answers as an Elasticsearch node would, for answers that the real one can
only be brought to give with effort: refusals, a red cluster, another product."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, Self

from aiohttp import web

PRODUCT = {"X-Elastic-Product": "Elasticsearch"}


class Front:
    """``async with`` gives it; ``answers[path]`` is a status and a JSON body."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.headers = dict(PRODUCT)
        self.answers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.requests: list[web.Request] = []
        self.bodies: dict[str, Any] = {}
        """Path -> the last body of JSON that came to it."""
        self.inside = 0
        self.most_inside = 0
        self.changed = asyncio.Condition()
        self.gate = asyncio.Event()
        """Every request but HEAD / waits for it."""
        self.gate.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        (address,) = self._runner.addresses
        self.port = address[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def until_inside(self, count: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: self.inside >= count)

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if request.can_read_body and "json" in request.content_type.rpartition("+")[2]:
            content = await request.read()
            if b"\n" not in content:
                self.bodies[request.path] = json.loads(content)
        async with self.changed:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.changed.notify_all()
        try:
            if request.method != "HEAD":
                await self.gate.wait()
        finally:
            self.inside -= 1
        status, body = self.answers.get(request.path, (200, {}))
        return web.json_response(body, status=status, headers=self.headers)
