"""What an object holds of an instance: all of it as JSON, or one field as its body and the others
beside it, as metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Field

from poolapp.managers.documents.exceptions import Rejected
from poolapp.managers.documents.forms import JsonForm
from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.documents.schema import Schema
from poolapp.managers.documents.store import Document

MAX_METADATA = 2048
"""Bytes of all names and values of an object's metadata: S3's own limit."""


class BytesForm(JsonForm):
    """As JSON's, but bytes stay bytes: an object holds them as they are."""

    def dump(self, kind: Kind, value: Any) -> Any:
        return bytes(value) if kind is Kind.BINARY else super().dump(kind, value)

    def load(self, kind: Kind, value: Any) -> Any:
        return value if kind is Kind.BINARY else super().load(kind, value)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is sent."""

    body: bytes
    metadata: Mapping[str, str]


class JsonContents:
    """The whole document as a JSON object, keyed by the fields' attributes."""

    content_type = "application/json"

    def __init__(self, schema: Schema) -> None:
        self._fields = {schema.key(field): field for field in schema.fields}

    def parts(self, document: Document) -> Parts:
        plain = {name: to_json(self._fields[name], value) for name, value in document.items()}
        return Parts(_json(plain).encode("utf-8", "surrogatepass"), {})

    def version(self, etag: str, metadata: Mapping[str, str]) -> str:
        return etag

    def document(self, body: bytes | None, metadata: Mapping[str, str]) -> Document:
        assert body is not None
        held = json.loads(body)
        if not isinstance(held, dict):
            raise ValueError(f"it holds {type(held).__name__!r}, not a JSON object")
        return {
            name: from_json(self._fields[name], value)
            for name, value in held.items()
            if name in self._fields
        }


class BodyContents:
    """One field as the body, the others as metadata: each as JSON, which is ASCII, under the name
    of the field with ``-`` for ``_``, which some proxies drop from a header's name.

    The primary key is the object's key, and so is not told again.
    """

    def __init__(self, schema: Schema, body: str) -> None:
        """Raises ImproperlyConfigured when there is no such field, or it can be no body."""
        found = [each for each in schema.fields if body in (each.name, each.attname)]
        label = schema.model._meta.label
        if not found:
            choices = ", ".join(each.name for each in schema.fields)
            raise ImproperlyConfigured(
                f"{label} has no field {body!r} to be the body of its objects; it has {choices}"
            )
        self.field = found[0]
        kind = kind_of(self.field)
        if self.field is schema.pk or kind not in (Kind.BINARY, Kind.TEXT, Kind.KEYWORD):
            raise ImproperlyConfigured(
                f"{label}.{body} can't be the body of its objects: that is a BinaryField, a "
                "TextField or a CharField, and not the primary key"
            )
        self.name = schema.key(self.field)
        self._is_text = kind is not Kind.BINARY
        self.content_type = (
            "text/plain; charset=utf-8" if self._is_text else "application/octet-stream"
        )
        beside = [each for each in schema.fields if each not in (schema.pk, self.field)]
        self._fields = {schema.key(each): each for each in beside}
        self._headers = {_header(name): name for name in self._fields}
        if len(self._headers) < len(self._fields):
            raise ImproperlyConfigured(
                f"{label} has fields whose names differ in upper and lower case only, which "
                "metadata does not tell apart"
            )

    def parts(self, document: Document) -> Parts:
        value = document.get(self.name)
        if self._is_text and value is not None:
            value = value.encode("utf-8", "surrogatepass")
        return Parts(value or b"", self.metadata(document))

    def metadata(self, document: Document) -> dict[str, str]:
        """Raises Rejected when it is more than S3 takes."""
        metadata = {
            header: _ascii(to_json(self._fields[name], document[name]))
            for header, name in self._headers.items()
            if name in document
        }
        if self.name in document and document[self.name] is None:
            metadata[_header(self.name)] = "null"
        sizes = {header: len(header) + len(value) for header, value in metadata.items()}
        if sum(sizes.values()) > MAX_METADATA:
            largest = max(sizes, key=sizes.__getitem__)
            raise Rejected(
                f"the fields beside the body are {sum(sizes.values())} bytes of metadata, and S3 "
                f"takes {MAX_METADATA}; the longest is {self._headers[largest]!r} with "
                f"{sizes[largest]}. Keep long fields in a manager without body=, which writes JSON"
            )
        return metadata

    def version(self, etag: str, metadata: Mapping[str, str]) -> str:
        """An ETag says nothing of the metadata."""
        said = sorted((header.lower(), value) for header, value in metadata.items())
        return f"{etag} {sha256(_ascii(said).encode()).hexdigest()}"

    def document(self, body: bytes | None, metadata: Mapping[str, str]) -> Document:
        """Without the body where that was not asked for."""
        given = {header.lower(): value for header, value in metadata.items()}
        document = {
            name: from_json(self._fields[name], json.loads(given[header]))
            for header, name in self._headers.items()
            if header in given
        }
        if given.get(_header(self.name)) == "null":
            document[self.name] = None
        elif body is not None:
            document[self.name] = body.decode("utf-8", "surrogatepass") if self._is_text else body
        return document


def _header(name: str) -> str:
    return quote(name.replace("_", "-")).lower()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _ascii(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def to_json(field: Field[Any, Any], value: Any) -> Any:
    """A value of a document as JSON has it."""
    kind = kind_of(field)
    if kind is Kind.ARRAY and value is not None:
        return [to_json(field.base_field, each) for each in value]  # type: ignore[attr-defined]
    if kind is Kind.BINARY and value is not None:
        return base64.b64encode(value).decode("ascii")
    return value


def from_json(field: Field[Any, Any], value: Any) -> Any:
    """The reverse of ``to_json``."""
    kind = kind_of(field)
    if kind is Kind.ARRAY and value is not None:
        return [from_json(field.base_field, each) for each in value]  # type: ignore[attr-defined]
    if kind is Kind.BINARY and value is not None:
        return base64.b64decode(value)
    return value
