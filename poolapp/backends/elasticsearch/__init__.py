"""Elasticsearch: ``poolapp.backends.elasticsearch.ElasticsearchBackend``."""

from poolapp.backends.elasticsearch.backend import ElasticsearchBackend

__all__ = ["ElasticsearchBackend"]
