"""An entry's page: the entry from PostgreSQL, and round it what the other stores know of it.

Without PostgreSQL there is no page; without any other store a part of it says so.
"""

from __future__ import annotations

import asyncio
import copy
import platform
import re
from itertools import groupby
from typing import Final

from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from project.docstring import render_docstring, render_signature
from project.kinds import PLURALS, Kind
from project.models import Entry
from project.pages import page
from project.readers import NoteForm, add_note, count_reader, notes_of
from project.search import suggest
from project.sources import excerpt
from project.stores import StoreUnavailable, or_none, stored_in_postgres

_QUALIFIED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COLUMNS: Final = ("qualified_name", "name", "module", "kind", "parent", "signature", "summary")


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


@stored_in_postgres
async def _is_there(name: str) -> bool:
    return (
        bool(_QUALIFIED_NAME.fullmatch(name))
        and await Entry.rows.filter(qualified_name=name).aexists()
    )


@stored_in_postgres
async def _found(name: str) -> Entry | None:
    # What is no name is in no table, and PostgreSQL would refuse some of it (a NUL) as text.
    if not _QUALIFIED_NAME.fullmatch(name):
        return None
    try:
        return await Entry.rows.defer("words", "names").aget(qualified_name=name)
    except Entry.DoesNotExist:
        return None


@stored_in_postgres
async def _home_of_alias(name: str) -> Entry | None:
    if not _QUALIFIED_NAME.fullmatch(name):
        return None
    return await Entry.rows.filter(aliases__contains=[name]).only("qualified_name").afirst()


@stored_in_postgres
async def _relatives(entry: Entry) -> list[Entry]:
    """Its members and its siblings."""
    found = Entry.rows.filter(parent__in=[entry.qualified_name, entry.parent])
    return [each async for each in found.only(*_COLUMNS).order_by(Lower("name"), "name")]


@stored_in_postgres
async def _offered(module: Entry) -> list[Entry]:
    """What a module offers that is at home elsewhere, under the names that it has there."""
    start = f"{module.qualified_name}."
    offered = []
    any_starts = RawSQL(
        "EXISTS (SELECT FROM unnest(aliases) AS alias WHERE starts_with(alias, %s))",
        [start],
        BooleanField(),
    )
    async for each in Entry.rows.filter(any_starts).only(*_COLUMNS, "aliases"):
        for alias in each.aliases:
            name = alias.removeprefix(start)
            if name != alias and "." not in name:
                shown = copy.copy(each)
                shown.name = name
                offered.append(shown)
    return offered


async def _show(request: HttpRequest, name: str, form: NoteForm, status: int = 200) -> HttpResponse:
    found = await _found(name)
    if found is None:
        home = await _home_of_alias(name)
        if home is not None:
            return HttpResponseRedirect(reverse("entry", args=(home.qualified_name,)))
        return await _no_entry(request, name)
    relatives = await _relatives(found)
    offered = await _offered(found) if found.kind == Kind.MODULE else []
    file, line = found.source_file, found.source_line
    readers, notes, source = await asyncio.gather(
        or_none(count_reader(name)),
        or_none(notes_of(name)),
        or_none(excerpt(file, line) if file else _nothing()),
    )
    context = {
        "entry": found,
        "signature": render_signature(found.signature),
        "docstring": render_docstring(found.docstring),
        "breadcrumbs": _breadcrumbs(name),
        "source_url": _source_url(file, line),
        "source": source,
        "readers": readers,
        "notes": notes,
        "form": form,
        "members": _by_kind([*(row for row in relatives if row.parent == name), *offered]),
        "siblings": [
            row for row in relatives if row.parent == found.parent and row.kind == found.kind
        ],
        "siblings_title": PLURALS[Kind(found.kind)],
        "python": platform.python_version(),
    }
    return render(request, "project/entry.html", context, status=status)


async def _nothing() -> None:
    """Of what is written in C there is no source file."""


async def _no_entry(request: HttpRequest, name: str) -> HttpResponse:
    suggestions, unavailable = [], False
    try:
        suggestions = await suggest(name)
    except StoreUnavailable:
        unavailable = True
    context = {"name": name, "suggestions": suggestions, "unavailable": unavailable}
    return render(request, "404.html", context, status=404)


def _breadcrumbs(qualified_name: str) -> list[tuple[str, str]]:
    parts = qualified_name.split(".")
    return [(part, ".".join(parts[: end + 1])) for end, part in enumerate(parts)]


def _by_kind(rows: list[Entry]) -> list[tuple[str, list[Entry]]]:
    # Submodules come last: what a package offers is what its readers look for.
    order = [*(kind for kind in Kind if kind != Kind.MODULE), Kind.MODULE]
    ordered = sorted(rows, key=lambda row: (order.index(row.kind), row.name.lower()))
    return [
        (PLURALS[Kind(kind)], list(group))
        for kind, group in groupby(ordered, key=lambda row: row.kind)
    ]


def _source_url(file: str, line: int | None) -> str:
    if not file:
        return ""
    release = f"https://github.com/python/cpython/blob/v{platform.python_version()}"
    return f"{release}/Lib/{file}#L{line or 1}"
