"""Under which keys, and in which form, documents and indexes are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.kinds import kind_of
from poolapp.managers.documents.schema import Schema
from poolapp.managers.redis.codec import NUMBERS, TEXTS, encode

VERSION = ""
"""The hash's field for it, which is the name of no field of a model."""


class Layout:
    """The keys of one manager. All of them have the hash tag ``{prefix}``, so that a cluster keeps
    them in one place; what follows is data, whatever is in it."""

    def __init__(self, schema: Schema, prefix: str, indexes: Sequence[str]) -> None:
        """Raises ValueError for a prefix with braces, NotSupportedError for an index of a field
        that has no order, FieldDoesNotExist for one of no field."""
        if not prefix or "{" in prefix or "}" in prefix:
            raise ValueError(f"a prefix is not empty and has no braces: {prefix!r}")
        self._schema = schema
        self.prefix = prefix
        self.start = f"{{{prefix}}}:"
        fields = [schema.model._meta.get_field(name) for name in indexes]
        self.indexed: dict[Field[Any, Any], str] = {
            field: schema.key(field)  # type: ignore[arg-type, misc]
            for field in fields
        }
        for field in [schema.pk, *self.indexed]:
            if kind_of(field) not in NUMBERS | TEXTS:
                raise NotSupportedError(
                    f"{schema.model._meta.label}: Redis can't keep an index of {field.name!r}, of "
                    f"kind {kind_of(field).name.lower()}"
                )
        self.names = ",".join(sorted(self.indexed.values()))
        self._counts = kind_of(schema.pk) in NUMBERS
        self.tails = 2 if self._counts else 1

    def keys(self, index: Field[Any, Any] | None = None) -> list[str]:
        """What each script takes; the fifth is the index that is read."""
        shared = [self.start + name for name in ("p", "e", "t", "c")]
        if index is None:
            return shared
        own = "p" if index.primary_key else f"i:{self.indexed[index]}"
        return [*shared, self.start + own]

    def key(self, pk: Any) -> str:
        """Of one document; ``pk`` in document form."""
        return f"{self.start}d:{pk}"

    def lock(self, pk: Any) -> str:
        return f"{self.start}l:{pk}"

    # -- indexes -------------------------------------------------------------------------------

    def head(self, field: Field[Any, Any], value: Any) -> bytes:
        """What a value's members begin with."""
        return encode(kind_of(field), value)

    def member(self, pk: Any) -> bytes:
        """Of the primary key's own index."""
        return self.head(self._schema.pk, pk) + b"\0" + self._tail(pk)

    def _tail(self, pk: Any) -> bytes:
        text = str(pk).encode()
        return self.head(self._schema.pk, pk) + b"\0" + text if self._counts else text

    def members(self, pk: Any, document: Mapping[str, Any]) -> list[Any]:
        """Name and member of each index whose field the document has, in one list."""
        found: list[Any] = []
        for field, name in self.indexed.items():
            if name in document:
                found += [name, self.head(field, document[name]) + b"\0" + self._tail(pk)]
        return found

    # -- documents -----------------------------------------------------------------------------

    def packed(self, document: Mapping[str, Any]) -> list[str | bytes]:
        """Field and JSON of each, in one list. ValueError for text that UTF-8 does not have."""
        found: list[str | bytes] = []
        for name, value in document.items():
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            found += [name, text.encode()]
        return found

    def unpacked(self, answer: Sequence[Any]) -> tuple[dict[str, Any], str]:
        """The document and the version of what HGETALL says; of a list, or of a mapping."""
        texts = [text_of(each) for each in answer]
        held = dict(zip(texts[::2], texts[1::2], strict=True))
        version = held.pop(VERSION, "")
        return {name: json.loads(text) for name, text in held.items()}, version


def text_of(answer: Any) -> str:
    """Of a pool that decodes, or does not."""
    return answer.decode() if isinstance(answer, bytes) else answer
