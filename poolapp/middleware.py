"""``"poolapp.middleware.holders"``: a lease that a view holds knows the view."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
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
            route = _Route(request)
            with working("view", route):
                try:
                    answer: Awaitable[HttpResponseBase] = get_response(request)
                    return await answer
                finally:
                    route.match = request.resolver_match

        return name_async

    def name(request: HttpRequest) -> HttpResponseBase:
        route = _Route(request)
        with working("view", route):
            try:
                response: HttpResponseBase = get_response(request)
                return response
            finally:
                route.match = request.resolver_match

    return name


class _Route:
    """The name of a request's route, known once Django has resolved it. It keeps no request alive:
    what a view has started, or leaks, may go on for long."""

    __slots__ = ("_line", "_request", "match")

    def __init__(self, request: HttpRequest) -> None:
        self._line = f"{request.method} {request.path}"
        self._request = weakref.ref(request)
        self.match: ResolverMatch | None = None
        """When the request is over."""

    def __call__(self) -> str:
        request = self._request()
        match = self.match if request is None else request.resolver_match
        return self._line if match is None else f"{match.view_name} ({self._line})"
