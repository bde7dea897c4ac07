"""What is asked of the search index, and what is made of its answers."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

from django.utils.safestring import SafeString

from poolapp import pools
from project.asking import LAST_PAGE, LONGEST_QUERY, PAGE_SIZE, Query, matching, near, weighted
from project.kinds import Kind
from project.models import Entry
from project.stores import INDEX, stored_in_elasticsearch
from project.wording import MARK_END, MARK_START, marked, words_of

Counts = list[tuple[str, int]]

MOST_MODULES: Final = 12  # that are offered to choose from


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    qualified_name: str
    name: str
    kind: str
    module: str
    alias: str
    signature: str
    title: SafeString
    summary: SafeString


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    value: str
    count: int
    chosen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    query: Query
    approximate: bool  # nothing matched as it was written, so these are near it
    hits: list[Hit]
    total: int
    kinds: list[Facet]
    modules: list[Facet]

    @property
    def last_page(self) -> int:
        return min(-(-self.total // PAGE_SIZE), LAST_PAGE) or 1

    @property
    def first(self) -> int:
        """The number of the first hit of this page."""
        return (self.query.page - 1) * PAGE_SIZE + 1

    @property
    def previous_page(self) -> int:
        return self.query.page - 1

    @property
    def next_page(self) -> int:
        return self.query.page + 1


@stored_in_elasticsearch
async def search(query: Query) -> Results:
    """Run `query`, and when nothing matches, what is spelt almost like it.

    Raises StoreUnavailable.
    """
    results = await _run(query, matching(query.text), approximate=False)
    if words_of(query.text) and not results.total:
        spelt_like_it = near(query.text.rpartition(".")[2] or query.text, query.text)
        results = await _run(query, spelt_like_it, approximate=True)
    return results


async def _run(query: Query, asked: dict[str, Any], *, approximate: bool) -> Results:
    """The facets of each filter count what the other filter leaves."""
    found = Entry.search.search(weighted(asked))
    if query.kind:
        found = found.filter(kind=query.kind)
    if query.module:
        found = found.filter(modules__contains=[query.module])
    start = (query.page - 1) * PAGE_SIZE
    hits, (total, kinds, modules) = await asyncio.gather(
        _hits(found, words_of(query.text), slice(start, start + PAGE_SIZE)),
        _counts(query, asked),
    )
    return Results(
        query=query,
        approximate=approximate,
        hits=hits,
        total=total,
        kinds=_facets(kinds, query.kind),
        modules=_facets(modules, query.module),
    )


async def _hits(found: Any, words: list[str], page: slice) -> list[Hit]:
    marked_up = found.highlight(
        "summary",
        encoder="default",
        pre_tags=[MARK_START],
        post_tags=[MARK_END],
        number_of_fragments=0,
        highlight_query={"match": {"summary": " ".join(words)}},
    )
    best_first = marked_up.order_by("-_score", "qualified_name").defer(
        "words", "names", "docstring"
    )
    return [_hit(entry, words) async for entry in best_first[page]]


async def _counts(query: Query, asked: dict[str, Any]) -> tuple[int, Counts, Counts]:
    """How many there are, of each kind, and in the modules with the most.

    Three questions with filters that differ in one request: that is said to Elasticsearch itself.
    """
    by_kind = [{"term": {"kind.keyword": query.kind}}] if query.kind else []
    by_module = [{"term": {"modules.keyword": query.module}}] if query.module else []
    async with pools["search"].acquire() as client:
        answer = await client.search(
            index=INDEX,
            size=0,
            query=asked,
            aggs={
                "all": _filtered([*by_kind, *by_module]),
                "kinds": _filtered(by_module, "kind.keyword", len(Kind)),
                "modules": _filtered(by_kind, "package.keyword", MOST_MODULES),
            },
        )
    found = answer["aggregations"]
    kinds, modules = (
        [(bucket["key"], bucket["doc_count"]) for bucket in found[name]["values"]["buckets"]]
        for name in ("kinds", "modules")
    )
    return found["all"]["doc_count"], kinds, modules


def _filtered(filters: list[Any], field: str = "", most: int = 0) -> dict[str, Any]:
    """The aggregation of what the filters leave, and of the values of a field there."""
    found: dict[str, Any] = {"filter": {"bool": {"filter": filters}}}
    if field:
        found["aggs"] = {"values": {"terms": {"field": field, "size": most}}}
    return found


@stored_in_elasticsearch
async def suggest(name: str, limit: int = 8) -> list[Hit]:
    """What somebody who asked for the qualified `name` may have meant, best first.

    Raises StoreUnavailable.
    """
    name = name[:LONGEST_QUERY]
    found = Entry.search.search(weighted(near(name.rpartition(".")[2], name)))
    return await _hits(found, [], slice(limit))


def _hit(entry: Any, words: list[str]) -> Hit:
    summary = getattr(entry, "highlights", {}).get("summary", [entry.summary])[0]
    # asyncio.Queue says more than asyncio.queues.Queue; a longer alias says less.
    dots = entry.qualified_name.count(".")
    aliases = [alias for alias in entry.aliases if alias.count(".") < dots]
    return Hit(
        qualified_name=entry.qualified_name,
        name=entry.name,
        kind=entry.kind,
        module=entry.module,
        alias=aliases[0] if aliases else "",
        signature=entry.signature,
        title=marked(_mark_words(entry.qualified_name, words)),
        summary=marked(summary),
    )


def _mark_words(text: str, words: list[str]) -> str:
    # A single letter is in every name.
    wanted = sorted((re.escape(word) for word in words if len(word) > 1), key=len, reverse=True)
    if not wanted:
        return text
    return re.sub(
        "|".join(wanted),
        lambda found: f"{MARK_START}{found[0]}{MARK_END}",
        text,
        flags=re.IGNORECASE,
    )


def _facets(counts: Counts, chosen: str) -> list[Facet]:
    facets = [Facet(value=value, count=count, chosen=value == chosen) for value, count in counts]
    if chosen and not any(facet.chosen for facet in facets):
        facets.insert(0, Facet(value=chosen, count=0, chosen=True))
    return facets
