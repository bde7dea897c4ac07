"""Whole pages kept in Django's cache, for asynchronous views; Django's `cache_page` blocks them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse

from poolapp import PoolError
from project.pages import type_of_view

logger = logging.getLogger(__name__)


def kept_for(seconds: int) -> Callable[[type_of_view], type_of_view]:
    """Keep a page's answer, if it is 200; the header `X-Cache` tells where it came from.

    For pages that are the same for everybody. Without the cache they are only slower.
    """

    def decorate(view: type_of_view) -> type_of_view:
        @wraps(view)
        async def cached(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            cache, key = caches["default"], f"page:{request.path}"
            try:
                if (body := await cache.aget(key)) is not None:
                    return HttpResponse(body, headers={"X-Cache": "hit"})
            except PoolError as error:
                logger.warning("The page cache is unavailable: %s", error)
                return await view(request, *args, **kwargs)
            response = await view(request, *args, **kwargs)
            if response.status_code == 200:
                await _keep(key, response.content, seconds)
                response.headers["X-Cache"] = "miss"
            return response

        return cached

    return decorate


async def _keep(key: str, body: bytes, seconds: int) -> None:
    try:
        await caches["default"].aset(key, body, seconds)
    except PoolError as error:
        logger.warning("The page cache is unavailable: %s", error)


async def forget(*paths: str) -> None:
    """Have these pages made anew."""
    try:
        await caches["default"].adelete_many([f"page:{path}" for path in paths])
    except PoolError as error:
        logger.warning("The page cache is unavailable: %s", error)
