"""The short cuts of an HTTP pool: one request on the pool's session."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from poolapp.backends.http import repeating
from poolapp.backends.http.body import MAX_BODY, read
from poolapp.backends.http.session import TOTAL, bounded, default_bounds, single
from poolapp.core.exceptions import BackendUnavailable, PoolClosed, PoolTimeout, TooManyRequests
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.resilience import RetryBudget
from poolapp.core.supply import describe

if TYPE_CHECKING:
    import httpx
    from aiohttp import ClientResponse, ClientSession, ClientTimeout
    from yarl import URL

    from poolapp.backends.http.backend import HttpBackend
    from poolapp.core.config import PoolConfig

    Answer = Coroutine[Any, Any, ClientResponse]
    Outcome = ClientResponse | Exception


class HttpPool(Pool["ClientSession"]):
    """``request`` and its short forms: one request, on a session that is borrowed for just that
    request. The body has been read when they return, so ``await response.json()`` and
    ``await response.text()`` work afterwards, and nothing needs to be closed.

    They take what ``aiohttp.ClientSession.request`` takes, and besides:

    ``timeout``
        Seconds for the request with all its repeats, or an ``aiohttp.ClientTimeout``; the option's
        unless given. The wait for a lease is bounded by ``ACQUIRE_TIMEOUT``.
    ``retry``
        True: the request may be made again whatever its method. False: it is made once. Unless
        given: GET, HEAD, PUT, DELETE, OPTIONS and TRACE, and what has an ``Idempotency-Key``, may.
    ``raise_for_status``
        True: a status of 400 and more raises ``aiohttp.ClientResponseError``; the option's unless
        given.
    ``max_body``
        Bytes; a larger body raises TooLarge. The option's unless given.

    A request that may be made again is, at most ``retries`` times, when the server could not be
    reached or did not answer to the end, and when it answered 429, 502, 503 or 504: after a random
    pause that grows, or what ``Retry-After`` asks for, and only as far as the time and the pool's
    retry budget allow. One that could not be sent at all may always. Nothing is borrowed meanwhile.
    A body that can be read only once (a file, a generator) is sent once.

    They raise what ``acquire`` raises, BackendUnavailable, caused by the driver's error, for an
    outage, and the driver's other errors. An answer is an answer, whatever its status.
    """

    backend: HttpBackend
    crossing = ("request", "get", "head", "post", "put", "patch", "delete")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # All connections may break together, and each of them is worth one repeat.
        self._repeats = RetryBudget(capacity=max(10.0, self.config.max_size))
        self._singles: WeakKeyDictionary[ClientSession, ClientSession] = WeakKeyDictionary()
        self._read_options()

    def reconfigure(self, config: PoolConfig) -> None:
        super().reconfigure(config)
        self._read_options()

    def _read_options(self) -> None:
        """Once, since each request asks for them."""
        options = self.config.options
        self._max_body: int = options.get("max_body", MAX_BODY)
        self._raise_for_status: Any = options.get("raise_for_status", False)
        self._retries: int = options.get("retries", repeating.REPEATS)

    # These are plain functions that return a coroutine, so that the frame above is the caller's,
    # also when the coroutine is run by a task.

    def request(self, method: str, url: str | URL, **named: Any) -> Answer:
        """One request. A ``url`` without a host is relative to LOCATION."""
        return self._request(Lease(self, None, True, sys._getframe(1)), method, url, **named)

    def get(self, url: str | URL, **named: Any) -> Answer:
        return self._request(Lease(self, None, True, sys._getframe(1)), "GET", url, **named)

    def head(self, url: str | URL, **named: Any) -> Answer:
        """Unlike ``get`` it follows no redirects unless told to, as in aiohttp."""
        named.setdefault("allow_redirects", False)
        return self._request(Lease(self, None, True, sys._getframe(1)), "HEAD", url, **named)

    def post(self, url: str | URL, **named: Any) -> Answer:
        return self._request(Lease(self, None, True, sys._getframe(1)), "POST", url, **named)

    def put(self, url: str | URL, **named: Any) -> Answer:
        return self._request(Lease(self, None, True, sys._getframe(1)), "PUT", url, **named)

    def patch(self, url: str | URL, **named: Any) -> Answer:
        return self._request(Lease(self, None, True, sys._getframe(1)), "PATCH", url, **named)

    def delete(self, url: str | URL, **named: Any) -> Answer:
        return self._request(Lease(self, None, True, sys._getframe(1)), "DELETE", url, **named)

    def stream(
        self, method: str, url: str | URL, **named: Any
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """``async with pool.stream("GET", url) as response: async for chunk in
        response.content.iter_chunked(65536)``: the answer with its body unread.

        The lease is held until the block ends. ``timeout`` in seconds bounds the connect and each
        wait for the next bytes, not the whole. Nothing is repeated. Raises BackendUnavailable when
        no answer begins, and the driver's errors when it ends too early.
        """
        return self._stream(Lease(self, None, True, sys._getframe(1)), method, url, **named)

    def session(self, *, timeout: float | None = None) -> Lease[ClientSession]:
        """``acquire`` under the field's name: ``async with pool.session() as session``."""
        return Lease(self, timeout, True, sys._getframe(1))

    def httpx_client(self, **named: Any) -> httpx.AsyncClient:
        """An ``httpx.AsyncClient`` on this pool's sessions, for libraries that accept one.

        Each of its requests takes a lease until its answer is closed. It may be kept as long as
        the pool, over drains and resizes; closing it closes no session. ``named`` are the
        arguments of ``httpx.AsyncClient``, but for those of the transport (``verify``, ``limits``,
        ``http2``, ``proxy``), which are the alias's. Errors are httpx's own: an outage is
        ``httpx.ConnectError``, a queue that is too long ``httpx.PoolTimeout``.
        """
        from poolapp.backends.http.httpx_client import make_client

        return make_client(self, named)

    # -- one request ---------------------------------------------------------------------------

    async def _request(
        self,
        lease: Lease[ClientSession],
        method: str,
        url: str | URL,
        *,
        retry: bool | None = None,
        raise_for_status: Any = None,
        timeout: float | ClientTimeout | None = None,
        max_body: int | None = None,
        **named: Any,
    ) -> ClientResponse:
        limit = self._max_body if max_body is None else max_body
        bounds = None if timeout is None else self._bounds(timeout)
        started = self.clock()
        self._repeats.deposit()
        tries = 1
        outcome = await self._try(lease, method, url, limit, bounds, named)
        while repeating.may_repeat(outcome, method, retry, named):
            if tries > self._retries:
                break
            bounds = bounds or default_bounds(self.config)
            pause = repeating.delay(outcome, tries, self._supply.random)
            time_left = started + (bounds.total or TOTAL) - self.clock() - pause
            if time_left <= 0 or not self._repeats.withdraw():
                break
            await asyncio.sleep(pause)
            try:
                again = bounded(bounds, time_left) if bounds.total else bounds
                outcome = await self._try(lease, method, url, limit, again, named)
            except (BackendUnavailable, PoolClosed, PoolTimeout, TooManyRequests):
                # No lease was to be had. What came of the request before this is what counts.
                break
            tries += 1
        if isinstance(outcome, Exception):
            raise self._unavailable(outcome, method, tries, bounds) from outcome
        wanted = self._raise_for_status if raise_for_status is None else raise_for_status
        if callable(wanted):
            await wanted(outcome)
        elif wanted:
            outcome.raise_for_status()
        return outcome

    async def _try(
        self,
        lease: Lease[ClientSession],
        method: str,
        url: str | URL,
        limit: int,
        bounds: ClientTimeout | None,
        named: dict[str, Any],
    ) -> Outcome:
        """The answer with its body, or the error that says that there was none."""
        session = await lease.__aenter__()
        if bounds is not None:
            named = {**named, "timeout": bounds}
        try:
            response = await self.single(session).request(method, url, **named)
            await read(response, limit)
        except BaseException as error:
            lease.release(error)
            if isinstance(error, Exception) and repeating.is_lost(error):
                return error
            raise
        lease.release()
        self.backend.note_answer()
        return response

    @asynccontextmanager
    async def _stream(
        self,
        lease: Lease[ClientSession],
        method: str,
        url: str | URL,
        *,
        timeout: float | ClientTimeout | None = None,
        **named: Any,
    ) -> AsyncIterator[ClientResponse]:
        from aiohttp import ClientTimeout

        bounds = default_bounds(self.config) if timeout is None else self._bounds(timeout)
        if not isinstance(timeout, ClientTimeout):
            waits = bounds.total if bounds.sock_read is None else bounds.sock_read
            bounds = ClientTimeout(connect=bounds.connect, sock_read=waits)
        failure: BaseException | None = None
        session = await lease.__aenter__()
        try:
            try:
                response = await session.request(method, url, timeout=bounds, **named)
            except Exception as error:
                failure = error
                if repeating.is_lost(error):
                    raise self._unavailable(error, method, 1, bounds) from error
                raise
            self.backend.note_answer()
            async with response:
                yield response
        except BaseException as error:
            failure = failure or error
            raise
        finally:
            lease.release(failure)
            del failure

    def single(self, session: ClientSession) -> ClientSession:
        """Of this pool's session the one that ``session.single`` makes; it lives as long."""
        made = self._singles.get(session)
        if made is None:
            made = self._singles[session] = single(session)
        return made

    def _bounds(self, timeout: float | ClientTimeout) -> ClientTimeout:
        if isinstance(timeout, int | float):
            return bounded(default_bounds(self.config), timeout)
        return timeout

    def _unavailable(
        self, error: Exception, method: str, tries: int, bounds: ClientTimeout | None
    ) -> BackendUnavailable:
        import aiohttp

        bounds = bounds or default_bounds(self.config)
        # The driver quotes the URL in some of these, whose query may hold a secret.
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            said = f"no connection within {bounds.connect or bounds.sock_connect or 0:g} s"
        elif isinstance(error, aiohttp.SocketTimeoutError):
            said = f"nothing came for {bounds.sock_read or 0:g} s"
        elif isinstance(error, TimeoutError):
            said = f"no whole answer within {bounds.total or 0:g} s"
        else:
            said = describe(error, self.config.scrub)
        often = f" (tried {tries} times)" if tries > 1 else ""
        unknown = (
            ""
            if repeating.is_unsent(error) or method.upper() in repeating.SAFE
            else "; it may or may not have taken effect"
        )
        return BackendUnavailable(f"pool {self.alias!r}: {method} failed{often}: {said}{unknown}")

    # -- giving back ---------------------------------------------------------------------------

    def _take_back(self, lease: Lease[ClientSession], error: BaseException | None) -> None:
        entry = lease.entry
        if entry is not None and entry.connection.closed:
            # Its holder closed it, which is easily done; nobody else shall get it.
            self._supply.went_away(entry)
        super()._take_back(lease, error)
