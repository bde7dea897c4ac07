"""The index that a model needs: made, completed, or told how it differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db import DatabaseError

from poolapp.managers.elasticsearch.asking import Index, reason_of, type_of
from poolapp.managers.elasticsearch.columns.text import NEVER_IGNORED
from poolapp.managers.elasticsearch.layout import Layout

OUTSIDE_SOURCE: Final = (9, 2)
"""From this version on an index leaves its vectors out of what is read, unless told not to."""

Mapping_ = Mapping[str, Any]


class Ensurer:
    """Ensures one index. ``mapping`` has what is said of single fields beside what follows from the
    model, ``settings`` those of a new index."""

    def __init__(self, index: Index, layout: Layout, mapping: Mapping_, settings: Mapping_) -> None:
        self._index = index
        self._layout = layout
        self._mapping = mapping
        self._settings = settings

    def properties(self) -> dict[str, Any]:
        """Raises ValueError for a mapping of what is no field."""
        wanted = self._layout.properties()
        for name, said in self._mapping.items():
            if name not in wanted:
                raise ValueError(
                    f"mapping: {name!r} is no field of {self._layout.schema.model._meta.label}; "
                    f"there are: {', '.join(sorted(each.key for each in self._layout.columns))}"
                )
            fields = {**wanted[name].get("fields", {}), **said.get("fields", {})}
            wanted[name] = {**wanted[name], **said, **({"fields": fields} if fields else {})}
        return wanted

    async def ensure(self) -> list[str]:
        wanted = self.properties()
        status, found = await self._index.ask(
            "GET", f"{self._index.path}/_mapping", expected=(404,)
        )
        if status == 404:
            if await self._create(wanted):
                count = len(list(self._layout.columns))
                return [f"Elasticsearch index {self._index.name!r} was made, with {count} fields."]
            _, found = await self._index.ask("GET", f"{self._index.path}/_mapping")
        return await self._complete(wanted, found)

    async def _create(self, wanted: dict[str, Any]) -> bool:
        """False when somebody else was faster."""
        settings = dict(self._settings)
        if self._layout.has_vectors and await self._version() >= OUTSIDE_SOURCE:
            settings.setdefault("index.mapping.exclude_source_vectors", False)
        body: dict[str, Any] = {"mappings": {"dynamic": "strict", "properties": wanted}}
        if settings:
            body["settings"] = settings
        status, answer = await self._index.ask(
            "PUT", self._index.path, body=body, repeatable=False, expected=(400,)
        )
        if status == 400:
            if type_of(answer) == "resource_already_exists_exception":
                return False
            raise DatabaseError(
                f"Elasticsearch index {self._index.name!r} can't be made: {reason_of(answer)}"
            )
        return True

    async def _version(self) -> tuple[int, ...]:
        _, told = await self._index.ask("GET", "/")
        return tuple(int(each) for each in told["version"]["number"].split(".")[:2])

    async def _complete(self, wanted: dict[str, Any], found: Mapping_) -> list[str]:
        """Of each index behind the name, which may be an alias."""
        done: list[str] = []
        wrong: list[str] = []
        for name, there in sorted(found.items()):
            have = there["mappings"].get("properties", {})
            added = {}
            for key, mapping in wanted.items():
                if key not in have:
                    added[key] = mapping
                    continue
                differences = list(_differences(mapping, have[key]))
                missing = mapping.get("fields", {}).keys() - have[key].get("fields", {}).keys()
                if differences:
                    wrong += [f"{key!r} of index {name!r} {each}" for each in differences]
                elif missing:
                    added[key] = mapping
            if added:
                await self._index.ask("PUT", f"/{name}/_mapping", body={"properties": added})
                done.append(
                    f"Elasticsearch index {name!r} got {', '.join(map(repr, sorted(added)))}; "
                    "documents that are there already have to be written again to be found by it."
                )
        if wrong:
            raise DatabaseError(
                f"an Elasticsearch mapping can't be changed: {'; '.join(wrong)}. Make an index of "
                "another name, and write the documents there"
                + (f" (done so far: {' '.join(done)})" if done else "")
            )
        return done


def _differences(wanted: Mapping_, have: Mapping_) -> Iterator[str]:
    """What is wanted and is otherwise. What the server has beside it is its own, or somebody's."""
    kind = have.get("type", "object")
    if wanted.get("type") != kind:
        yield f"is of type {kind!r}, not {wanted.get('type')!r}"
        return
    for name, value in wanted.items():
        if name in ("type", "fields"):
            continue
        there = have.get(name, _DEFAULTS.get(name))
        if there != value and str(there).lower() != str(value).lower():
            yield f"has {name} {there!r}, not {value!r}"
    for name, value in wanted.get("fields", {}).items():
        if name in have.get("fields", {}):
            for each in _differences(value, have["fields"][name]):
                yield f"{name!r} within {each}"


_DEFAULTS: Final = {
    "index": True,
    "enabled": True,
    "ignore_malformed": False,
    "ignore_above": NEVER_IGNORED,
}
"""Which the server does not tell."""
