"""What is asked of the search index, and what is made of its answers.

A user's words reach Elasticsearch as values of a query, never as query syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from elasticsearch import AsyncElasticsearch

from project.kinds import Kind
from project.stdlib import Entry, split_words
from project.stores import INDEX

PAGE_SIZE: Final = 20
LONGEST_QUERY: Final = 200
MOST_WORDS: Final = 12  # of a search; the rest is ignored
# Elasticsearch's default `max_result_window` is 10,000.
LAST_PAGE: Final = 10_000 // PAGE_SIZE

# Characters of a private-use area, which no docstring holds (`document` makes sure): what they
# enclose is escaped like the rest before they become tags.
MARK_START: Final = "\ue000"
MARK_END: Final = "\ue001"

SETTINGS: Final[dict[str, Any]] = {"number_of_shards": 1, "number_of_replicas": 0}
MAPPINGS: Final[dict[str, Any]] = {
    "dynamic": "strict",
    "properties": {
        "qualified_name": {"type": "keyword"},
        "name": {"type": "keyword"},
        "aliases": {"type": "keyword"},
        "kind": {"type": "keyword"},
        "package": {"type": "keyword"},  # the first part of its module
        "modules": {"type": "keyword"},  # its module and every package around it
        "names": {"type": "text"},  # the words of its qualified name and its aliases
        "words": {"type": "keyword"},  # those, and each one of its docstring
        "signature": {"type": "keyword", "index": False, "doc_values": False},
        "summary": {"type": "text"},
        "weight": {"type": "float"},
    },
}

# Kept for old programs; what newer ones use comes first.
_LEGACY_PACKAGES: Final = frozenset({"distutils", "encodings", "lib2to3", "tkinter", "turtle"})
_WEIGHT_OF_KIND: Final = {
    Kind.MODULE: 1.6,
    Kind.CLASS: 1.3,
    Kind.FUNCTION: 1.3,
    Kind.EXCEPTION: 1.1,
    Kind.METHOD: 1.0,
    Kind.PROPERTY: 0.8,
}


class InvalidQuery(ValueError):
    """A parameter of a search that no page has; the message is for the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A search as a user asked it."""

    text: str = ""
    kind: str = ""
    module: str = ""
    page: int = 1

    @classmethod
    def parse(cls, parameters: Any) -> Query:
        """Read `q`, `kind`, `module` and `page`; raise `InvalidQuery` where they make no sense."""
        text = parameters.get("q", "").strip()
        kind = parameters.get("kind", "")
        module = parameters.get("module", "").strip()
        page = parameters.get("page", "1") or "1"
        if max(len(text), len(module)) > LONGEST_QUERY:
            raise InvalidQuery(f"A search has at most {LONGEST_QUERY} characters.")
        if kind and kind not in Kind.values:
            known = ", ".join(Kind.values)
            raise InvalidQuery(f"There is no kind “{_shown(kind)}”. The kinds are: {known}.")
        if not (page.isascii() and page.isdigit() and 1 <= int(page[:9]) <= LAST_PAGE):
            raise InvalidQuery(
                f"There is no page “{_shown(page)}”. Pages have numbers from 1 to {LAST_PAGE}."
            )
        return cls(text=text, kind=kind, module=module, page=int(page))

    @property
    def is_empty(self) -> bool:
        return not (self.text or self.kind or self.module)


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


async def search(client: AsyncElasticsearch, query: Query) -> Results:
    """Run `query`, and when nothing matches, what is spelt almost like it."""
    results = await _run(client, query, _matching(query.text), approximate=False)
    if words_of(query.text) and not results.total:
        near = _near(query.text.rpartition(".")[2] or query.text, query.text)
        results = await _run(client, query, near, approximate=True)
    return results


async def _run(
    client: AsyncElasticsearch, query: Query, matching: dict[str, Any], *, approximate: bool
) -> Results:
    """The facets of each filter count what the other filter leaves."""
    words = words_of(query.text)
    by_kind = [{"term": {"kind": query.kind}}] if query.kind else []
    by_module = [{"term": {"modules": query.module}}] if query.module else []
    answer = await client.search(
        index=INDEX,
        query=_weighted(matching),
        post_filter={"bool": {"filter": [*by_kind, *by_module]}},
        aggs={
            "kinds": {
                "filter": {"bool": {"filter": by_module}},
                "aggs": {"values": {"terms": {"field": "kind", "size": len(Kind)}}},
            },
            "modules": {
                "filter": {"bool": {"filter": by_kind}},
                "aggs": {"values": {"terms": {"field": "package", "size": 12}}},
            },
        },
        highlight={
            "pre_tags": [MARK_START],
            "post_tags": [MARK_END],
            "fields": {"summary": {"number_of_fragments": 0}},
            "highlight_query": {"match": {"summary": " ".join(words)}},
        },
        source_excludes=["words", "names"],
        sort=["_score", {"qualified_name": "asc"}],
        track_total_hits=True,
        from_=(query.page - 1) * PAGE_SIZE,
        size=PAGE_SIZE,
    )
    return Results(
        query=query,
        approximate=approximate,
        hits=[_hit(hit, words) for hit in answer["hits"]["hits"]],
        total=answer["hits"]["total"]["value"],
        kinds=_facets(answer, "kinds", query.kind),
        modules=_facets(answer, "modules", query.module),
    )


async def suggest(client: AsyncElasticsearch, name: str, limit: int = 8) -> list[Hit]:
    """What somebody who asked for the qualified `name` may have meant, best first."""
    name = name[:LONGEST_QUERY]
    answer = await client.search(
        index=INDEX,
        query=_weighted(_near(name.rpartition(".")[2], name)),
        source_excludes=["words", "names"],
        sort=["_score", {"qualified_name": "asc"}],
        size=limit,
    )
    return [_hit(hit, []) for hit in answer["hits"]["hits"]]


def document(entry: Entry) -> dict[str, Any]:
    """What the index keeps of an entry."""
    parts = entry.module.split(".")
    names = " ".join((entry.qualified_name, *entry.aliases))
    return {
        "qualified_name": entry.qualified_name,
        "name": entry.name,
        "aliases": entry.aliases,
        "kind": entry.kind,
        "package": parts[0],
        "modules": [".".join(parts[: end + 1]) for end in range(len(parts))],
        "names": " ".join([entry.name, *words_of(names)]),
        "words": sorted({*_runs_of_letters(names), *words_of(f"{names} {entry.docstring}")}),
        "signature": _unmarked(entry.signature),
        "summary": _unmarked(entry.summary),
        "weight": _weight(entry),
    }


def marked(text: str) -> SafeString:
    """Escape `text`, then turn its markers into `<mark>` tags."""
    pieces = re.split(f"{MARK_START}(.*?){MARK_END}", text, flags=re.DOTALL)
    html = "".join(
        f"<mark>{escape(_unmarked(piece))}</mark>" if number % 2 else escape(_unmarked(piece))
        for number, piece in enumerate(pieces)
    )
    return mark_safe(html)  # noqa: S308  every piece was escaped above


def _matching(text: str) -> dict[str, Any]:
    if not text:
        return {"match_all": {}}
    *whole, last = words_of(text)[:MOST_WORDS] or [text]
    any_case = {"case_insensitive": True}
    return {
        "bool": {
            # Every word; the last one may be the beginning of one, as somebody types it.
            "filter": [
                *({"term": {"words": word}} for word in whole),
                {"prefix": {"words": last}},
            ],
            # How near its name comes decides the order.
            "should": [
                {"term": {"qualified_name": {"value": text, "boost": 60, **any_case}}},
                {"term": {"aliases": {"value": text, "boost": 60, **any_case}}},
                {"term": {"name": {"value": text, "boost": 30, **any_case}}},
                {"prefix": {"name": {"value": text, "boost": 8, **any_case}}},
                {"match_bool_prefix": {"names": {"query": " ".join([*whole, last]), "boost": 4}}},
            ],
            # What has the words in its docstring only comes after all of these, but it comes.
            "must": {"match_all": {}},
        }
    }


def _near(name: str, text: str) -> dict[str, Any]:
    """Match names spelt almost like `name`, or with words spelt almost like those of `text`."""
    words = words_of(text) or [text]
    spellings = (
        {"fuzzy": {"qualified_name": {"value": text, "fuzziness": 2, "boost": 8}}},
        {"fuzzy": {"aliases": {"value": text, "fuzziness": 2, "boost": 8}}},
        {"fuzzy": {"name": {"value": name, "fuzziness": "AUTO", "boost": 4}}},
        {"match": {"names": {"query": " ".join(words[:MOST_WORDS]), "fuzziness": "AUTO"}}},
    )
    return {"bool": {"should": list(spellings), "minimum_should_match": 1}}


def _weighted(query: dict[str, Any]) -> dict[str, Any]:
    return {"function_score": {"query": query, "field_value_factor": {"field": "weight"}}}


def _weight(entry: Entry) -> float:
    weight = _WEIGHT_OF_KIND[Kind(entry.kind)]
    if not entry.docstring:
        weight *= 0.5
    if entry.module.partition(".")[0] in _LEGACY_PACKAGES:
        weight *= 0.4
    return weight


def words_of(text: str) -> list[str]:
    """The words of names or prose in lower case: json, decode and error of `JSONDecodeError`."""
    words: list[str] = []
    for run in re.findall(r"[^\W_]+", text):
        words.extend(split_words(run) if run.isascii() else [run])
    return [word.lower() for word in words]


def _runs_of_letters(text: str) -> list[str]:
    """`JSONDecodeError` as one word, for who types it in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def _hit(hit: dict[str, Any], words: list[str]) -> Hit:
    source = hit["_source"]
    summary = hit.get("highlight", {}).get("summary", [source["summary"]])[0]
    # asyncio.Queue says more than asyncio.queues.Queue; a longer alias says less.
    dots = source["qualified_name"].count(".")
    aliases = [alias for alias in source["aliases"] if alias.count(".") < dots]
    return Hit(
        qualified_name=source["qualified_name"],
        name=source["name"],
        kind=source["kind"],
        module=source["modules"][-1],
        alias=aliases[0] if aliases else "",
        signature=source["signature"],
        title=marked(_mark_words(source["qualified_name"], words)),
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


def _facets(answer: Any, name: str, chosen: str) -> list[Facet]:
    buckets = answer["aggregations"][name]["values"]["buckets"]
    facets = [
        Facet(value=bucket["key"], count=bucket["doc_count"], chosen=bucket["key"] == chosen)
        for bucket in buckets
    ]
    if chosen and not any(facet.chosen for facet in facets):
        facets.insert(0, Facet(value=chosen, count=0, chosen=True))
    return facets


def _unmarked(text: str) -> str:
    return text.replace(MARK_START, "").replace(MARK_END, "")


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
