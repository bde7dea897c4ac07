"""What a document manager raises beside Django's own exceptions and the pool's."""

from __future__ import annotations

from django.db import DatabaseError


class Conflict(DatabaseError):
    """Somebody else changed, or deleted, the document since this instance was read: nothing was
    written. Read it again, and decide."""


class Missing(DatabaseError):
    """A partial update, or a deletion, of a document that is not there."""


class Rejected(DatabaseError):
    """The server does not take this document; the message says what it has against it."""
