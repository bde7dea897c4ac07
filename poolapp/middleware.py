"""``"poolapp.middleware.holders"``: a lease that a view holds knows the view."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from poolapp.core.work import working


@sync_and_async_middleware
def holders(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Costs no thread hop: under ASGI it is asynchronous, under WSGI synchronous.

    It names the route and the path, never the query. Put it first in ``MIDDLEWARE``, so that what
    other middleware borrow is known as well.
    """
    if iscoroutinefunction(get_response):

        async def name_async(request: HttpRequest) -> HttpResponseBase:
            with working("view", _Route(request)):
                answer: Awaitable[HttpResponseBase] = get_response(request)
                return await answer

        return name_async

    def name(request: HttpRequest) -> HttpResponseBase:
        with working("view", _Route(request)):
            response: HttpResponseBase = get_response(request)
            return response

    return name


class _Route:
    """The name of a request's route, known once Django has resolved it. It keeps no request alive:
    what a view has started may go on for long."""

    __slots__ = ("_line", "_request")

    def __init__(self, request: HttpRequest) -> None:
        self._line = f"{request.method} {request.path}"
        self._request = weakref.ref(request)

    def __call__(self) -> str:
        request = self._request()
        match = None if request is None else request.resolver_match
        return self._line if match is None else f"{match.view_name} ({self._line})"
