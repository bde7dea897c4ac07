"""An entry's page: the entry from PostgreSQL, and round it what the other stores know of it.

Without PostgreSQL there is no page; without any other store a part of it says so.
"""

from __future__ import annotations

import asyncio
import platform
import re
from itertools import groupby
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from project.docstring import render_docstring, render_signature
from project.kinds import PLURALS, Kind
from project.pages import page
from project.readers import NoteForm, add_note, count_reader, notes_of
from project.search import suggest
from project.sources import excerpt
from project.stores import StoreUnavailable, or_none, postgres, search_engine

_QUALIFIED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COLUMNS: Final = "qualified_name, name, module, kind, parent, signature, summary"


@require_safe
@page
async def entry(request: HttpRequest, qualified_name: str) -> HttpResponse:
    return await _show(request, qualified_name, NoteForm())


@require_POST
@page
async def note(request: HttpRequest, qualified_name: str) -> HttpResponse:
    """Keep a reader's note. What can't be kept stays in the form."""
    form = NoteForm(request.POST)
    if not form.is_valid():
        return await _show(request, qualified_name, form, status=400)
    if not await _is_there(qualified_name):
        return await _no_entry(request, qualified_name)
    try:
        await add_note(qualified_name, form.cleaned_data["author"], form.cleaned_data["text"])
    except StoreUnavailable:
        form.add_error(None, "It could not be kept: MongoDB is unavailable. Try again in a moment.")
        return await _show(request, qualified_name, form, status=503)
    return HttpResponseRedirect(reverse("entry", args=(qualified_name,)) + "#notes")


async def _is_there(name: str) -> bool:
    if not _QUALIFIED_NAME.fullmatch(name):
        return False
    async with postgres() as connection:
        question = "SELECT EXISTS (SELECT FROM project_entry WHERE qualified_name = $1)"
        return bool(await connection.fetchval(question, name))


async def _show(request: HttpRequest, name: str, form: NoteForm, status: int = 200) -> HttpResponse:
    # What is no name is in no table, and PostgreSQL would refuse some of it (a NUL) as text.
    if not _QUALIFIED_NAME.fullmatch(name):
        return await _no_entry(request, name)
    async with postgres() as connection:
        found = await connection.fetchrow(
            f"SELECT {_COLUMNS}, docstring, source_file, source_line, aliases"  # noqa: S608
            " FROM project_entry WHERE qualified_name = $1",
            name,
        )
        if found is None:
            home_of_alias = await connection.fetchval(
                "SELECT qualified_name FROM project_entry WHERE aliases @> ARRAY[$1]"
                " ORDER BY qualified_name LIMIT 1",
                name,
            )
        else:
            relatives = await connection.fetch(
                f"SELECT {_COLUMNS} FROM project_entry"  # noqa: S608
                " WHERE parent = ANY($1) ORDER BY lower(name), name",
                [name, found["parent"]],
            )
            offered = []
            if found["kind"] == Kind.MODULE:
                offered = await connection.fetch(
                    "SELECT qualified_name, substr(alias, $2) AS name, kind, summary"
                    " FROM project_entry, unnest(aliases) AS alias"
                    " WHERE starts_with(alias, $1) AND strpos(substr(alias, $2), '.') = 0",
                    f"{name}.",
                    len(name) + 2,
                )
    if found is None:
        if home_of_alias is not None:
            return HttpResponseRedirect(reverse("entry", args=(home_of_alias,)))
        return await _no_entry(request, name)
    file, line = found["source_file"], found["source_line"]
    readers, notes, source = await asyncio.gather(
        or_none(count_reader(name)),
        or_none(notes_of(name)),
        or_none(excerpt(file, line) if file else _nothing()),
    )
    context = {
        "entry": found,
        "signature": render_signature(found["signature"]),
        "docstring": render_docstring(found["docstring"]),
        "breadcrumbs": _breadcrumbs(name),
        "source_url": _source_url(file, line),
        "source": source,
        "readers": readers,
        "notes": notes,
        "form": form,
        "members": _by_kind([*(row for row in relatives if row["parent"] == name), *offered]),
        "siblings": [
            row
            for row in relatives
            if row["parent"] == found["parent"] and row["kind"] == found["kind"]
        ],
        "siblings_title": PLURALS[Kind(found["kind"])],
        "python": platform.python_version(),
    }
    return render(request, "project/entry.html", context, status=status)


async def _nothing() -> None:
    """Of what is written in C there is no source file."""


async def _no_entry(request: HttpRequest, name: str) -> HttpResponse:
    suggestions, unavailable = [], False
    try:
        async with search_engine() as client:
            suggestions = await suggest(client, name)
    except StoreUnavailable:
        unavailable = True
    context = {"name": name, "suggestions": suggestions, "unavailable": unavailable}
    return render(request, "404.html", context, status=404)


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
