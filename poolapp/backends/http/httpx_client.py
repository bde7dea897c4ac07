"""An httpx client whose requests go through the pool."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
from httpx_aiohttp import AiohttpTransport

from poolapp.backends.http.session import base_url, default_bounds
from poolapp.core.exceptions import PoolError, PoolTimeout

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from poolapp.backends.http.pool import HttpPool
    from poolapp.core.lease import Lease

OF_THE_TRANSPORT = ("transport", "verify", "cert", "trust_env", "http1", "http2", "limits", "proxy")
"""Arguments of a client that the alias's own options take the place of."""


def make_client(pool: HttpPool, named: dict[str, Any]) -> httpx.AsyncClient:
    """Raises TypeError for an argument that only a transport of the client's own could keep."""
    for name in OF_THE_TRANSPORT:
        if name in named:
            raise TypeError(
                f"httpx_client() takes no {name!r}: its connections are those of pool "
                f"{pool.alias!r}, so set it in that alias's OPTIONS"
            )
    bounds = default_bounds(pool.config)
    usual: dict[str, Any] = {
        "base_url": str(base_url(pool.config)),
        "timeout": httpx.Timeout(
            bounds.total, connect=bounds.connect, pool=pool.config.acquire_timeout
        ),
    }
    return httpx.AsyncClient(transport=PooledTransport(pool), **{**usual, **named})


class PooledTransport(httpx.AsyncBaseTransport):
    """Sends each request on a session that is borrowed until its answer is closed."""

    def __init__(self, pool: HttpPool) -> None:
        self._pool = pool
        # The transport beneath wants one, and would load all authorities of the system for it;
        # the session that it is given has its own.
        self._unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._session: ClientSession | None = None
        self._beneath: AiohttpTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lease = self._pool.session(timeout=request.extensions.get("timeout", {}).get("pool"))
        try:
            session = await lease.__aenter__()
        except PoolTimeout as error:
            raise httpx.PoolTimeout(str(error), request=request) from error
        except PoolError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        if session is not self._session:  # a new one, after a drain
            self._session = session
            raises = self._pool.config.options.get("raise_for_status")
            # What raises for a status, httpx can't tell from a failure.
            client = self._pool.single(session) if raises else session
            self._beneath = AiohttpTransport(verify=self._unused, client=client)
        try:
            response = await self._beneath.handle_async_request(request)
        except BaseException as error:
            # What the pool has to know of is the driver's error.
            lease.release(error.__cause__ or error)
            raise
        self._pool.backend.note_answer()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = LeasedStream(response.stream, lease)
        return response


class LeasedStream(httpx.AsyncByteStream):
    """An answer's body, with the lease that ends with it."""

    def __init__(self, stream: httpx.AsyncByteStream, lease: Lease[ClientSession]) -> None:
        self._stream = stream
        self._lease: Lease[ClientSession] | None = lease
        self._failure: BaseException | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except Exception as error:
            self._failure = error.__cause__
            raise

    async def aclose(self) -> None:
        lease, self._lease = self._lease, None
        failure, self._failure = self._failure, None
        try:
            await self._stream.aclose()
        finally:
            if lease is not None:
                lease.release(failure)
            del failure
