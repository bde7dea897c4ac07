"""The pages but the entries'. All but one are asynchronous throughout: the ORM without a thread."""

from __future__ import annotations

import platform
from time import perf_counter
from typing import Final

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.asking import InvalidQuery, Query
from project.contents import read_packages, with_parts
from project.kinds import PLURALS, Kind
from project.live import tell_search
from project.models import Entry
from project.pagecache import kept_for
from project.pages import asked, outage_page, page, template_of
from project.readers import most_read
from project.search import Results, search
from project.stores import StoreUnavailable, or_none, stored_in_postgres

POPULAR: Final = (
    "argparse", "asyncio", "collections", "contextlib", "datetime", "functools",
    "itertools", "json", "logging", "re", "sqlite3", "subprocess",
)  # fmt: skip
EXAMPLES: Final = ("asyncio.gather", "read text file", "JSONDecodeError", "lru cache")


@require_safe
def contents(request: HttpRequest) -> HttpResponse:
    """The synchronous one, which works under WSGI as well."""
    try:
        return render(request, "project/contents.html", {"packages": read_packages()})
    except StoreUnavailable as outage:
        return outage_page(request, outage)


@stored_in_postgres
async def _figures() -> tuple[dict[str, int], list[Entry]]:
    kinds = Entry.rows.order_by().values_list("kind").annotate(Count("pk"))
    popular = with_parts(Entry.rows.filter(qualified_name__in=POPULAR)).only(
        "qualified_name", "summary"
    )
    return dict([each async for each in kinds]), [module async for module in popular]


@require_safe
@kept_for(60)
@page
async def home(request: HttpRequest) -> HttpResponse:
    counts, modules = await _figures()
    context = {
        "counts": [(kind, PLURALS[kind], counts[kind]) for kind in Kind if kind in counts],
        "total": sum(counts.values()),
        "modules": modules,
        "most_read": await or_none(most_read(8)),
        "examples": EXAMPLES,
        "python": platform.python_version(),
    }
    return render(request, "project/home.html", context)


@require_safe
@page
@never_cache
async def results(request: HttpRequest) -> HttpResponse:
    try:
        query = Query.parse(request.GET)
    except InvalidQuery as error:
        template = template_of(request, "400.html", "project/_invalid.html")
        context = {"message": str(error), "query": asked(request)}
        return render(request, template, context, status=400)
    found, milliseconds = None, 0.0
    if not query.is_empty:
        started = perf_counter()
        found = await search(query)
        milliseconds = (perf_counter() - started) * 1000
        await tell_search(query.text, found.total)
    context = {
        "query": query,
        "results": found,
        "milliseconds": milliseconds,
        "pages": _pages(found) if found else [],
        "examples": EXAMPLES,
    }
    response = render(
        request, template_of(request, "project/search.html", "project/_results.html"), context
    )
    response.headers["Vary"] = "X-Fragment"
    return response


def _pages(found: Results) -> list[int | None]:
    """The numbers to offer: the ends and the neighbours, None where some are left out."""
    current, last = found.query.page, found.last_page
    shown = sorted({1, last, *range(current - 1, current + 2)} & set(range(1, last + 1)))
    numbers: list[int | None] = []
    for number in shown:
        if numbers and number - (numbers[-1] or 0) > 1:
            numbers.append(None)
        numbers.append(number)
    return numbers
