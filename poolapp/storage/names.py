"""What a file is called in the bucket, and what kind of file it is."""

from __future__ import annotations

import mimetypes
import posixpath
import re

from django.core.exceptions import SuspiciousFileOperation

MAX_KEY = 1024
"""Bytes of a key: S3's own limit."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that a listing, which is XML, can't tell."""

_COMPRESSED = {
    "br": "application/x-brotli",
    "bzip2": "application/x-bzip2",
    "compress": "application/x-compress",
    "gzip": "application/gzip",
    "xz": "application/x-xz",
}
"""What a compressed file is, by the encoding that its name tells. It is not sent as a
Content-Encoding, with which a browser would unpack what somebody wants to download."""

DEFAULT_TYPE = "application/octet-stream"


def normal(name: str) -> str:
    """The path below the storage's prefix, with slashes only and none at its ends; ``""`` is the
    prefix itself.

    Raises SuspiciousFileOperation, as Django's own storages do, for a name that leads elsewhere,
    and for one that no key can hold.
    """
    name = str(name).replace("\\", "/")
    path = posixpath.normpath(name) if name else "."
    if path == ".." or path.startswith(("/", "../")):
        raise SuspiciousFileOperation(f"The name {name!r} leads out of the storage.")
    if _CONTROL.search(path) or not _is_unicode(path):
        raise SuspiciousFileOperation(f"The name {name!r} has characters that a key can't have.")
    return "" if path == "." else path


def key_of(prefix: str, name: str) -> str:
    """The key of a file. Raises SuspiciousFileOperation like ``normal``, and for a name that names
    no file, or is too long."""
    path = normal(name)
    if not path:
        raise SuspiciousFileOperation(f"The name {name!r} names no file.")
    key = prefix + path
    length = len(key.encode())
    if length > MAX_KEY:
        raise SuspiciousFileOperation(
            f"The name {path[:40]!r}... is a key of {length} bytes; S3 allows {MAX_KEY}. "
            "Give the field a smaller max_length."
        )
    return key


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_type_of(name: str, content: object) -> str:
    """By the name, which decides what a browser would take it for; else what an upload says."""
    guessed, encoding = mimetypes.guess_type(name)
    if encoding is not None:
        return _COMPRESSED.get(encoding, DEFAULT_TYPE)
    said = getattr(content, "content_type", None)
    return guessed or (said if isinstance(said, str) and said else DEFAULT_TYPE)
