"""What a user asks, and how it is said to Elasticsearch: as values of a query, never as syntax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from project.kinds import Kind
from project.wording import words_of

PAGE_SIZE: Final = 20
LONGEST_QUERY: Final = 200
MOST_WORDS: Final = 12  # of a search; the rest is ignored
# Elasticsearch's default `max_result_window` is 10,000.
LAST_PAGE: Final = 10_000 // PAGE_SIZE


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


def matching(text: str) -> dict[str, Any]:
    if not text:
        return {"match_all": {}}
    *whole, last = words_of(text)[:MOST_WORDS] or [text]
    any_case = {"case_insensitive": True}
    return {
        "bool": {
            # Every word; the last one may be the beginning of one, as somebody types it.
            "filter": [
                *({"term": {"words.keyword": word}} for word in whole),
                {"prefix": {"words.keyword": last}},
            ],
            # How near its name comes decides the order.
            "should": [
                {"term": {"qualified_name.keyword": {"value": text, "boost": 60, **any_case}}},
                {"term": {"aliases.keyword": {"value": text, "boost": 60, **any_case}}},
                {"term": {"name.keyword": {"value": text, "boost": 30, **any_case}}},
                {"prefix": {"name.keyword": {"value": text, "boost": 8, **any_case}}},
                {"match_bool_prefix": {"names": {"query": " ".join([*whole, last]), "boost": 4}}},
            ],
            # What has the words in its docstring only comes after all of these, but it comes.
            "must": {"match_all": {}},
        }
    }


def near(name: str, text: str) -> dict[str, Any]:
    """Match names spelt almost like `name`, or with words spelt almost like those of `text`."""
    words = words_of(text) or [text]
    spellings = (
        {"fuzzy": {"qualified_name.keyword": {"value": text, "fuzziness": 2, "boost": 8}}},
        {"fuzzy": {"aliases.keyword": {"value": text, "fuzziness": 2, "boost": 8}}},
        {"fuzzy": {"name.keyword": {"value": name, "fuzziness": "AUTO", "boost": 4}}},
        {"match": {"names": {"query": " ".join(words[:MOST_WORDS]), "fuzziness": "AUTO"}}},
    )
    return {"bool": {"should": list(spellings), "minimum_should_match": 1}}


def weighted(query: dict[str, Any]) -> dict[str, Any]:
    return {"function_score": {"query": query, "field_value_factor": {"field": "weight"}}}


def _shown(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
