"""The sockets beneath a client, and how they are encrypted."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]

Certificate = str | tuple[str, str] | None


@functools.cache
def session_class() -> type[AIOHTTPSession]:
    # The driver is imported when a pool first connects, and so its class can't be extended
    # before.
    from aiobotocore.httpsession import AIOHTTPSession
    from aiohttp import TCPConnector

    class PooledSession(AIOHTTPSession):  # type: ignore[misc]
        """Makes its TLS context when it is made itself, which is in a thread; the driver's own
        would load the authorities on the event loop, at the first request.

        The driver's context also leaves the host's name unverified, as the synchronous driver
        verifies that by itself, and it has none at all for what goes through a proxy.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._tls = tls_context(self._verify, kwargs.get("client_cert"))

        def _create_connector(self, proxy_url: str | None) -> TCPConnector:
            if proxy_url and self._proxy_config.settings:
                made: TCPConnector = super()._create_connector(proxy_url)
                return made
            return TCPConnector(
                limit=self._max_pool_connections, ssl=self._tls, **self._connector_args
            )

    return PooledSession


def tls_context(verify: bool | str | None, certificate: Certificate) -> ssl.SSLContext | bool:
    """A context for these files, shared by all clients that use them; False verifies nothing.

    ``verify`` is true or the file of an authority, ``certificate`` the file of a client
    certificate, or that file and its key's. Raises ValueError that names the option when a file
    can't be read.
    """
    from botocore.httpsession import get_cert_path  # type: ignore[import-untyped]

    if not verify:
        return False
    authorities = _stamped("verify", get_cert_path(verify))
    pair = (certificate,) if isinstance(certificate, str) else certificate or ()
    return _loaded(authorities, tuple(_stamped("client_cert", each) for each in pair))


Stamped = tuple[str, float]
"""A file and when it was changed: a renewed one is loaded anew."""


def _stamped(option: str, file: str) -> Stamped:
    try:
        return file, Path(file).stat().st_mtime
    except OSError as error:
        raise ValueError(f"OPTIONS[{option!r}]: {error}") from None


@functools.lru_cache(maxsize=16)
def _loaded(authorities: Stamped, certificate: tuple[Stamped, ...]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities[0])
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"OPTIONS['verify']: {authorities[0]!r}: {error}") from None
    if certificate:
        files = [file for file, _ in certificate]
        try:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key.
            context.load_cert_chain(files[0], files[1] if files[1:] else None, password="")
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"OPTIONS['client_cert']: {files}: {error}") from None
    return context


def connectors(client: Any) -> list[Any]:
    """Of the sessions that the client has opened so far."""
    sessions = list(client._endpoint.http_session._sessions.values())
    return [session.connector for session in sessions if session.connector is not None]
