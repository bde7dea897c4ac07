"""The pages but the entries'. All but one are asynchronous throughout: no ORM, no thread."""

from __future__ import annotations

import platform
from time import perf_counter
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.contents import read_packages
from project.kinds import PLURALS, Kind
from project.live import tell_search
from project.pagecache import kept_for
from project.pages import asked, outage_page, page, template_of
from project.readers import most_read
from project.search import InvalidQuery, Query, Results, search
from project.stores import StoreUnavailable, or_none, postgres, search_engine

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


@require_safe
@kept_for(60)
@page
async def home(request: HttpRequest) -> HttpResponse:
    async with postgres() as connection:
        rows = await connection.fetch("SELECT kind, count(*) FROM project_entry GROUP BY kind")
        modules = await connection.fetch(
            """
            SELECT package.qualified_name, package.summary, count(*) AS parts
            FROM project_entry AS package
            JOIN project_entry AS part ON split_part(part.module, '.', 1) = package.qualified_name
            WHERE package.qualified_name = ANY($1)
            GROUP BY package.id ORDER BY package.qualified_name
            """,
            POPULAR,
        )
    counts = {row["kind"]: row["count"] for row in rows}
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
        async with search_engine() as client:
            found = await search(client, query)
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
