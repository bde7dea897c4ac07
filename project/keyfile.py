"""Secrets that are made once and kept in a file only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_or_create(path: Path, *, length: int = 50) -> str:
    """Return the secret in `path`; make one of `length` random bytes when there is none.

    The folder must exist. Two processes that start together get the same secret.
    """
    if not path.exists():
        # Written aside and linked into place, so that nobody reads half a secret.
        aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(length))
            try:
                os.link(aside, path)
            except FileExistsError:
                pass
        finally:
            aside.unlink()
    return path.read_text(encoding="ascii").strip()
