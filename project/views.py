"""The pages. All but one are asynchronous throughout: no ORM, no thread."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Callable, Coroutine
from functools import wraps
from itertools import groupby
from time import perf_counter
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from project.contents import read_packages
from project.docstring import render_docstring, render_signature
from project.kinds import PLURALS, Kind
from project.search import LONGEST_QUERY, InvalidQuery, Query, Results, search, suggest
from project.stores import StoreUnavailable, postgres, search_engine

type_of_view = Callable[..., Coroutine[Any, Any, HttpResponse]]

POPULAR: Final = (
    "argparse", "asyncio", "collections", "contextlib", "datetime", "functools",
    "itertools", "json", "logging", "re", "sqlite3", "subprocess",
)  # fmt: skip
EXAMPLES: Final = ("asyncio.gather", "read text file", "JSONDecodeError", "lru cache")

_QUALIFIED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COLUMNS: Final = "qualified_name, name, module, kind, parent, signature, summary"


def page(view: type_of_view) -> type_of_view:
    """Answer an outage with a page of its own: 503, the service's name, and when to come back."""

    @require_safe
    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return await view(request, *args, **kwargs)
        except StoreUnavailable as outage:
            return _outage(request, outage)

    return guarded


def _outage(request: HttpRequest, outage: StoreUnavailable) -> HttpResponse:
    seconds = max(1, math.ceil(outage.retry_after))
    context = {"outage": outage, "seconds": seconds, "query": _asked(request)}
    template = _template(request, "503.html", "project/_outage.html")
    response = render(request, template, context, status=503)
    response.headers["Retry-After"] = str(seconds)
    response.headers["Cache-Control"] = "no-store"
    return response


@require_safe
def contents(request: HttpRequest) -> HttpResponse:
    """The synchronous one, which works under WSGI as well."""
    try:
        return render(request, "project/contents.html", {"packages": read_packages()})
    except StoreUnavailable as outage:
        return _outage(request, outage)


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
        "examples": EXAMPLES,
        "python": platform.python_version(),
    }
    return render(request, "project/home.html", context)


@page
@never_cache
async def results(request: HttpRequest) -> HttpResponse:
    try:
        query = Query.parse(request.GET)
    except InvalidQuery as error:
        template = _template(request, "400.html", "project/_invalid.html")
        context = {"message": str(error), "query": _asked(request)}
        return render(request, template, context, status=400)
    found, milliseconds = None, 0.0
    if not query.is_empty:
        started = perf_counter()
        async with search_engine() as client:
            found = await search(client, query)
        milliseconds = (perf_counter() - started) * 1000
    context = {
        "query": query,
        "results": found,
        "milliseconds": milliseconds,
        "pages": _pages(found) if found else [],
        "examples": EXAMPLES,
    }
    response = render(
        request, _template(request, "project/search.html", "project/_results.html"), context
    )
    response.headers["Vary"] = "X-Fragment"
    return response


@page
async def entry(request: HttpRequest, qualified_name: str) -> HttpResponse:
    # What is no name is in no table, and PostgreSQL would refuse some of it (a NUL) as text.
    if not _QUALIFIED_NAME.fullmatch(qualified_name):
        return await _no_entry(request, qualified_name)
    async with postgres() as connection:
        found = await connection.fetchrow(
            f"SELECT {_COLUMNS}, docstring, source_file, source_line, aliases"  # noqa: S608
            " FROM project_entry WHERE qualified_name = $1",
            qualified_name,
        )
        if found is None:
            home_of_alias = await connection.fetchval(
                "SELECT qualified_name FROM project_entry WHERE aliases @> ARRAY[$1]"
                " ORDER BY qualified_name LIMIT 1",
                qualified_name,
            )
        else:
            relatives = await connection.fetch(
                f"SELECT {_COLUMNS} FROM project_entry"  # noqa: S608
                " WHERE parent = ANY($1) ORDER BY lower(name), name",
                [qualified_name, found["parent"]],
            )
            offered = []
            if found["kind"] == Kind.MODULE:
                offered = await connection.fetch(
                    "SELECT qualified_name, substr(alias, $2) AS name, kind, summary"
                    " FROM project_entry, unnest(aliases) AS alias"
                    " WHERE starts_with(alias, $1) AND strpos(substr(alias, $2), '.') = 0",
                    f"{qualified_name}.",
                    len(qualified_name) + 2,
                )
    if found is None:
        if home_of_alias is not None:
            return HttpResponseRedirect(reverse("entry", args=(home_of_alias,)))
        return await _no_entry(request, qualified_name)
    context = {
        "entry": found,
        "signature": render_signature(found["signature"]),
        "docstring": render_docstring(found["docstring"]),
        "breadcrumbs": _breadcrumbs(qualified_name),
        "source_url": _source_url(found["source_file"], found["source_line"]),
        "members": _by_kind(
            [*(row for row in relatives if row["parent"] == qualified_name), *offered]
        ),
        "siblings": [
            row
            for row in relatives
            if row["parent"] == found["parent"] and row["kind"] == found["kind"]
        ],
        "siblings_title": PLURALS[Kind(found["kind"])],
        "python": platform.python_version(),
    }
    return render(request, "project/entry.html", context)


async def _no_entry(request: HttpRequest, name: str) -> HttpResponse:
    suggestions, unavailable = [], False
    try:
        async with search_engine() as client:
            suggestions = await suggest(client, name)
    except StoreUnavailable:
        unavailable = True
    context = {"name": name, "suggestions": suggestions, "unavailable": unavailable}
    return render(request, "404.html", context, status=404)


def _template(request: HttpRequest, whole: str, fragment: str) -> str:
    """Search as you type asks for a page's inner part only."""
    return fragment if "X-Fragment" in request.headers else whole


def _asked(request: HttpRequest) -> Query:
    """The question alone, for the search field of a page without an answer."""
    return Query(text=request.GET.get("q", "")[:LONGEST_QUERY])


def _breadcrumbs(qualified_name: str) -> list[tuple[str, str]]:
    parts = qualified_name.split(".")
    return [(part, ".".join(parts[: end + 1])) for end, part in enumerate(parts)]


def _by_kind(rows: list[Any]) -> list[tuple[str, list[Any]]]:
    # Submodules come last: what a package offers is what its readers look for.
    order = [*(kind for kind in Kind if kind != Kind.MODULE), Kind.MODULE]
    ordered = sorted(rows, key=lambda row: (order.index(row["kind"]), row["name"].lower()))
    return [
        (PLURALS[Kind(kind)], list(group))
        for kind, group in groupby(ordered, key=lambda row: row["kind"])
    ]


def _source_url(file: str, line: int | None) -> str:
    if not file:
        return ""
    release = f"https://github.com/python/cpython/blob/v{platform.python_version()}"
    return f"{release}/Lib/{file}#L{line or 1}"


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
