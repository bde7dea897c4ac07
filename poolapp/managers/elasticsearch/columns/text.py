"""Text: analysed for full text, and as it is for everything that is exact."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from django.db.models import Field

from poolapp.managers.documents.conditions import Where
from poolapp.managers.elasticsearch import fulltext, patterns
from poolapp.managers.elasticsearch.columns.base import EQUALITIES, ORDERED, Column
from poolapp.managers.elasticsearch.queries import Query, ranging

LONGEST_KEYWORD = 8191
"""Characters: Lucene's limit of a term is 32,766 bytes, and a character has up to 4."""

NEVER_IGNORED = 2**31 - 1
"""``ignore_above`` of text that has to be found or refused, but not left out without a word. It is
the server's default, unless the index has another one."""

LongText = Literal["wildcard", "keyword"]
"""How the exact value of text without a limit is indexed: ``wildcard`` has none either, ``keyword``
is sorted and compared faster and refuses a document with more than 32,766 bytes of it."""

TEXT_LOOKUPS = ORDERED | {
    "iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith",
    "regex", "iregex",
}  # fmt: skip


class ExactColumn(Column):
    """Short text that nobody reads as prose: UUIDs, times."""

    type = "keyword"


class TextColumn(Column):
    """``key`` is for full text, ``key.keyword`` has the value as it is."""

    lookups: ClassVar[frozenset[str]] = TEXT_LOOKUPS | fulltext.LOOKUPS
    type = "text"

    def __init__(self, field: Field[Any, Any], key: str, exact: LongText) -> None:
        super().__init__(field, key)
        self._exact = exact

    def mapping(self) -> dict[str, Any]:
        return {"type": "text", "fields": {"keyword": exact_mapping(self._exact)}}

    @property
    def exactly(self) -> str:
        return f"{self.key}.keyword"

    def query(self, where: Where) -> Query:
        if where.lookup in fulltext.LOOKUPS:
            return fulltext.query(self.key, where.lookup, where.value)
        return text_query(self, self.exactly, where) or super().query(where)


class IpColumn(Column):
    """Ordered as an address, equal and looked up as text: as a term of the ``ip`` itself, text with
    a slash would be a network."""

    lookups = TEXT_LOOKUPS
    type = "ip"

    def mapping(self) -> dict[str, Any]:
        return {"type": "ip", "fields": {"keyword": {"type": "keyword"}}}

    @property
    def exactly(self) -> str:
        return f"{self.key}.keyword"

    @property
    def sorts_by(self) -> str | None:
        return self.key

    def query(self, where: Where) -> Query:
        return text_query(self, self.exactly, where) or super().query(where)

    def compared(self, comparison: str, value: Any) -> Query:
        return ranging(self.key, comparison, value)


class BinaryColumn(Column):
    """Base64, of any length."""

    lookups = EQUALITIES

    def __init__(self, field: Field[Any, Any], key: str, exact: LongText) -> None:
        super().__init__(field, key)
        self._exact = exact

    def mapping(self) -> dict[str, Any]:
        return exact_mapping(self._exact)

    @property
    def sorts_by(self) -> str | None:
        return None

    def group_by(self) -> dict[str, str] | None:
        return None


def exact_mapping(kind: LongText) -> dict[str, Any]:
    return {"type": kind, "ignore_above": NEVER_IGNORED}


def text_query(column: Column, path: str, where: Where) -> Query | None:
    """For the look-ups that are only text's; None for others."""
    folded = where.lookup.startswith("i")
    match where.lookup.removeprefix("i"):
        case "exact" if folded:
            return patterns.equal_folded(path, where.value)
        case "contains":
            return patterns.containing(path, where.value, folded=folded)
        case "startswith":
            return patterns.starting(path, where.value, folded=folded)
        case "endswith":
            return patterns.ending(path, where.value, folded=folded)
        case "regex":
            return patterns.matching(path, where.value, folded=folded)
    return None
