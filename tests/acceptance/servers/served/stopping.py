"""The reactor stops in the very moment in which Daphne has taken a request and not begun it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from served.asgi import application as wrapped
from twisted.internet import reactor


class Stopping:
    _asgi_single_callable = True

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        if scope["path"] == "/stop":
            # Before the first step of the task that Daphne makes of what this returns.
            asyncio.get_running_loop().call_soon(reactor.fireSystemEvent, "shutdown")
        return wrapped(scope, receive, send)


application = Stopping()
