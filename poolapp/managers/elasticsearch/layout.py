"""A model as an index: its columns, and conditions on them as queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.conditions import Condition, Every, Not, Some, Where, leaves
from poolapp.managers.documents.schema import Schema
from poolapp.managers.elasticsearch import fulltext
from poolapp.managers.elasticsearch.columns import (
    Column,
    JsonColumn,
    LongText,
    TextColumn,
    VectorColumn,
    column_of,
)
from poolapp.managers.elasticsearch.queries import Query, any_of, negation, scored


class Layout:
    """The columns of one model."""

    def __init__(self, schema: Schema, long_text: LongText) -> None:
        self.schema = schema
        self._columns: dict[Field[Any, Any], Column] = {
            field: column_of(field, schema.key(field), long_text) for field in schema.fields
        }
        self._gathering = [each for each in self._columns.values() if each.read_along]
        self._spreading = [(each.key, each) for each in self._columns.values() if each.spreads]
        self._vast = {each.key for each in self._columns.values() if isinstance(each, JsonColumn)}

    def __getitem__(self, field: Field[Any, Any]) -> Column:
        return self._columns[field]

    @property
    def columns(self) -> Iterable[Column]:
        return self._columns.values()

    def properties(self) -> dict[str, Any]:
        """The mapping's, shadows included."""
        found: dict[str, Any] = {}
        for column in self._columns.values():
            found[column.key] = column.mapping()
            found.update(column.shadows())
        return found

    @property
    def has_vectors(self) -> bool:
        return any(isinstance(each, VectorColumn) for each in self._columns.values())

    @property
    def texts(self) -> list[str]:
        """The keys that full text is looked for in where nobody names any."""
        return [each.key for each in self._columns.values() if isinstance(each, TextColumn)]

    # -- documents -----------------------------------------------------------------------------

    def source(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What is sent: the document, or a part of it, and its shadows."""
        source = dict(document)
        for key, column in self._spreading:
            if key in source:
                column.spread(source)
        return source

    def document(self, source: dict[str, Any]) -> dict[str, Any]:
        """The reverse, of what was read."""
        for column in self._gathering:
            column.gather(source)
        return source

    def merges(self, document: Mapping[str, Any]) -> bool:
        """Whether the server's own partial update would put two objects together, where one has to
        take the other's place."""
        return not self._vast.isdisjoint(document)

    def selecting(self, fields: Iterable[Field[Any, Any]] | None) -> Any:
        """The ``_source`` of a search for these fields, or all."""
        if fields is None:
            every = (each.shadows().keys() - {each.read_along} for each in self._columns.values())
            shadows = sorted(set().union(*every))
            return {"excludes": shadows} if shadows else True
        wanted = [self[each] for each in fields]
        along = [each.read_along for each in wanted if each.read_along]
        return {"includes": [*(each.key for each in wanted), *along]}

    # -- conditions ----------------------------------------------------------------------------

    def check(self, condition: Condition) -> None:
        """Raise NotSupportedError for what the index can't find."""
        for where in leaves(condition):
            if where.path and where.lookup in fulltext.LOOKUPS:
                raise NotSupportedError(
                    f"Elasticsearch has no full text within {where.field.name!r}; use contains, or "
                    "a TextField"
                )
            self[where.field].check(where)

    def query(self, condition: Condition) -> Query:
        match condition:
            case Where():
                return self[condition.field].query(condition)
            case Not():
                return negation(self.query(condition.part))
            case Some():
                return any_of([self.query(each) for each in condition.parts])
            case Every():
                score = [self.query(each) for each in condition.parts if is_scored(each)]
                plain = [self.query(each) for each in condition.parts if not is_scored(each)]
                return scored(score, plain)


def is_scored(condition: Condition) -> bool:
    """Whether some matches are better than others."""
    match condition:
        case Where():
            return condition.lookup in fulltext.LOOKUPS
        case Not():
            return False
    return any(map(is_scored, condition.parts))
