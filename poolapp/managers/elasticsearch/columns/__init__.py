"""Fields as an index has them: a Column for each Kind."""

from __future__ import annotations

from typing import Any

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.elasticsearch.columns.arrays import ArrayColumn, VectorColumn
from poolapp.managers.elasticsearch.columns.base import BooleanColumn, Column
from poolapp.managers.elasticsearch.columns.json import JsonColumn
from poolapp.managers.elasticsearch.columns.moments import DateColumn, MomentColumn
from poolapp.managers.elasticsearch.columns.numbers import (
    DecimalColumn,
    DurationColumn,
    FloatColumn,
    IntegerColumn,
)
from poolapp.managers.elasticsearch.columns.text import (
    LONGEST_KEYWORD,
    BinaryColumn,
    ExactColumn,
    IpColumn,
    LongText,
    TextColumn,
)

__all__ = ["Column", "JsonColumn", "LongText", "TextColumn", "VectorColumn", "column_of"]

_PLAIN: dict[Kind, type[Column]] = {
    Kind.BIG_INTEGER: IntegerColumn,
    Kind.BOOLEAN: BooleanColumn,
    Kind.DATE: DateColumn,
    Kind.DATETIME: MomentColumn,
    Kind.DECIMAL: DecimalColumn,
    Kind.DURATION: DurationColumn,
    Kind.FLOAT: FloatColumn,
    Kind.INTEGER: IntegerColumn,
    Kind.IP: IpColumn,
    Kind.JSON: JsonColumn,
    Kind.TIME: ExactColumn,
    Kind.UUID: ExactColumn,
}


def column_of(field: Field[Any, Any], key: str, long_text: LongText) -> Column:
    """Raises NotSupportedError for a vector of unknown length."""
    kind = kind_of(field)
    if kind in _PLAIN:
        return _PLAIN[kind](field, key)
    if kind is Kind.BINARY:
        return BinaryColumn(field, key, long_text)
    if kind is Kind.ARRAY:
        return ArrayColumn(field, key, column_of(field.base_field, key, long_text))  # type: ignore[attr-defined]
    if kind is Kind.VECTOR:
        dimensions = getattr(field, "dimensions", None)
        if not dimensions:
            raise NotSupportedError(
                f"Elasticsearch has to know the dimensions of {field}: VectorField(dimensions=...)"
            )
        return VectorColumn(field, key, dimensions, getattr(field, "similarity", "cosine"))
    target = field
    while target.remote_field is not None:
        target = target.target_field  # type: ignore[attr-defined]
    limit = target.max_length
    bounded = limit is not None and limit <= LONGEST_KEYWORD
    return TextColumn(field, key, "keyword" if bounded else long_text)
