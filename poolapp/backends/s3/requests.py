"""What every short cut of an S3 pool begins with: a client that is borrowed for one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import FrameType
from typing import Any, TypeVar

from poolapp.core.lease import Lease
from poolapp.core.pool import Pool

T = TypeVar("T")

Answer = dict[str, Any]
"""What the driver returns, such as ``{"ETag": '"..."', "VersionId": ...}``."""

Request = Mapping[str, Any]
"""The driver's parameters of a request, but for the bucket."""


class Requests(Pool[Any]):
    """Short cuts are plain functions that return a coroutine, so that the frame above them is the
    caller's, also when the coroutine is run by a task."""

    crossing = ("_do",)

    def _do(
        self, frame: FrameType, operation: Callable[[Any], Awaitable[T]]
    ) -> Coroutine[Any, Any, T]:
        """All requests but those of ``stream`` go through here, and with ``LOOPS = "shared"`` to
        the pool loop. ``frame`` is the caller's."""
        return self._perform(Lease(self, None, True, frame), operation)

    def _at(self, bucket: str | None, request: Request) -> dict[str, Any]:
        """The parameters of a request, without those that are None. Called with a client in hand:
        before that, nobody may have asked yet what LOCATION is."""
        bucket = bucket or self.backend.bucket  # type: ignore[attr-defined]
        if not bucket:
            raise ValueError(
                f"pool {self.alias!r}: LOCATION names no bucket, so each call names one: bucket=..."
            )
        given = {name: value for name, value in request.items() if value is not None}
        return {"Bucket": bucket, **given}
