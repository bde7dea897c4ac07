"""Whose work it is: the view, consumer, task or command on whose behalf a connection is lent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Work:
    """What a lease's holder is at, for people: ``view entry (GET /entry/json/)``.

    ``name`` may be a function: of a request the route is known only after the middleware, and
    nobody needs the text of the leases that nobody asks for.
    """

    __slots__ = ("_name", "kind")

    def __init__(self, kind: str, name: str | Callable[[], str]) -> None:
        self.kind = kind
        """``view``, ``consumer``, ``task`` or ``command``."""
        self._name = name

    @property
    def name(self) -> str:
        return self._name() if callable(self._name) else self._name

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


WORK: ContextVar[Work | None] = ContextVar("poolapp_work", default=None)
"""Of the running code. Tasks inherit it, ``pools.run`` carries it over."""


@contextmanager
def working(kind: str, name: str | Callable[[], str]) -> Iterator[None]:
    """Have the leases of the code within know whose work they serve."""
    token = WORK.set(Work(kind, name))
    try:
        yield
    finally:
        WORK.reset(token)
