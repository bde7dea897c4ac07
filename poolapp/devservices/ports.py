"""Free ports below the range that the kernel hands out to outgoing connections."""

import random
import socket

from poolapp.devservices.exceptions import DevServiceError

LOWEST = 10_240
BELOW = 32_768
_TRIES = 200


def free_port(*, twin: int = 0) -> int:
    """Return a random free port `p`; with `twin`, `p + twin` is free and below the range too.

    Somebody else may take it before the server does: the start then picks another. No port is
    another one's twin.
    """
    highest = min(BELOW - twin, LOWEST + twin) if twin else BELOW
    for _ in range(_TRIES):
        port = random.randrange(LOWEST, highest)
        if is_free(port) and (not twin or is_free(port + twin)):
            return port
    raise DevServiceError(f"No free port found between {LOWEST} and {BELOW} on 127.0.0.1.")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: the ends of closed connections (TIME_WAIT) don't count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
