"""What the server has against a request, in the words of the managers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import ProgrammingError

from poolapp.core.exceptions import BackendUnavailable
from poolapp.managers.documents.exceptions import Rejected

MISSING = frozenset({"404", "NoSuchKey"})

CHANGED = frozenset({"412", "ConditionalRequestConflict", "PreconditionFailed"})
"""An object is not as a write wants it; or another write of it is under way."""


NOT_IMPLEMENTED = 501


class Refused(Rejected):
    """With the server's own ``code`` and ``status``."""

    def __init__(self, message: str, code: str, status: int) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    @property
    def is_missing(self) -> bool:
        return self.code in MISSING

    @property
    def is_changed(self) -> bool:
        return self.code in CHANGED


@contextmanager
def told(alias: str) -> Iterator[None]:
    """Raises Refused in place of the driver's error; ProgrammingError when there is no bucket, and
    BackendUnavailable when the server failed, so that nobody knows what it did."""
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code = str(said.get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            raise ProgrammingError(
                f"pool {alias!r}: there is no such bucket; make it with 'manage.py poolensure "
                f"{alias}'"
            ) from error
        if status >= 500 and status != NOT_IMPLEMENTED:
            raise BackendUnavailable(
                f"pool {alias!r}: the server failed: {code}, {said.get('Message', '')}"
            ) from error
        raise Refused(f"S3 says {code}: {said.get('Message', '')}", code, status) from error
