"""The short cuts that list a bucket."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Coroutine
from types import FrameType
from typing import Any

from poolapp.backends.s3.requests import Answer, Request, Requests

MAX_KEYS = 1000
"""Of one page of a listing: S3's own limit."""


class Listing(Requests):
    """``list`` and ``pages``."""

    async def list(
        self,
        prefix: str = "",
        *,
        bucket: str | None = None,
        limit: int | None = None,
        **parameters: Any,
    ) -> AsyncIterator[Answer]:
        """The objects whose keys begin with exactly ``prefix``, ``limit`` at the most, in the
        order of their keys: ``{"Key": ..., "Size": ..., "ETag": ..., "LastModified": ...}``.

        ``"data/"`` is a folder's contents; ``"data"`` begins ``"data2/x"`` too. Pages of 1000 are
        fetched as they are needed, and nothing is held between them.
        """
        request = {"Prefix": prefix, **parameters}
        while limit is None or limit > 0:
            request["MaxKeys"] = MAX_KEYS if limit is None else min(limit, MAX_KEYS)
            page = await self._page(sys._getframe(1), bucket, request)
            found = page.get("Contents", ())
            for each in found:
                yield each
            if limit is not None:
                limit -= len(found)
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    async def pages(
        self,
        prefix: str = "",
        *,
        bucket: str | None = None,
        page_size: int | None = None,
        **parameters: Any,
    ) -> AsyncIterator[Answer]:
        """The same as the server's answers, page by page: ``{"Contents": [...]}``, with
        ``page_size`` of them at the most.

        With ``Delimiter="/"`` a page has, beside what lies directly below the prefix, the folders
        there as ``{"CommonPrefixes": [{"Prefix": ...}]}``; ``StartAfter`` is a key to go on from.
        """
        request = {"Prefix": prefix, "MaxKeys": page_size or MAX_KEYS, **parameters}
        while True:
            page = await self._page(sys._getframe(1), bucket, request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def _page(
        self, frame: FrameType, bucket: str | None, request: Request
    ) -> Coroutine[Any, Any, Answer]:
        return self._do(frame, lambda s3: s3.list_objects_v2(**self._at(bucket, request)))
