"""Which statements leave the session as they found it, judged by their text alone."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_REMEMBERED = 15_000
"""Characters. Longer texts are judged anew each time, so that the cache stays small."""

_CLEAN_START = re.compile(
    r"[\s(]*(?:select|insert|update|delete|merge|copy|values|table|with|notify"
    # These end with the transaction, at the latest.
    r"|savepoint|release|rollback\s+to|set\s+constraints|lock)\b",
    re.IGNORECASE,
)

_WRITE_START = re.compile(
    r"\s*(?:insert|update|delete|merge|copy\b.*?\bfrom)\b", re.IGNORECASE | re.DOTALL
)

_GAP = r"(?:\s|/\*.*?\*/|--[^\n]*\n)+"

_CHANGES_SESSION = re.compile(
    r"set_config|setseed|advisory_(?:un)?lock|dblink|replication_origin_session"
    rf"|\binto{_GAP}(?:(?:local|global){_GAP})?temp(?:orary)?\b",
    re.IGNORECASE | re.DOTALL,
)


def is_clean(statement: str) -> bool:
    """Whether the session is surely the same after the statement.

    False is always safe: it costs the reset's round trip. So only the kinds of statement that
    read and write rows can be clean, and of those none that stands beside another one, none that
    names a function which changes the session, and no ``SELECT INTO TEMP``. What a function of
    the database's owner does can't be seen from here.
    """
    if len(statement) > LONGEST_REMEMBERED:
        return _judge(statement)
    return _remembered(statement)


def _judge(statement: str) -> bool:
    return (
        _CLEAN_START.match(statement) is not None
        # A semicolon may also stand in a string; that costs a reset and nothing else.
        and ";" not in statement.rstrip("; \t\r\n")
        and _CHANGES_SESSION.search(statement) is None
    )


def is_write(statement: str) -> bool:
    """Whether it begins as one that changes rows does."""
    return _WRITE_START.match(statement) is not None


_remembered = lru_cache(maxsize=1024)(_judge)
