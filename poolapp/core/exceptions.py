"""What a pool raises. Every message is safe to show: secrets are scrubbed before they get here."""

from __future__ import annotations

from typing import ClassVar


class PoolError(Exception):
    """Base of everything a pool raises.

    ``retryable`` says whether the same call may succeed when it is made again a little later.
    """

    retryable: ClassVar[bool] = False


class PoolTimeout(PoolError, TimeoutError):
    """No connection became free within the timeout.

    The message says size, in use, idle and waiting, who holds a connection the longest, and the
    last error of a connect.
    """

    retryable = True


class PoolPaused(PoolTimeout):
    """The timeout passed while the pool was paused."""


class TooManyRequests(PoolError):
    """``MAX_WAITING`` acquires queue already, so this one was refused at once."""

    retryable = True


class PoolClosed(PoolError):
    """The pool is closed, or was closed while this acquire waited."""


class BackendUnavailable(PoolError):
    """The server can't be reached or refuses connections. Never to be read as "not found"."""

    retryable = True


class CircuitOpen(BackendUnavailable):
    """Connects failed again and again, so acquires are refused until the server is back.

    ``retry_after`` is the number of seconds until the next connect is tried.
    """

    # The default is for pickle, which calls with the message alone and sets the rest.
    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConfigurationError(PoolError):
    """A bad alias or setting; Django projects see it as ``InvalidPoolError``."""
