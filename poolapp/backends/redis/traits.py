"""What is known of Redis commands by their names: which block, which change the connection."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any

_SESSION = "The connection is everybody's"

_REFUSED = {
    "ASKING": f"{_SESSION}; OPTIONS['read_from_replicas'] is for reading from replicas.",
    "AUTH": f"{_SESSION}; give the user and password in LOCATION or OPTIONS.",
    "DISCARD": "Use pool.pipeline() for a transaction.",
    "EXEC": "Use pool.pipeline() for a transaction.",
    "HELLO": f"{_SESSION}; set OPTIONS['protocol'], and give the user and password in LOCATION.",
    "MONITOR": "Use the client's own monitor(): async with pool.acquire() as client.",
    "MULTI": "Use pool.pipeline() for a transaction.",
    "PSUBSCRIBE": "Use pool.subscribe(patterns=[...]).",
    "PSYNC": "It turns the connection into a replica's.",
    "PUNSUBSCRIBE": "Use pool.subscribe(), which ends with its block.",
    "QUIT": f"{_SESSION}.",
    "READONLY": f"{_SESSION}; OPTIONS['read_from_replicas'] is for reading from replicas.",
    "READWRITE": f"{_SESSION}; OPTIONS['read_from_replicas'] is for reading from replicas.",
    "RESET": f"{_SESSION}.",
    "SELECT": f"{_SESSION}; write the database's number into LOCATION, with an alias for each.",
    "SSUBSCRIBE": "Use the client's own pubsub(): async with pool.acquire() as client.",
    "SUBSCRIBE": "Use pool.subscribe(...).",
    "SUNSUBSCRIBE": "Use the client's own pubsub(): async with pool.acquire() as client.",
    "SYNC": "It turns the connection into a replica's.",
    "UNSUBSCRIBE": "Use pool.subscribe(), which ends with its block.",
    "UNWATCH": "Use the client's own pipeline(): async with pool.acquire() as client.",
    "WATCH": "Use the client's own pipeline(): async with pool.acquire() as client.",
}
"""Commands after which a connection is not what the next one who uses it expects, and what to do
instead."""

_REFUSED_CLIENT = [
    ["CLIENT", each] for each in ("CACHING", "NO-EVICT", "NO-TOUCH", "REPLY", "TRACKING")
]

# Where the command has the time it may block for: (index of the argument, seconds of its unit).
_BLOCKS = {
    "BLMOVE": (-1, 1.0),
    "BLMPOP": (1, 1.0),
    "BLPOP": (-1, 1.0),
    "BRPOP": (-1, 1.0),
    "BRPOPLPUSH": (-1, 1.0),
    "BZMPOP": (1, 1.0),
    "BZPOPMAX": (-1, 1.0),
    "BZPOPMIN": (-1, 1.0),
    "WAIT": (-1, 0.001),
    "WAITAOF": (-1, 0.001),
}
_STREAMS = ("XREAD", "XREADGROUP")

_ALONE = frozenset({*_BLOCKS, *_STREAMS, "CLIENT", "DEBUG", "FAILOVER", "SHUTDOWN"})


@lru_cache(maxsize=1024)
def name_of(first: str | bytes) -> str:
    """The command's name, of what may be ``"get"``, ``b"GET"`` or ``"CLIENT LIST"``."""
    text = first.decode("ascii", "replace") if isinstance(first, bytes) else str(first)
    return text.split(maxsplit=1)[0].upper() if text.strip() else ""


@lru_cache(maxsize=1024)
def is_plain(first: str | bytes) -> bool:
    """Whether the name alone says that the command is answered at once, and leaves the connection
    as it is: true of nearly all."""
    name = name_of(first)
    return bool(name) and name not in _REFUSED and name not in _ALONE


def refusal(command: tuple[Any, ...]) -> str | None:
    """Why a command must not be run on a connection that others use next; None when it may."""
    words = _words(command)
    if not words:
        return "A command has a name."
    if words in _REFUSED_CLIENT:
        return f"{_SESSION}."
    return _REFUSED.get(words[0])


def _words(command: tuple[Any, ...]) -> list[str]:
    """The first two, of what may be ``("CLIENT", "LIST")``, ``("client list",)``."""
    texts = (str(each, "ascii", "replace") if isinstance(each, bytes) else str(each)
             for each in command[:2])  # fmt: skip
    return " ".join(texts).upper().split()[:2]


def blocks_for(command: tuple[Any, ...]) -> float:
    """Seconds that the server may take by the command's own wish: 0, or ``inf`` for ever."""
    name = name_of(command[0])
    try:
        if name in _BLOCKS:
            position, unit = _BLOCKS[name]
            return float(command[position]) * unit or inf
        if name in _STREAMS:
            words = [each.upper() if isinstance(each, str | bytes) else each for each in command]
            for word in ("BLOCK", b"BLOCK"):
                if word in words:
                    return float(words[words.index(word) + 1]) / 1000 or inf
    except (IndexError, TypeError, ValueError):  # the server says what is wrong with it
        pass
    return 0.0
