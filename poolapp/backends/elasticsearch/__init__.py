"""Elasticsearch: ``poolapp.backends.elasticsearch.ElasticsearchBackend``."""

from poolapp.backends.elasticsearch.backend import ElasticsearchBackend
from poolapp.backends.elasticsearch.pool import ElasticsearchPool

__all__ = ["ElasticsearchBackend", "ElasticsearchPool"]
