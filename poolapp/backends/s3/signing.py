"""The short cuts that sign something for others."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from poolapp.backends.s3.requests import Answer, Requests

MAX_EXPIRES = 7 * 24 * 3600
"""Seconds that a presigned URL may be good for: the limit of signature version 4."""

_METHODS = {
    "DELETE": "delete_object",
    "GET": "get_object",
    "HEAD": "head_object",
    "PUT": "put_object",
}


class Signing(Requests):
    """``presign`` and ``presign_post``. The server is not asked."""

    def presign(
        self,
        method: str,
        key: str,
        *,
        bucket: str | None = None,
        expires: int = 3600,
        **parameters: Any,
    ) -> Coroutine[Any, Any, str]:
        """A URL with which anybody may ``GET``, ``PUT``, ``HEAD`` or ``DELETE`` the object for
        ``expires`` seconds (7 days at most). The server is not asked.

        ``parameters`` become part of what is signed: ``ContentType="image/png"`` of a PUT,
        ``ResponseContentDisposition="attachment"`` of a GET.
        """
        operation = _METHODS.get(method.upper())
        if operation is None:
            raise ValueError(f"a URL is signed for {', '.join(_METHODS)}, not for {method!r}")
        seconds = _lifetime(expires)
        request = {"Key": key, **parameters}
        return self._do(
            sys._getframe(1),
            lambda s3: s3.generate_presigned_url(
                operation, Params=self._at(bucket, request), ExpiresIn=seconds
            ),
        )

    def presign_post(
        self,
        key: str,
        *,
        bucket: str | None = None,
        expires: int = 3600,
        fields: Mapping[str, str] | None = None,
        conditions: Sequence[Any] | None = None,
    ) -> Coroutine[Any, Any, Answer]:
        """``{"url": ..., "fields": {...}}`` for a browser's form, whose last field is ``file``.

        ``fields`` are further ones; ``conditions`` are what the form must keep to, in S3's words:
        ``["content-length-range", 0, 10_000_000]``. The server is not asked.
        """
        seconds = _lifetime(expires)
        given = dict(fields or {})
        rules = [{name: value} for name, value in given.items()] + [*(conditions or ())]
        return self._do(
            sys._getframe(1),
            lambda s3: s3.generate_presigned_post(
                **self._at(bucket, {"Key": key}),
                Fields=given,
                Conditions=rules,
                ExpiresIn=seconds,
            ),
        )


def _lifetime(expires: int) -> int:
    if not 0 < expires <= MAX_EXPIRES:
        raise ValueError(f"a presigned URL is good for 1 to {MAX_EXPIRES} seconds, not {expires}")
    return int(expires)
