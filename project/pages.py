"""What the pages have in common: an outage is a page of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from project.asking import LONGEST_QUERY, Query
from project.stores import StoreUnavailable

type_of_view = Callable[..., Coroutine[Any, Any, HttpResponse]]


def page(view: type_of_view) -> type_of_view:
    """Answer an outage with a page of its own: 503, the service's name, and when to come back."""

    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return await view(request, *args, **kwargs)
        except StoreUnavailable as outage:
            return outage_page(request, outage)

    return guarded


def outage_page(request: HttpRequest, outage: StoreUnavailable) -> HttpResponse:
    seconds = max(1, math.ceil(outage.retry_after))
    context = {"outage": outage, "seconds": seconds, "query": asked(request)}
    template = template_of(request, "503.html", "project/_outage.html")
    response = render(request, template, context, status=503)
    response.headers["Retry-After"] = str(seconds)
    response.headers["Cache-Control"] = "no-store"
    return response


def template_of(request: HttpRequest, whole: str, fragment: str) -> str:
    """Search as you type asks for a page's inner part only."""
    return fragment if "X-Fragment" in request.headers else whole


def asked(request: HttpRequest) -> Query:
    """The question alone, for the search field of a page without an answer."""
    return Query(text=request.GET.get("q", "")[:LONGEST_QUERY])
