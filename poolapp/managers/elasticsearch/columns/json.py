"""JSON: kept as it is, and found by what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.db import NotSupportedError

from poolapp.managers.documents.conditions import Where
from poolapp.managers.elasticsearch import patterns, regexes
from poolapp.managers.elasticsearch.columns.base import COMPARISONS, Column
from poolapp.managers.elasticsearch.columns.text import TEXT_LOOKUPS
from poolapp.managers.elasticsearch.queries import Query, all_of, any_of, negation, one_of
from poolapp.managers.elasticsearch.sortable import sortable

LONGEST_TEXT = 2000
"""Characters of text within JSON that can be compared; longer ones are equal or not."""

Path = tuple[str | int, ...]


class JsonColumn(Column):
    """The server keeps the value and looks at nothing in it, so that whatever is JSON can be kept.

    Its own ``flattened`` type knows objects only, and compares 9 and 10 as text. So the shadow
    holds a term for each value within, made of the way to it, its type, and itself in a form that
    is ordered right.
    """

    type = "object"
    lookups = (TEXT_LOOKUPS - {"iregex"}) | {"has_key", "has_keys", "has_any_keys"}

    @property
    def terms(self) -> str:
        return f"{self.key}__terms"

    def mapping(self) -> dict[str, Any]:
        return {"type": "object", "enabled": False}

    def shadows(self) -> dict[str, dict[str, Any]]:
        return {self.terms: {"type": "keyword"}}

    def spread(self, source: dict[str, Any]) -> None:
        value = source[self.key]
        source[self.terms] = None if value is None else list(dict.fromkeys(_terms((), value)))

    def present(self) -> Query:
        return {"exists": {"field": self.terms}}

    def query(self, where: Where) -> Query:
        way = _way(where.path)
        match where.lookup:
            case "has_key":
                return self._under((*where.path, where.value))
            case "has_keys":
                return all_of([self._under((*where.path, each)) for each in where.value])
            case "has_any_keys":
                return any_of([self._under((*where.path, each)) for each in where.value])
            case "isnull" if where.path:
                found = self._under(where.path)
                return negation(found) if where.value else found
            case "exact":
                return {"term": {self.terms: {"value": way + _held(where.value)}}}
            case "in":
                return one_of(self.terms, [way + _held(each) for each in where.value])
            case "range":
                bounds = zip(("gte", "lte"), where.value, strict=True)
                return all_of([self._compared(way, *each) for each in bounds])
            case "isnull":
                return super().query(where)
        if where.lookup in COMPARISONS:
            return self._compared(way, where.lookup, where.value)
        return self._text(f"{way}s", where)

    def _under(self, path: Path) -> Query:
        return {"prefix": {self.terms: {"value": _way(path)}}}

    def _compared(self, way: str, comparison: str, value: Any) -> Query:
        """With values of the same type only, as numbers and text have no order between them."""
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise NotSupportedError(
                f"Elasticsearch compares numbers and text within {self.field.name!r}, not "
                f"{type(value).__name__!r}"
            )
        term = way + _held(value)
        kind = len(way)
        least, most = term[: kind + 1], way + chr(ord(term[kind]) + 1)
        bounds = {comparison: term, **({"lt": most} if comparison[0] == "g" else {"gte": least})}
        return {"range": {self.terms: bounds}}

    def _text(self, way: str, where: Where) -> Query:
        text, anything = where.value, regexes.ANYTHING
        if where.lookup == "startswith":
            return patterns.starting(self.terms, way + text, folded=False)
        if where.lookup == "regex":
            middle = f"({regexes.translate(text, folded=False)})"
        else:
            # The server's flag would fold the way to the text as well.
            folded = where.lookup.startswith("i")
            middle = regexes.literal(text, folded=folded, by_flag=False)
            lookup = where.lookup.removeprefix("i")
            before = anything if lookup in ("contains", "endswith") else ""
            after = anything if lookup in ("contains", "startswith") else ""
            middle = f"{before}{middle}{after}"
        return patterns.regexp(
            self.terms, f"{regexes.literal(way, folded=False)}{middle}", folded=False
        )

    @property
    def sorts_by(self) -> str | None:
        return None

    def group_by(self) -> dict[str, str] | None:
        return None


def _way(path: Path) -> str:
    """Nothing that a key is made of can end a way but its own end. A key of digits is the same as
    an index, since a look-up can't tell them apart."""
    steps = [int(each) if _is_index(each) else each for each in path]
    return json.dumps(steps, separators=(",", ":"), ensure_ascii=False) + "="


def _is_index(step: str | int) -> bool:
    return isinstance(step, int) or (step.isascii() and step.isdigit())


def _held(value: Any) -> str:
    match value:
        case None:
            return "z"
        case bool():
            return f"b{value:d}"
        case int():
            return f"n{sortable(Decimal(value))}"
        case float() | Decimal():
            return f"n{sortable(Decimal(str(value)))}"
        case str() if len(value) <= LONGEST_TEXT:
            return f"s{value}"
        case str():
            return f"h{_digest(value)}"
    return f"c{_digest(json.dumps(value, sort_keys=True))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _terms(path: Path, value: Any) -> Iterator[str]:
    yield _way(path) + _held(value)
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _terms((*path, key), each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _terms((*path, index), each)
