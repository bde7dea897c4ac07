"""The short cut of an Elasticsearch pool: one request on whatever seat of the client is free."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from poolapp.core.lease import Lease
from poolapp.core.pool import Pool

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

T = TypeVar("T")

NDJSON = "application/x-ndjson"
JSON = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered, whether or not it liked the request."""

    status: int
    """Of HTTP."""
    body: Any
    """Parsed JSON."""


class ElasticsearchPool(Pool["AsyncElasticsearch"]):
    """``acquire()`` lends the client; ``ask`` borrows it for just one request."""

    crossing = ("_do",)

    def _do(
        self, frame: FrameType, operation: Callable[[AsyncElasticsearch], Awaitable[T]]
    ) -> Coroutine[Any, Any, T]:
        """All requests go through here, and with ``LOOPS = "shared"`` to the pool loop. ``frame``
        is the caller's."""
        return self._perform(Lease(self, None, True, frame), operation)

    # A plain function that returns a coroutine, so that the frame above is the caller's.

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> Coroutine[Any, Any, Answer]:
        """One request, and what the server has to say to it: a 404 or a 409 is an answer too.

        ``path`` is percent-encoded already. Bytes as ``body`` are newline-delimited JSON.
        ``timeout`` in seconds takes the place of the client's ``request_timeout``. What is not
        ``repeatable`` is sent once: the client doesn't send it to another node after a lost
        connection, when it may have taken effect. A refusal for lack of room (429) is never
        repeated by the client, which would do it at once.

        Raises what ``acquire`` raises; BackendUnavailable, caused by the driver's error, when no
        node could be reached or the connection was lost.
        """

        async def perform(client: AsyncElasticsearch) -> Answer:
            from elasticsearch import ApiError

            options: dict[str, Any] = {"retry_on_status": (502, 503, 504)}
            if timeout is not None:
                options["request_timeout"] = timeout
            if not repeatable:
                options["max_retries"] = 0
            headers = {"accept": JSON}
            if body is not None:
                headers["content-type"] = NDJSON if isinstance(body, bytes) else JSON
            try:
                answer = await client.options(**options).perform_request(
                    method, path, params=params, headers=headers, body=body
                )
            except ApiError as error:
                return Answer(error.meta.status, error.body)
            return Answer(answer.meta.status, answer.body)

        return self._do(sys._getframe(1), perform)
