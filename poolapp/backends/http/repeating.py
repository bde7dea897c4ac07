"""Which requests may be made again, after which outcome, and how soon."""

from __future__ import annotations

import datetime
import email.utils
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from poolapp.core.resilience import repeat_delay

if TYPE_CHECKING:
    from aiohttp import ClientResponse

REPEATS = 2
"""How often a request is made again at the most, unless set: three tries in all, as the standard
mode of the AWS SDKs has them."""

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.2."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.1: they ask, and change nothing."""

STATUSES = frozenset({429, 502, 503, 504})
"""Answers that say: later."""


def is_lost(error: BaseException) -> bool:
    """Whether the server could not be reached, or did not answer to the end: an outage, as
    against an answer that one doesn't like."""
    import aiohttp

    if isinstance(error, aiohttp.ClientPayloadError):
        # What came in full and can't be unpacked would come again.
        return not _has_cause(error, aiohttp.http_exceptions.ContentEncodingError)
    kinds = aiohttp.ClientConnectionError | TimeoutError | aiohttp.ClientHttpProxyError
    return isinstance(error, kinds)


def _has_cause(error: BaseException, kind: type[BaseException]) -> bool:
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__
    return found is not None


def is_unsent(error: BaseException) -> bool:
    """Whether there was no connection, so that the server can't have seen the request."""
    import aiohttp

    return isinstance(
        error,
        aiohttp.ClientConnectorError
        | aiohttp.ConnectionTimeoutError
        | aiohttp.ClientHttpProxyError,
    )


def is_refused_tls(error: BaseException) -> bool:
    """Whether both sides will not trust each other until somebody changes something."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return True
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        # The server hung up: it may be starting, or stopping.
        return not isinstance(error.os_error, ssl.SSLEOFError)
    return isinstance(error, aiohttp.ServerFingerprintMismatch)


def may_repeat(
    outcome: ClientResponse | Exception, method: str, retry: bool | None, named: Mapping[str, Any]
) -> bool:
    """Whether a request with this outcome may be made again.

    ``retry`` is the caller's word on it; ``named`` are the arguments of the request.
    """
    if not isinstance(outcome, Exception):
        if outcome.status not in STATUSES:
            return False
    elif is_refused_tls(outcome):
        return False
    if retry is False or not _can_be_sent_again(named.get("data")):
        return False
    if isinstance(outcome, Exception) and is_unsent(outcome):
        return True
    return retry is True or method.upper() in IDEMPOTENT or _has_key(named.get("headers"))


def _can_be_sent_again(data: Any) -> bool:
    """Whether the body is still whole when it has been sent: a file or a stream isn't."""
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, list | tuple):
        return all(_can_be_sent_again(each) for each in data)
    return data is None or isinstance(data, str | bytes | bytearray | memoryview | int | float)


def _has_key(headers: Any) -> bool:
    """``Idempotency-Key``: the server will notice a request that it has seen."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return any(str(name).lower() == "idempotency-key" for name, _ in pairs)


def delay(outcome: ClientResponse | Exception, number: int, random: Callable[[], float]) -> float:
    """Seconds to wait before the ``number``-th repeat.

    ``Retry-After`` is kept to, and those who were all told the same come back one after another.
    """
    wished = 0.0
    if not isinstance(outcome, Exception):
        wished = retry_after(outcome.headers.get("Retry-After", ""), time.time())
    return wished + repeat_delay(number, random)


def retry_after(value: str, now: float) -> float:
    """The header's value in seconds from ``now`` (of the clock on the wall), 0 where it says
    nothing. RFC 9110, 10.2.3: a number of seconds, or a date."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if date.tzinfo is None:  # "-0000": the time is UTC, the place is not told
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, date.timestamp() - now)
