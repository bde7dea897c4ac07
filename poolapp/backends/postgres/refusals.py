"""What a failed connect means: whether another try can help."""

from __future__ import annotations

import ssl

_HOPELESS = frozenset(
    {
        "28P01",  # wrong password
        "28000",  # unknown role, or refused by pg_hba.conf
        "3D000",  # unknown database
        "42501",  # may not connect to this database
    }
)

_ENDS_OF_TLS = (ssl.SSLEOFError, ssl.SSLSyscallError, ssl.SSLZeroReturnError)

_NO_TLS = "rejected SSL upgrade"
"""What the driver says, in a plain ConnectionError, of a server that does not speak TLS."""


def is_hopeless(error: BaseException) -> bool:
    """Whether it will fail again until a human changes something, here or at the server."""
    if isinstance(error, ssl.SSLError):
        # All others are disagreements: a certificate or a version that one side does not take, a
        # key that does not fit.
        return not isinstance(error, _ENDS_OF_TLS)
    if isinstance(error, ConnectionError):
        return _NO_TLS in str(error)
    # The driver says ValueError (ClientConfigurationError) of arguments that make no sense.
    return getattr(error, "sqlstate", None) in _HOPELESS or isinstance(
        error, ImportError | TypeError | ValueError
    )


def told_by_tls(error: Exception) -> Exception:
    """The error of TLS beneath that of a connection lost during its start.

    From TLS 1.3 on a server judges the client's certificate when the client thinks that all is
    well, and the driver tells of the loss, not of the reason.
    """
    return error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
