"""Reading an answer's body, which may not be larger than memory is meant for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolapp.core.exceptions import PoolError

if TYPE_CHECKING:
    from aiohttp import ClientResponse

MAX_BODY = 100 * 1024 * 1024
"""Bytes, unless set: what Elasticsearch, too, takes for the most that one body should have
(its ``http.max_content_length``)."""


class TooLarge(PoolError):
    """An answer's body is larger than ``max_body``; read it piece by piece with ``stream()``."""


async def read(response: ClientResponse, limit: int) -> None:
    """Read the body, so that ``text()`` and ``json()`` work without the connection, which is free
    for others then.

    Raises TooLarge, having read no more than ``limit`` bytes and what one packet holds, and having
    closed the connection. A compressed body counts by what it unfolds to.
    """
    length = response.content_length
    if response.content.at_eof() or (
        length is not None and length <= limit and "Content-Encoding" not in response.headers
    ):
        await response.read()
        return
    chunks = []
    size = length if length is not None and length > limit else 0
    try:
        if size <= limit:
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    break
        if size > limit:
            raise TooLarge(
                f"the answer's body has more than {limit} bytes; "
                "raise 'max_body', or read it piece by piece with stream()"
            )
    except BaseException:
        response.close()
        raise
    # There is no public way to hand a response its own body; read() finds it here.
    response._body = b"".join(chunks)
    await response.read()
