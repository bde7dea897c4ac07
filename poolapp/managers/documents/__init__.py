"""What the managers of documents, objects and keys share: subclass DocumentManager,
DocumentQuerySet and Store."""

from poolapp.managers.documents.bulk import BulkError, BulkResult
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.documents.store import Store

__all__ = [
    "BulkError",
    "BulkResult",
    "Conflict",
    "DocumentManager",
    "DocumentQuerySet",
    "Missing",
    "Rejected",
    "Store",
]
