"""Lists: of values, and of the coordinates of a vector."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db.models import Field

from poolapp.managers.documents.conditions import Where
from poolapp.managers.elasticsearch.columns.base import EQUALITIES, Column
from poolapp.managers.elasticsearch.queries import Query, all_of, exists, one_of


class ArrayColumn(Column):
    """Each element is indexed as one of its field is. The server knows neither an empty list nor an
    order of elements: a shadow, the digest of the whole, does."""

    lookups = EQUALITIES | {"array_contains", "array_overlap"}

    def __init__(self, field: Field[Any, Any], key: str, element: Column) -> None:
        super().__init__(field, key)
        self._element = element

    @property
    def digest(self) -> str:
        return f"{self.key}__digest"

    def mapping(self) -> dict[str, Any]:
        return self._element.mapping()

    def shadows(self) -> dict[str, dict[str, Any]]:
        return {self.digest: {"type": "keyword"}}

    def spread(self, source: dict[str, Any]) -> None:
        value = source[self.key]
        source[self.digest] = None if value is None else _digest(value)

    def present(self) -> Query:
        return exists(self.digest)

    def equal(self, value: Any) -> Query:
        return {"term": {self.digest: {"value": _digest(value)}}}

    def among(self, values: tuple[Any, ...]) -> Query:
        return one_of(self.digest, [_digest(each) for each in values])

    def query(self, where: Where) -> Query:
        if where.lookup == "array_contains":
            return all_of([self.present(), *map(self._element.equal, where.value)])
        if where.lookup == "array_overlap":
            return self._element.among(tuple(where.value))
        return super().query(where)

    @property
    def sorts_by(self) -> str | None:
        return None

    def group_by(self) -> dict[str, str] | None:
        return None


def _digest(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class VectorColumn(Column):
    """A ``dense_vector``: ordered by distance from another one, and looked up by nothing else."""

    lookups = frozenset({"isnull"})
    type = "dense_vector"

    def __init__(self, field: Field[Any, Any], key: str, dimensions: int, similarity: str) -> None:
        super().__init__(field, key)
        self.dimensions = dimensions
        self._similarity = similarity

    def mapping(self) -> dict[str, Any]:
        return {
            "type": "dense_vector",
            "dims": self.dimensions,
            "index": True,
            "similarity": self._similarity,
        }

    @property
    def sorts_by(self) -> str | None:
        return None

    def group_by(self) -> dict[str, str] | None:
        return None
