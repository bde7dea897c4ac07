"""Vectors in a model, and the distances to order by."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.core.exceptions import ValidationError
from django.db.models import Field, Model

from poolapp.managers.elasticsearch.queries import Query, all_of, any_of, exists, negation

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    _Field = Field[Any, Any]
else:
    _Field = Field  # generic for the type checker alone

Similarity = Literal["cosine", "l2_norm", "dot_product", "max_inner_product"]


class VectorField(_Field):
    """A list of ``dimensions`` floats, such as an embedding.

    ``similarity`` is what ``knn()`` finds the nearest by. In PostgreSQL it is a column of
    pgvector's type, in other databases text. pgvector's own field will do as well.
    """

    description = "Vector of %(dimensions)s dimensions"

    def __init__(
        self, *args: Any, dimensions: int, similarity: Similarity = "cosine", **kwargs: Any
    ) -> None:
        self.dimensions = dimensions
        self.similarity = similarity
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs["dimensions"] = self.dimensions
        if self.similarity != "cosine":
            kwargs["similarity"] = self.similarity
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "VectorField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return f"vector({self.dimensions})" if connection.vendor == "postgresql" else "text"

    def to_python(self, value: Any) -> list[float] | None:
        """Raises ValidationError unless it is that many numbers, none of them NaN or infinite."""
        if value is None:
            return None
        try:
            numbers = [float(each) for each in (_parsed(value))]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) != self.dimensions or not all(map(math.isfinite, numbers)):
            raise ValidationError(
                f"{self.name!r} takes {self.dimensions} finite numbers", code="invalid"
            )
        return numbers

    def get_prep_value(self, value: Any) -> str | None:
        numbers = self.to_python(super().get_prep_value(value))
        return None if numbers is None else json.dumps(numbers)

    def from_db_value(
        self, value: Any, expression: object, connection: object
    ) -> list[float] | None:
        return None if value is None else [float(each) for each in _parsed(value)]

    def value_to_string(self, obj: Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Distance:
    """``order_by(CosineDistance("embedding", vector))``: the nearest first, measured exactly, from
    all that the filters leave; what has no vector comes last. For the nearest of very many there is
    ``knn()``."""

    field: str
    vector: Sequence[float]

    script: ClassVar[str]
    """Of the score, which is never negative, and greater for what is nearer. ``{key}`` is a name in
    Python, and so in the script."""


class CosineDistance(Distance):
    """1 minus the cosine of the angle; the length of a vector does not matter."""

    script = "return cosineSimilarity(params.vector, '{key}') + 1.0"


class L2Distance(Distance):
    """Euclid's."""

    script = "return 1 / (1 + l2norm(params.vector, '{key}'))"


class MaxInnerProduct(Distance):
    """The greatest dot product first."""

    script = "double p = dotProduct(params.vector, '{key}'); return p < 0 ? 1 / (1 - p) : p + 1"


KINDS: dict[str, type[Distance]] = {
    each.__name__: each for each in (CosineDistance, L2Distance, MaxInnerProduct)
}


def distance_of(term: object) -> Distance | None:
    """Ours, or pgvector's expression of the same name; None for anything else."""
    if isinstance(term, Distance):
        return term
    kind = KINDS.get(type(term).__name__)
    sources = getattr(term, "get_source_expressions", None)
    if kind is None or sources is None:
        return None
    field, vector = sources()
    return kind(field.name, list(_parsed(vector.value)))


def nearest(query: Query, distance: Distance, key: str) -> Query:
    """The same documents, with a score by which they are ordered."""
    with_vector = {
        "script_score": {
            "query": all_of([query, exists(key)]),
            "script": {
                "source": distance.script.replace("{key}", key),
                "params": {"vector": [float(each) for each in distance.vector]},
            },
        }
    }
    without = {"constant_score": {"filter": all_of([query, negation(exists(key))]), "boost": 0.0}}
    return any_of([with_vector, without])
