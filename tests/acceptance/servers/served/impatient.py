"""Daphne's requests have little time to end."""

from served.asgi import application

from poolapp.integrations import daphne

daphne.GRACE = 0.1

__all__ = ["application"]
