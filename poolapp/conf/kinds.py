"""The kinds of servers that a file names in a word, and how their URLs are put together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """What ``type`` stands for."""

    backend: str
    scheme: str
    in_one: bool = False
    """Whether several hosts stand in one URL."""


_POSTGRES = Kind("poolapp.backends.postgres.PostgresBackend", "postgresql", in_one=True)

KINDS = {
    "elasticsearch": Kind("poolapp.backends.elasticsearch.ElasticsearchBackend", "http"),
    "http": Kind("poolapp.backends.http.HttpBackend", "https"),
    "mongodb": Kind("poolapp.backends.mongodb.MongoBackend", "mongodb", in_one=True),
    "postgres": _POSTGRES,
    "postgresql": _POSTGRES,
    "redis": Kind("poolapp.backends.redis.RedisBackend", "redis"),
    "s3": Kind("poolapp.backends.s3.S3Backend", "s3"),
    "websocket": Kind("poolapp.backends.websocket.WebSocketBackend", "wss"),
}


def location(kind: Kind | None, scheme: str, hosts: list[str], parts: Mapping[str, Any]) -> Any:
    """One URL, or a list of them, of the parts that a file gives."""
    if kind is KINDS["s3"]:
        return _bucket(parts, scheme)
    return _urls(parts, hosts, scheme, in_one=kind is not None and kind.in_one)


def _urls(parts: Mapping[str, Any], hosts: list[str], scheme: str, *, in_one: bool) -> Any:
    user = _user(parts)
    name = f"/{quote(str(parts['database']), safe='')}" if parts.get("database") else ""
    addresses, schemes = [], []
    for host in hosts:
        own, found, address = host.rpartition("://")
        schemes.append(own if found else scheme)
        addresses.append(_address(address, parts.get("port"), with_port=bool(found)))
    if in_one:
        return f"{schemes[0]}://{user}{','.join(addresses)}{name}"
    urls = [
        f"{each}://{user}{address}{name}" for each, address in zip(schemes, addresses, strict=True)
    ]
    return urls if len(urls) > 1 else urls[0]


def _address(host: str, port: object, *, with_port: bool) -> str:
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"
    has_one = with_port or re.search(r":\d+$", host.rpartition("]")[2])
    return host if port is None or has_one else f"{host}:{port}"


def _bucket(parts: Mapping[str, Any], scheme: str) -> str:
    bucket = parts.get("bucket", "")
    region = f"?region={quote(parts['region'], safe='')}" if parts.get("region") else ""
    endpoint = parts.get("endpoint") or parts.get("host")
    if not endpoint:
        return f"{scheme}://{_user(parts)}{bucket}{region}"
    own, found, address = endpoint.rpartition("://")
    address = _address(address.rstrip("/"), parts.get("port"), with_port=bool(found))
    return f"{own if found else 'https'}://{_user(parts)}{address}/{bucket}{region}"


def _user(parts: Mapping[str, Any]) -> str:
    user, password = parts.get("user"), parts.get("password")
    if user is None and password is None:
        return ""
    secret = "" if password is None else f":{quote(password, safe='')}"
    return f"{quote(user or '', safe='')}{secret}@"
