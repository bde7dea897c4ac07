"""The words of the query language. Values are only ever values in it, never syntax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Query = dict[str, Any]

EVERYTHING: Query = {"match_all": {}}
NOTHING: Query = {"match_none": {}}

MOST_TERMS = 65_536
"""Of one ``terms`` query: the server's ``index.max_terms_count``."""


def exists(path: str) -> Query:
    return {"exists": {"field": path}}


def one_of(path: str, values: Sequence[Any]) -> Query:
    if len(values) <= MOST_TERMS:
        return {"terms": {path: list(values)}}
    return any_of(
        [one_of(path, values[at : at + MOST_TERMS]) for at in range(0, len(values), MOST_TERMS)]
    )


def ranging(path: str, comparison: str, value: Any) -> Query:
    return {"range": {path: {comparison: value}}}


def all_of(queries: Sequence[Query]) -> Query:
    """And, which adds nothing to a score."""
    if not queries:
        return EVERYTHING
    return queries[0] if len(queries) == 1 else {"bool": {"filter": list(queries)}}


def any_of(queries: Sequence[Query]) -> Query:
    if not queries:
        return NOTHING
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def negation(query: Query) -> Query:
    return {"bool": {"must_not": [query]}}


def scored(must: Sequence[Query], filters: Sequence[Query]) -> Query:
    """And, where ``must`` makes the score."""
    if not must:
        return all_of(filters)
    if not filters and len(must) == 1:
        return must[0]
    return {"bool": {"must": list(must), "filter": list(filters)}}
