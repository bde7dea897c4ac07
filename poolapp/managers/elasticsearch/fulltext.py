"""Full text: what makes a score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolapp.managers.elasticsearch.queries import Query

LOOKUPS = frozenset({"match", "match_phrase", "multi_match", "fuzzy", "query_string"})


def query(path: str, lookup: str, value: Any) -> Query:
    """Of one field. ``value`` is text, or a mapping of the query's own options with the text as
    ``query``; ``multi_match`` and ``query_string`` take more ``fields`` there."""
    options = _options(path, lookup, value)
    match lookup:
        case "match" | "match_phrase":
            return {lookup: {path: options}}
        case "fuzzy":
            # Not the server's query of this name, which does not analyse the text.
            return {"match": {path: {"fuzziness": "AUTO", "operator": "and", **options}}}
    more = options.pop("fields", ())
    return {lookup: {"fields": [path, *more], **options}}


def free(text: str, fields: list[str], options: Mapping[str, Any]) -> Query:
    """What a visitor types into a search box: words, "phrases", -without, beginn*. Nothing that is
    typed is an error, and no other field can be named."""
    return {"simple_query_string": {"query": text, "fields": fields, **options}}


def _options(path: str, lookup: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"query": value}
    if isinstance(value, Mapping) and isinstance(value.get("query"), str):
        return dict(value)
    raise TypeError(
        f"{path}__{lookup} takes text, or a mapping such as {{'query': 'text', ...}}, not {value!r}"
    )
