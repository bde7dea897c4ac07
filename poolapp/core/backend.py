"""What an adapter of one driver owes the pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from poolapp.core.config import PoolConfig

if TYPE_CHECKING:
    from poolapp.core.pool import Pool

C = TypeVar("C")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One fault of a configuration, found before anything connects.

    ``setting`` is the key of the alias it is about (``"LOCATION"``, ``"OPTIONS['timeout']"``).
    """

    setting: str
    message: str
    hint: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Exposure(Problem):
    """What works, and lets somebody on the network listen or pretend to be the server."""

    kind: Literal["plaintext", "unverified"]
    """A password, or a key, that goes out unencrypted; or a server whose certificate is not, or not
    fully, verified."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sockets:
    """What a driver tells of the sockets of its own beneath a shared client."""

    open: int
    in_use: int


class BaseBackend(Generic[C]):
    """Connects to one kind of server, for the pool that owns the connections.

    A subclass must write ``connect``; the rest has defaults that suit most drivers. The pool
    bounds every step by its own timeout and calls all of them on its own loop, from tasks of its
    own: a cancelled borrower never cancels a connect, a check, a reset or a close.
    """

    shared: ClassVar[bool] = False
    """False: a connection has one holder. True: one client per loop, up to ``MAX_SIZE`` leases."""

    driver: ClassVar[str] = ""
    """The module that must be importable, ``""`` when there is none."""

    extra: ClassVar[str] = ""
    """The extra of this distribution that installs the driver."""

    schemes: ClassVar[tuple[str, ...]] = ()
    """The URL schemes ``LOCATION`` may have; empty: any."""

    environment: ClassVar[Mapping[str, str]] = {}
    """Names of environment variables, beside ``POOL_<ALIAS>_<KEY>``, that set something for every
    alias of this backend: ``"MAX_SIZE"``, or one option as ``"OPTIONS.limit_per_host"``."""

    pool_class: ClassVar[type[Pool[Any]] | None] = None
    """A subclass of Pool that adds this driver's short cuts (``fetch``, ``execute``)."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config

    @classmethod
    def problems(cls, config: PoolConfig) -> list[Problem]:
        """What is wrong with the configuration, without connecting."""
        return []

    @classmethod
    def exposures(cls, config: PoolConfig) -> list[Exposure]:
        """What is unsafe on a network: told by ``manage.py check --deploy`` as warnings.

        A password that goes to another host unencrypted (``Location.is_local`` tells which are
        this host), and a certificate that is not verified. Connects to nothing.
        """
        return []

    async def connect(self) -> C:
        """Open a connection, or the shared client, ready for use; raise when it can't be."""
        raise NotImplementedError

    async def check(self, connection: C) -> None:
        """One round trip; raise when the connection can't be used."""

    async def reset(self, connection: C) -> None:
        """Undo what a borrower may have changed in the session; raise to have it dropped.

        Not called for a backend that leaves this method as it is.
        """

    async def close(self, connection: C) -> None:
        """Say goodbye and close."""
        self.terminate(connection)

    def terminate(self, connection: C) -> None:
        """Drop the sockets at once, without a goodbye, on the running loop."""

    def abandon(self, connection: C) -> None:
        """Drop the sockets of a connection whose loop is closed already: nothing may be awaited
        or scheduled any more."""

    def is_closed(self, connection: C) -> bool:
        """Whether the driver knows that the connection is gone; no round trip."""
        return False

    def breaks(self, connection: C, error: BaseException) -> bool:
        """Whether a connection must not be lent again after this error of its holder."""
        return self.is_closed(connection)

    def is_hopeless(self, error: BaseException) -> bool:
        """Whether a failed connect will fail again until a human changes something (a wrong
        password, an unknown database): then who waits is told at once."""
        return False

    def watch(self, connection: C, lost: Callable[[], None]) -> None:
        """Have ``lost`` called, on this loop, when the connection goes away by itself."""

    def sockets(self, connection: C) -> Sockets | None:
        """How many sockets the client has open, as far as the driver tells. Asks nobody, and may
        be called from any thread."""
        return None

    def latency(self, connection: C) -> float | None:
        """Seconds of the last heartbeat's round trip, where the driver measures one. Asks nobody,
        and may be called from another thread."""
        return None

    async def health(
        self, connection: C
    ) -> tuple[Literal["healthy", "degraded", "unhealthy"], str]:
        """What the server itself says of its health, and why, on a connection of the health
        check's own; raise when it gives no answer."""
        await self.check(connection)
        return "healthy", ""

    async def server_info(self, connection: C) -> Mapping[str, Any]:
        """What the server says of itself: ``version`` and its limits, as far as it tells."""
        return {}
