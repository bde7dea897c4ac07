"""PoolLifespan: what a server hears, and what becomes of the pools."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from poolapp import pools
from poolapp.asgi import Application, PoolLifespan
from tests.fake import FakeServer, config_of


class Server:
    """The server's side of the lifespan protocol."""

    def __init__(self, application: PoolLifespan) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.ensure_future(
            application({"type": "lifespan"}, self._to_app.get, self._from_app.put)
        )

    async def say(self, event: str) -> dict[str, Any]:
        """The answer to ``startup`` or ``shutdown``."""
        self._to_app.put_nowait({"type": f"lifespan.{event}"})
        answer: dict[str, Any] = await self._from_app.get()
        return answer


@asynccontextmanager
async def fake(**settings: Any) -> AsyncIterator[FakeServer]:
    server = FakeServer()
    pools.register("fake", config_of(server=server, **settings))
    try:
        yield server
    finally:
        for gate in (server.create, server.close):
            gate.open()
        await pools.remove("fake")


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


class Starlette:
    """An application that knows the protocol."""

    def __init__(self, fails: bool = False) -> None:
        self.heard: list[str] = []
        self.fails = fails
        self.pools_at_shutdown = -1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        while True:
            kind = (await receive())["type"]
            self.heard.append(kind)
            if kind == "lifespan.shutdown":
                self.pools_at_shutdown = pools.count()
                await send({"type": "lifespan.shutdown.complete"})
                return
            if self.fails:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            await send({"type": "lifespan.startup.complete"})


async def ignores(scope: Any, receive: Any, send: Any) -> None:
    """Returns without an answer."""


@pytest.mark.parametrize("application", [None, refuses, ignores], ids=["none", "django", "silent"])
async def test_shutdown_closes_all_pools_before_it_is_complete(
    application: Application | None,
) -> None:
    async with fake() as backend:
        server = Server(PoolLifespan(application))
        assert await server.say("startup") == {"type": "lifespan.startup.complete"}
        async with pools["fake"].acquire():
            pass
        assert len(backend.open) == 1
        assert await server.say("shutdown") == {"type": "lifespan.shutdown.complete"}
        assert backend.open == []
        await server.task


async def test_nothing_connects_at_startup() -> None:
    async with fake() as backend:
        server = Server(PoolLifespan())
        await server.say("startup")
        assert backend.created == 0
        await server.say("shutdown")
        await server.task


async def test_an_application_that_knows_the_protocol_hears_it_and_is_stopped_first() -> None:
    inner = Starlette()
    async with fake():
        server = Server(PoolLifespan(inner))
        await server.say("startup")
        async with pools["fake"].acquire():
            pass
        await server.say("shutdown")
        await server.task
    assert inner.heard == ["lifespan.startup", "lifespan.shutdown"]
    assert inner.pools_at_shutdown >= 1


async def test_an_application_that_can_not_start_is_believed() -> None:
    server = Server(PoolLifespan(Starlette(fails=True)))
    assert await server.say("startup") == {
        "type": "lifespan.startup.failed",
        "message": "no database",
    }
    await server.task


async def test_borrowers_are_waited_for_no_longer_than_close_timeout() -> None:
    async with fake(close_timeout=0.01) as backend:
        server = Server(PoolLifespan())
        await server.say("startup")
        await pools["fake"].acquire()
        assert await server.say("shutdown") == {"type": "lifespan.shutdown.complete"}
        assert backend.open == []
        await server.task


async def test_prewarm_opens_the_minimum_at_startup() -> None:
    async with fake(prewarm=True, min_size=3) as backend:
        server = Server(PoolLifespan())
        assert await server.say("startup") == {"type": "lifespan.startup.complete"}
        assert len(backend.open) == 3
        assert (pools["fake"].in_use, pools["fake"].idle) == (0, 3)
        assert pools["fake"].stats().nested == 0
        await server.say("shutdown")
        await server.task


async def test_prewarm_that_fails_tells_the_server_why() -> None:
    async with fake(prewarm=True, connect_timeout=0.05) as backend:
        backend.create.fail()
        server = Server(PoolLifespan())
        answer = await server.say("startup")
        assert answer["type"] == "lifespan.startup.failed"
        assert "pool 'fake'" in answer["message"]
        assert "connection refused" in answer["message"]
        await server.task


async def test_everything_else_goes_to_the_application() -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope: dict[str, Any] = {"type": "http"}
    await PoolLifespan(application)(scope, "receive", "send")  # type: ignore[arg-type]
    assert seen == [(scope, "receive", "send")]


async def test_without_an_application_other_scopes_are_refused() -> None:
    with pytest.raises(ValueError, match="wraps no application, so it can't handle 'http'"):
        await PoolLifespan()({"type": "http"}, None, None)  # type: ignore[arg-type]
