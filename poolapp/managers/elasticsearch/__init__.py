"""Models as documents of an Elasticsearch index."""

from poolapp.managers.elasticsearch.asking import ExpiredSearch, MissingIndex
from poolapp.managers.elasticsearch.manager import ElasticsearchManager, ElasticsearchQuerySet
from poolapp.managers.elasticsearch.vectors import (
    CosineDistance,
    L2Distance,
    MaxInnerProduct,
    VectorField,
)

__all__ = [
    "CosineDistance",
    "ElasticsearchManager",
    "ElasticsearchQuerySet",
    "ExpiredSearch",
    "L2Distance",
    "MaxInnerProduct",
    "MissingIndex",
    "VectorField",
]
