"""Documents of a model in an Elasticsearch index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any, ClassVar, Final

from django.core.exceptions import FieldError
from django.db.models import Model

from poolapp.managers.documents.lookups import FULL_TEXT_LOOKUPS, PLAIN_LOOKUPS
from poolapp.managers.documents.selection import Aggregate, Grouping, Order, Selection
from poolapp.managers.documents.store import Hit, ItemError, Operation, Store, WriteOptions
from poolapp.managers.elasticsearch.asking import Index
from poolapp.managers.elasticsearch.columns import LongText, VectorColumn
from poolapp.managers.elasticsearch.ensuring import Ensurer
from poolapp.managers.elasticsearch.figures import Figures
from poolapp.managers.elasticsearch.layout import Layout
from poolapp.managers.elasticsearch.reading import Reader
from poolapp.managers.elasticsearch.requests import RANDOM, SCORE, Random
from poolapp.managers.elasticsearch.vectors import distance_of
from poolapp.managers.elasticsearch.writing import Refresh, Writer

_JSON_AND_ARRAYS: Final = frozenset(
    {"has_key", "has_keys", "has_any_keys", "array_contains", "array_overlap"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexOptions:
    """What a manager says of its index."""

    refresh: Refresh = False
    long_text: LongText = "wildcard"
    mapping: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


class ElasticsearchStore(Store):
    name = "Elasticsearch"
    lookups: ClassVar[frozenset[str]] = PLAIN_LOOKUPS | FULL_TEXT_LOOKUPS | _JSON_AND_ARRAYS
    versioned = True
    batch_size = 500
    concurrency = 4
    page_size = 500

    def __init__(self, model: type[Model], alias: str, place: str, options: IndexOptions) -> None:
        super().__init__(model, alias, place)
        index = Index(alias, place)
        self.layout = Layout(self.schema, options.long_text)
        self._reader = Reader(index, self.layout)
        self._writer = Writer(index, self.layout, options.refresh)
        self._figures = Figures(index, self.layout)
        self._ensurer = Ensurer(index, self.layout, options.mapping, options.settings)

    def check(self, selection: Selection) -> None:
        self._reader.requests.check(selection)

    def pages(self, selection: Selection, size: int) -> AsyncIterator[Sequence[Hit]]:
        return self._reader.pages(selection, size)

    async def count(self, selection: Selection) -> int:
        return await self._reader.count(selection)

    async def exists(self, selection: Selection) -> bool:
        return await self._reader.exists(selection)

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        return await self._writer.write(operations, options)

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        return await self._writer.update(selection, values, options)

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        return await self._writer.delete(selection, options)

    async def aggregate(
        self, selection: Selection, aggregates: Mapping[str, Aggregate]
    ) -> Mapping[str, Any]:
        return await self._figures.aggregate(selection, aggregates)

    def groups(self, selection: Selection, grouping: Grouping) -> AsyncIterator[Mapping[str, Any]]:
        return self._figures.groups(selection, grouping)

    async def ensure(self) -> list[str]:
        return await self._ensurer.ensure()

    def special_order(self, term: object) -> Order | None:
        """``"-_score"`` (the best first), ``"?"``, or a distance."""
        if term in (SCORE, f"-{SCORE}"):
            return Order(None, term != SCORE, special=SCORE)
        if term == RANDOM:
            return Order(None, special=Random(getrandbits(31)))
        distance = distance_of(term)
        if distance is None:
            return None
        self.vector(distance.field, distance.vector)
        return Order(None, special=distance)

    def vector(self, name: str, vector: Sequence[float]) -> VectorColumn:
        """The column of a vector field; FieldError when it is none, ValueError for a vector of
        another length."""
        for each in self.schema.fields:
            if name == each.name:
                column = self.layout[each]
                if isinstance(column, VectorColumn):
                    if len(vector) != column.dimensions:
                        raise ValueError(
                            f"{name!r} has {column.dimensions} dimensions, and the vector has "
                            f"{len(vector)}"
                        )
                    return column
        names = [each.field.name for each in self.layout.columns if isinstance(each, VectorColumn)]
        raise FieldError(
            f"{name!r} is no vector of {self.model._meta.label}; "
            + (f"there are: {', '.join(names)}" if names else "it has none")
        )
