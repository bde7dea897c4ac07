"""The driver's errors as Django's and the pool's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, OperationalError

from poolapp.core.exceptions import BackendUnavailable

DUPLICATE = frozenset({11000, 11001, 12582})
"""Codes of a unique index that says no."""

_REFUSED_VALUES = frozenset({2, 9, 51075, 51091})
"""BadValue, FailedToParse; a regular expression that is none."""

_TIME_OVER = 50
"""MaxTimeMSExpired."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """``what`` is the place, for the message: ``MongoDB 'articles'``."""
    from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

    try:
        yield
    except OperationFailure as error:
        raise of_server(what, error.code, words(error)) from error
    except ConnectionFailure as error:
        raise BackendUnavailable(
            f"{what}: the server was lost, or the client has no socket free: {type(error).__name__}"
        ) from error
    except PyMongoError as error:
        raise DatabaseError(f"{what}: {error}") from error


def of_server(what: str, code: int | None, said: str) -> DatabaseError:
    """What a refusal of the server is to Django."""
    kind: type[DatabaseError] = DatabaseError
    if code in DUPLICATE:
        kind = IntegrityError
    elif code in _REFUSED_VALUES:
        kind = DataError
    elif code == _TIME_OVER:
        kind = OperationalError
    return kind(f"{what}: {said} (code {code})")


def words(error: Any) -> str:
    """What the server said, without the document that it said it in."""
    details: Mapping[str, Any] = error.details or {}
    refused = (details.get("writeErrors") or [details])[0]
    return str(refused.get("errmsg") or error)
