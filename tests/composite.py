"""What the stand-in for Elasticsearch lacks: composite aggregations. A server before it, that makes
them of the terms aggregations it has, and passes on everything else as it is.

It is written after Elasticsearch's documentation: a bucket for each combination of values, in the
order of the sources, the missing ones where ``missing_order`` says; ``after`` is the key of the
last bucket of the page before.
"""

from __future__ import annotations

import functools
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

MOST = 10_000
_HOP = {"connection", "transfer-encoding", "content-length", "host", "accept-encoding"}


SEEN: dict[str, list[str]] = {}
"""URL -> "METHOD path" of what came to it, without what is asked of the path."""


@functools.cache
def with_composites(url: str) -> str:
    """The URL of such a server before another one; it ends with this process."""
    target = urlsplit(url)
    if target.scheme != "http":
        return url  # a genuine one, which needs no help

    class Handler(_Handler):
        there = (target.hostname or "", target.port or 9200)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = f"http://127.0.0.1:{server.server_address[1]}"
    Handler.seen = SEEN[made] = []
    return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    there: tuple[str, int]
    seen: list[str]

    def _any(self) -> None:
        self.seen.append(f"{self.command} {self.path.partition('?')[0]}")
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = json.loads(body) if b'"composite"' in body and b"\n" not in body else {}
        groups = asked.get("aggs", {}).get("groups", {})
        if "composite" not in groups:
            self._reply(*self._pass_on(body))
            return
        asked["aggs"] = _nested(groups["composite"]["sources"], groups.get("aggs", {}))
        status, headers, answer = self._pass_on(json.dumps(asked).encode())
        if status == 200:
            found = json.loads(answer)
            found["aggregations"] = {"groups": _page(groups["composite"], found["aggregations"])}
            answer = json.dumps(found).encode()
        self._reply(status, headers, answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _any  # noqa: N815

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(*self.there, timeout=30)
        try:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _HOP
            }
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _nested(sources: list[Any], inside: Mapping[str, Any]) -> dict[str, Any]:
    """Terms within terms, and those without a value beside them."""
    if not sources:
        return dict(inside)
    ((_, source),) = sources[0].items()
    field = source["terms"]["field"]
    rest = {"aggs": _nested(sources[1:], inside)} if len(sources) > 1 or inside else {}
    found = {"terms": {"terms": {"field": field, "size": MOST}, **rest}}
    if source["terms"].get("missing_bucket"):
        # The stand-in misses a field within a field everywhere.
        found["missing"] = {"missing": {"field": field.partition(".")[0]}, **rest}
    return found


def _flat(sources: list[Any], found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    (name,) = sources[0]
    assert found["terms"]["sum_other_doc_count"] == 0
    buckets = [*found["terms"]["buckets"]]
    if found.get("missing", {}).get("doc_count"):
        buckets.append({**found["missing"], "key": None})
    for bucket in buckets:
        key = {
            name: bucket.get("key_as_string") == "true"
            if "key_as_string" in bucket
            else bucket["key"]
        }
        if len(sources) == 1:
            yield {**bucket, "key": key}
            continue
        for inner in _flat(sources[1:], bucket):
            yield {**inner, "key": key | inner["key"]}


def _page(composite: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    sources = composite["sources"]
    buckets = list(_flat(sources, found))
    for source in reversed(sources):  # the least significant first, as a sort is stable
        ((name, how),) = source.items()
        downwards = how["terms"].get("order") == "desc"
        without = [each for each in buckets if each["key"][name] is None]
        have = [each for each in buckets if each["key"][name] is not None]
        have.sort(key=lambda each, name=name: each["key"][name], reverse=downwards)
        first = how["terms"].get("missing_order", "last" if downwards else "first") == "first"
        buckets = [*without, *have] if first else [*have, *without]
    if "after" in composite:
        at = [each["key"] for each in buckets].index(composite["after"])
        buckets = buckets[at + 1 :]
    buckets = buckets[: composite.get("size", 10)]
    return {"buckets": buckets, **({"after_key": buckets[-1]["key"]} if buckets else {})}
