"""One module a server."""

from poolapp.devservices.service import Service
from poolapp.devservices.services.feed import Feed
from poolapp.devservices.services.noida import Elasticsearch
from poolapp.devservices.services.postgres import Postgres
from poolapp.devservices.services.seaweedfs import S3
from poolapp.devservices.services.secantus import MongoDB
from poolapp.devservices.services.valkey import Redis

__all__ = ["S3", "Elasticsearch", "Feed", "MongoDB", "Postgres", "Redis", "all_services"]


def all_services() -> list[Service]:
    return [Postgres(), Redis(), Elasticsearch(), S3(), MongoDB(), Feed()]
