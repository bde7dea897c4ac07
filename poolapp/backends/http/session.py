"""Making the session of an alias, and opening its first connection."""

from __future__ import annotations

import asyncio
import base64
import copy
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from poolapp.backends.http import options
from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import ConfigurationError, PoolError

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientResponse, ClientSession, ClientTimeout
    from yarl import URL

TOTAL = 30.0
"""Seconds for one request with all its repeats, unless set: as long as a platform's router waits
for the whole answer of the page that makes it (Heroku's H12), and gunicorn for its worker."""


class Unhealthy(PoolError):
    """``check_path`` was answered by a status that says no."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"GET {path} was answered with status {status}")
        self.status = status


async def open_session(config: PoolConfig) -> ClientSession:
    """A session for the running loop; it has no connection yet."""
    # The first import of the driver loads the system's authorities, as one of our own does.
    quick = "aiohttp" in sys.modules and not _uses_files(config)
    context = None if quick else await asyncio.to_thread(_prepare, config)
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector

    connecting: dict[str, Any] = {
        "limit": config.max_size,
        **options.connector_options(config.options),
    }
    if context is not None:
        connecting["ssl"] = context
    if "resolver" in connecting:
        connecting["resolver"] = connecting["resolver"]()
    asking = {"cookie_jar": DummyCookieJar, **options.session_options(config.options)}
    asking["cookie_jar"] = asking["cookie_jar"]()
    asking["timeout"] = default_bounds(config)
    url = base_url(config)
    signed = options.credentials(config)
    if signed is not None:
        asking["middlewares"] = (*asking.get("middlewares", ()), _signing(url, *signed))
    connector = TCPConnector(**connecting)
    try:
        return ClientSession(url, connector=connector, **asking)
    except BaseException:
        await connector.close()
        raise


def _uses_files(config: PoolConfig) -> bool:
    return "ca_file" in config.options or "cert_file" in config.options


def _prepare(config: PoolConfig) -> ssl.SSLContext | None:
    """What takes too long for the loop."""
    import aiohttp  # noqa: F401

    if not _uses_files(config):
        return None
    ca_file, cert_file, key_file = map(config.options.get, ("ca_file", "cert_file", "key_file"))
    loading = "ca_file"
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            loading = "cert_file" if key_file is None else "cert_file' or 'key_file"
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"OPTIONS: {loading!r} can't be loaded: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def base_url(config: PoolConfig) -> URL:
    """LOCATION without the user, and with the slash at its end without which the last part of the
    path would give way to a relative URL."""
    from yarl import URL

    (location,) = config.where()
    return URL(f"{location.scheme}://{location.address}{location.path.rstrip('/')}/")


def default_bounds(config: PoolConfig) -> ClientTimeout:
    """Of one request, unless it brings its own."""
    from aiohttp import ClientTimeout

    given = config.options.get("timeout", TOTAL)
    if isinstance(given, ClientTimeout):
        return given
    return ClientTimeout(total=given, connect=config.connect_timeout)


def bounded(bounds: ClientTimeout, total: float) -> ClientTimeout:
    """The same bounds but for the whole, in seconds."""
    from aiohttp import ClientTimeout

    return ClientTimeout(
        total=total,
        connect=bounds.connect,
        sock_connect=bounds.sock_connect,
        sock_read=bounds.sock_read,
        ceil_threshold=bounds.ceil_threshold,
    )


def _signing(
    url: URL, user: str, password: str
) -> Callable[[ClientRequest, Callable[..., Awaitable[ClientResponse]]], Awaitable[ClientResponse]]:
    """Signs what goes to the server of LOCATION, and nothing that a redirect or a whole URL takes
    elsewhere."""
    origin = url.origin()
    value = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    async def sign(
        request: ClientRequest, send: Callable[..., Awaitable[ClientResponse]]
    ) -> ClientResponse:
        if request.url.origin() == origin and "Authorization" not in request.headers:
            request.headers["Authorization"] = value
        return await send(request)

    return sign


def single(session: ClientSession) -> ClientSession:
    """The same session, but for what the driver does by itself with a bad outcome: it makes a
    request again, outside of any budget, and raises at a status that may be worth another try.

    It shares all that the session has, and is closed with it. It must not end before the session.
    """
    made = copy.copy(session)
    made._retry_connection = False
    made._raise_for_status = False
    return made


# -- the first connection ----------------------------------------------------------------------


async def reach(session: ClientSession, seconds: float) -> bool:
    """Have one connection to the server, TLS included, which whoever asks next will use; one that
    lies idle is enough. Nothing is sent.

    False when all that there may be are in use: those who use them find out how the server is.
    """
    from aiohttp import ClientTimeout

    async def connect_only(request: ClientRequest, send: object) -> ClientResponse:
        connector = session.connector
        assert connector is not None
        key = request.connection_key
        idle = any(protocol.is_connected() for protocol, _ in connector._conns.get(key, ()))
        if not idle and connector._available_connections(key) <= 0:
            raise _Busy
        bounds = ClientTimeout(connect=seconds)
        connection = await connector.connect(request, traces=[], timeout=bounds)
        connection.release()
        raise _Reached

    # The driver connects for a request only, so there is one that ends before it is sent. Nobody
    # who traces the requests is told.
    silent = single(session)
    silent._trace_configs = []
    try:
        await silent.request("HEAD", "", middlewares=[connect_only])
    except _Reached:
        return True
    except _Busy:
        return False
    finally:
        silent.detach()
    raise AssertionError("a request that is never sent was answered")


class _Reached(Exception):
    """There is a connection."""


class _Busy(Exception):
    """No connection is to be had now."""


async def ask(session: ClientSession, path: str, seconds: float) -> None:
    """Have the path answered; raises Unhealthy for any status of 400 and more."""
    from aiohttp import ClientTimeout

    request = session.get(path, timeout=ClientTimeout(total=seconds), raise_for_status=False)
    async with request as response:
        if response.status >= 400:
            raise Unhealthy(path, response.status)
        # To its end, within reason, so that the connection can be used again.
        await response.content.read(MAX_CHECK_BODY)


MAX_CHECK_BODY = 65536
"""Bytes of the answer to a check that are read."""


def drop_idle(session: ClientSession) -> None:
    """Cut the connections that nobody uses."""
    connector: Any = session.connector
    for kept in connector._conns.values():
        for protocol, _ in kept:
            if protocol.transport is not None:
                protocol.transport.abort()
