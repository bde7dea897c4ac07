"""HTTP: ``poolapp.backends.http.HttpBackend``."""

from poolapp.backends.http.backend import HttpBackend
from poolapp.backends.http.body import TooLarge
from poolapp.backends.http.pool import HttpPool

__all__ = ["HttpBackend", "HttpPool", "TooLarge"]
