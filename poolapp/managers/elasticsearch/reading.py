"""Pages of documents, counted and found."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from django.db import DatabaseError

from poolapp.core.exceptions import PoolError
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Hit
from poolapp.managers.elasticsearch.asking import Index, type_of
from poolapp.managers.elasticsearch.layout import Layout
from poolapp.managers.elasticsearch.requests import WINDOW, Requests

KEEP_ALIVE: Final = "5m"
"""How long the server keeps the place in a stream from one page to the next."""

IDS_AT_ONCE: Final = 1000


class Reader:
    """Reads one index."""

    def __init__(self, index: Index, layout: Layout) -> None:
        self._index = index
        self._layout = layout
        self.requests = Requests(layout)

    async def pages(self, selection: Selection, size: int) -> AsyncGenerator[Sequence[Hit], None]:
        """One request where that is enough; for more a point in time, so that no document is missed
        or seen twice however much is written meanwhile."""
        size = min(size, WINDOW)
        ids = self.requests.ids(selection)
        if ids is not None:
            async for page in self._by_id(ids, selection, size):
                yield page
            return
        body = self.requests.body(selection)
        low, high, limit = selection.low, selection.high, selection.limit
        if "knn" in selection.extras:
            most = selection.extras["knn"]["k"] - low
            limit = most if limit is None else min(limit, most)
            if limit > 0:
                yield await self._hits({**body, "from": low, "size": limit}, selection)
            return
        if high is not None and limit is not None and high <= WINDOW and limit <= size:
            yield await self._hits({**body, "from": low, "size": limit}, selection)
            return
        if high is None and low == 0:
            found = await self._hits({**body, "size": size}, selection)
            if len(found) < size:
                yield found
                return
            del found  # from the beginning again, at one point in time
        async with contextlib.aclosing(self._all(body, selection, size)) as pages:
            async for page in pages:
                yield page

    # -- by primary keys -----------------------------------------------------------------------

    async def _by_id(
        self, ids: list[str], selection: Selection, size: int
    ) -> AsyncGenerator[Sequence[Hit], None]:
        skip, left = selection.low, selection.limit
        for at in range(0, len(ids), min(size, IDS_AT_ONCE)):
            some = ids[at : at + min(size, IDS_AT_ONCE)]
            found = [
                Hit(self._layout.document(each["_source"]), version=_version(each))
                for each in await self._got(some, self._layout.selecting(selection.only))
            ]
            page = found[skip:] if left is None else found[skip : skip + left]
            skip = max(0, skip - len(found))
            if page:
                yield page
            if left is not None:
                left -= len(page)
                if left <= 0:
                    return

    async def _got(self, ids: list[str], source: Any) -> list[Any]:
        """Those of them that there are."""
        if not ids:
            return []
        _, answer = await self._index.ask(
            "POST", f"{self._index.path}/_mget", params=_as_parameters(source), body={"ids": ids}
        )
        for each in answer["docs"]:
            if "error" in each:
                status = 404 if "not_found" in type_of(each) else 503
                raise self._index.refusal(status, each)
        return [each for each in answer["docs"] if each.get("found")]

    # -- by a search ---------------------------------------------------------------------------

    async def _hits(self, body: dict[str, Any], selection: Selection) -> list[Hit]:
        found = await self._index.search(body)
        return self._made(found["hits"]["hits"], selection)

    def _made(self, hits: list[Any], selection: Selection) -> list[Hit]:
        scored = self.requests.has_score(selection)
        highlighted = "highlight" in selection.extras
        made = []
        for each in hits:
            extras: dict[str, Any] = {}
            if scored:
                extras["_score"] = each["_score"]
            if highlighted:
                extras["highlights"] = each.get("highlight", {})
            made.append(Hit(self._layout.document(each["_source"]), extras, _version(each)))
        return made

    async def _all(
        self, body: dict[str, Any], selection: Selection, size: int
    ) -> AsyncGenerator[Sequence[Hit], None]:
        """From a point in time, which is given back whatever happens."""
        if "sort" not in body:
            scored = self.requests.has_score(selection)
            body["sort"] = [{"_score": {"order": "desc"}}] if scored else [{"_shard_doc": "asc"}]
        _, opened = await self._index.ask(
            "POST", f"{self._index.path}/_pit", params={"keep_alive": KEEP_ALIVE}
        )
        pit = opened["id"]
        skip, left = selection.low, selection.limit
        try:
            while left is None or left > 0:
                asked = dict(body, pit={"id": pit, "keep_alive": KEEP_ALIVE})
                if skip:
                    asked.update(size=min(skip, WINDOW), _source=False)
                    asked.pop("highlight", None)
                else:
                    asked["size"] = size if left is None else min(size, left)
                found = await self._index.search(asked)
                pit = found.get("pit_id", pit)
                hits = found["hits"]["hits"]
                if skip:
                    skip -= len(hits)
                elif hits:
                    left = None if left is None else left - len(hits)
                    yield self._made(hits, selection)
                if len(hits) < asked["size"]:
                    return
                body["search_after"] = hits[-1]["sort"]
        finally:
            # The server gives it up by itself in the end; that it is away is told elsewhere.
            with contextlib.suppress(PoolError, DatabaseError):
                await self._index.ask("DELETE", "/_pit", body={"id": pit}, expected=(404,))

    # -- how many ------------------------------------------------------------------------------

    async def count(self, selection: Selection) -> int:
        ids = self.requests.ids(selection)
        if ids is not None:
            total = 0
            for at in range(0, len(ids), IDS_AT_ONCE):
                total += len(await self._got(ids[at : at + IDS_AT_ONCE], False))
        else:
            body = {**self.requests.matching(selection), "size": 0, "track_total_hits": True}
            total = (await self._index.search(body))["hits"]["total"]["value"]
        rest = max(0, total - selection.low)
        return rest if selection.limit is None else min(rest, selection.limit)

    async def exists(self, selection: Selection) -> bool:
        if selection.low or self.requests.ids(selection) is not None:
            return bool(await self.count(selection))
        body = {**self.requests.matching(selection), "size": 0, "track_total_hits": 1}
        return bool((await self._index.search(body))["hits"]["total"]["value"])


def _as_parameters(source: Any) -> dict[str, str]:
    """The ``_source`` of a body in the words of a URL."""
    if isinstance(source, bool):
        return {} if source else {"_source": "false"}
    return {f"_source_{name}": ",".join(keys) for name, keys in source.items()}


def _version(hit: Any) -> list[int]:
    return [hit["_seq_no"], hit["_primary_term"]]
