"""What one alias is configured to be: frozen, keyword-only, and silent about its secrets."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from poolapp.core.asked import AskedLocations

T = TypeVar("T")

HIDDEN = "***"

_SECRET_NAME = re.compile(
    r"pass|pwd|secret|token|api_?key|auth|credential|private|cookie|headers|signature",
    re.IGNORECASE,
)


class Secret(Generic[T]):
    """Holds a value that no ``repr``, ``str`` or log line may show; ``reveal()`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret is not pickled")


def is_secret_name(name: str) -> bool:
    """Whether an option of this name is hidden even when its value is a number."""
    return _SECRET_NAME.search(name) is not None


class Options(Mapping[str, Any]):
    """The driver's options: a read-only mapping whose ``repr`` shows only flags and numbers.

    A string may hold a secret under a name nobody foresaw, so no string is shown.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = MappingProxyType(dict(values or {}))

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def shown(self) -> dict[str, Any]:
        """A copy that is safe to print: what is not a flag or a number reads ``***``."""
        return {
            name: value
            if value is None or (isinstance(value, bool | int | float) and not is_secret_name(name))
            else HIDDEN
            for name, value in self._values.items()
        }

    def __repr__(self) -> str:
        return repr(self.shown())


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """One URL, taken apart once.

    A password may hold ``@ / # : %`` as they are or percent-encoded: what stands before the last
    ``@`` in front of the query is the user's name and password.
    """

    scheme: str
    username: str | None
    password: Secret[str] | None
    address: str
    """Host and port as written, several separated by commas; empty for a socket path."""
    path: str
    query: Mapping[str, str] = dataclasses.field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Location:
        """Raises ValueError, without the URL in its message, when there is no ``scheme://``."""
        scheme, found, rest = url.partition("://")
        if not found or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.\-]*", scheme):
            raise ValueError("a URL starts with a scheme, as in 'scheme://host:port/name'")
        username: str | None = None
        password: str | None = None
        # A "?" of the password can only be told from the query's by the "@" behind it.
        at = rest.rfind("@", 0, _query_start(rest))
        path_at = rest.find("/")
        if 0 <= path_at < at and ":" not in rest[:path_at]:
            at = rest.rfind("@", 0, path_at)  # a password may hold "/"; here is none
        if at >= 0:
            name, colon, secret = rest[:at].partition(":")
            username = unquote(name)
            password = unquote(secret) if colon else None
            rest = rest[at + 1 :]
        rest, _, fragmentless = rest.partition("?")
        address, slash, path = rest.partition("/")
        return cls(
            scheme=scheme.lower(),
            username=username or None,
            password=None if password is None else Secret(password),
            address=address,
            path=slash + path,
            query=MappingProxyType(dict(parse_qsl(fragmentless, keep_blank_values=True))),
        )

    @property
    def shown(self) -> str:
        """The URL without its password and query."""
        user = ""
        if self.username is not None or self.password is not None:
            user = (self.username or "") + ("" if self.password is None else f":{HIDDEN}") + "@"
        return f"{self.scheme}://{user}{self.address}{self.path}"

    def hosts(self, default_port: int) -> list[tuple[str, int]]:
        """``[(host, port)]``; raises ValueError when a port is no number from 1 to 65535."""
        found = []
        for part in self.address.split(","):
            host, colon, port = part.rpartition(":")
            if not colon or (part.startswith("[") and part.endswith("]")):
                host, port = part, str(default_port)
            if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError("a port is a number from 1 to 65535")
            found.append((host.strip("[]"), int(port)))
        return found

    @property
    def is_local(self) -> bool:
        """Whether every server is reached without a network: on this host, or by a socket file."""
        try:
            names = [host for host, _ in self.hosts(1)]
        except ValueError:
            return False
        if not self.address:
            names = self.query.get("host", "").split(",")
        return all(_is_local(unquote(name)) for name in names)


def _is_local(name: str) -> bool:
    if not name or name.startswith(("/", "@")) or name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _query_start(rest: str) -> int:
    """Where the query begins: the first "?" that no "@" of the user's part follows."""
    last_at = rest.rfind("@")
    first = rest.find("?")
    if first < 0:
        return len(rest)
    if last_at < first:
        return first
    # "user:p?ss@host/db?x=1": an "@" behind the "?" belongs to the user's part unless an earlier
    # "@" or "=" shows that the query has begun.
    between = rest[first + 1 : last_at]
    if "@" in rest[:first] or "=" in between:
        return first
    later = rest.find("?", last_at)
    return len(rest) if later < 0 else later


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """``FAILURES`` connects failed in a row open the circuit; ``RESET`` seconds at the most pass
    between two attempts while it is open."""

    failures: int = 5
    reset: float = 30.0


class Former:
    """Secrets that were in use: connections opened with them may live, and fail, for a while.

    The latest ``LIMIT`` of them.
    """

    LIMIT = 32

    def __init__(self) -> None:
        self.secrets: tuple[str, ...] = ()

    def add(self, found: Iterable[str]) -> None:
        new = tuple(each for each in found if each not in self.secrets)
        if new:
            # Replaced, never changed: another thread may be reading.
            self.secrets = (*self.secrets, *new)[-self.LIMIT :]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """Everything one alias is configured to be. Times are seconds.

    The defaults are those of the settings' documentation; nothing here is validated, which is
    the work of whoever reads the settings.
    """

    alias: str
    backend: str
    locations: tuple[Location, ...] | Callable[[], tuple[Location, ...]] = ()
    """Where to connect to; a function is asked before each connect, so that a password may
    change. It must be quick, since it is called on the loop: one that may not be is wrapped in
    ``AskedLocations``. Read it through ``where()``."""
    options: Options = dataclasses.field(default_factory=Options)
    min_size: int = 0
    max_size: int = 10
    acquire_timeout: float = 5.0
    max_waiting: int | None = None
    connect_timeout: float = 10.0
    check_timeout: float = 2.0
    close_timeout: float = 10.0
    max_connecting: int = 2
    max_lifetime: float = 3600.0
    idle_timeout: float = 300.0
    check_after: float = 1.0
    loops: Literal["own", "shared"] = "own"
    prewarm: bool = False
    leak_after: float = 60.0
    breaker: Breaker | None = dataclasses.field(default_factory=Breaker)
    health_interval: float | None = 60.0
    """None: health is judged without probes."""
    fleet_max: int | None = None
    """What all worker processes together may have open; None: each has ``max_size``. Dividing it
    is the fleet's work, not the pool's."""
    former: Former = dataclasses.field(default_factory=Former, repr=False, compare=False)

    def replace(self, **changes: Any) -> PoolConfig:
        return dataclasses.replace(self, **changes)

    def where(self) -> tuple[Location, ...]:
        """The locations as they are known now, without waiting for anybody; ``()`` while a function
        that gives them was not asked yet."""
        return self.locations() if callable(self.locations) else self.locations

    async def locate(self) -> tuple[Location, ...]:
        """The same, asked anew: what whoever is about to connect calls first.

        The pool does it before ``BaseBackend.connect``. Raises what the function raises.
        """
        if isinstance(self.locations, AskedLocations):
            await self.locations.ask()
        found = self.where()
        if callable(self.locations):
            self.former.add(_secrets_of(found))
        return found

    def secrets(self) -> list[str]:
        """The values that must never be shown, longest first."""
        found = {*self.former.secrets, *_strings(self.options, False)}
        try:
            found.update(_secrets_of(self.where()))
        except Exception:  # noqa: S110  the function that gives them failed, and hides nothing
            pass
        return sorted((value for value in found if len(value) > 2), key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """The text with every secret of this configuration replaced by ``***``."""
        for value in self.secrets():
            # As it is, in a URL, in a query, and as Python and JSON quote it.
            for form in (
                value,
                quote(value),
                quote(value, safe=""),
                quote_plus(value),
                repr(value)[1:-1],
                json.dumps(value)[1:-1],
            ):
                text = text.replace(form, HIDDEN)
        return text


def _secrets_of(locations: tuple[Location, ...]) -> Iterator[str]:
    for location in locations:
        if location.password is not None:
            yield location.password.reveal()
        yield from _strings(location.query, False)


def _strings(value: Any, secret: bool) -> Iterator[str]:
    """Every string under a secret's name, at any depth."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _strings(inner, secret or is_secret_name(str(name)))
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _strings(inner, secret)
    elif secret and isinstance(value, Secret):
        yield str(value.reveal())
    elif secret and isinstance(value, str):
        yield value
