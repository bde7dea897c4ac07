"""Connection pools for Django: declared once in settings, alive in the right event loop."""

from poolapp.conf import InvalidPoolError
from poolapp.core.backend import BaseBackend
from poolapp.core.config import PoolConfig
from poolapp.core.events import Observer
from poolapp.core.exceptions import (
    BackendUnavailable,
    CircuitOpen,
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    TooManyRequests,
)
from poolapp.core.lease import Lease
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry, pools
from poolapp.core.stats import PoolStats

__all__ = [
    "BackendUnavailable",
    "BaseBackend",
    "CircuitOpen",
    "InvalidPoolError",
    "Lease",
    "Observer",
    "Pool",
    "PoolClosed",
    "PoolConfig",
    "PoolError",
    "PoolPaused",
    "PoolStats",
    "PoolTimeout",
    "Registry",
    "TooManyRequests",
    "pools",
]
