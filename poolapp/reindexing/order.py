"""What a queue carries: which rows, into which documents."""

from __future__ import annotations

import base64
import pickle
from typing import Any

from django.apps import apps
from django.core import signing
from django.db.models import QuerySet

from poolapp.databases import pool_or_none
from poolapp.managers.documents.manager import DocumentManager
from poolapp.managers.postgres.queryset import PostgresQuerySet

_SALT = "poolapp.reindexing"


def order_of(rows: QuerySet[Any], manager: str) -> str:
    """A text that names the rows of a QuerySet, which are read when the job runs, and the document
    manager, by its name in the model.

    It is signed with ``SECRET_KEY``: a worker unpickles nothing that somebody else has put in the
    queue. Raises AttributeError for a model without such a manager, TypeError for what is none.
    """
    into = getattr(rows.model, manager)
    if not isinstance(into, DocumentManager):
        raise TypeError(f"{rows.model.__name__}.{manager} is no document manager")
    query = base64.b85encode(pickle.dumps(rows.query)).decode()
    order = {"model": rows.model._meta.label, "manager": manager, "db": rows.db, "query": query}
    return signing.dumps(order, salt=_SALT, compress=True)


def read_order(order: str) -> tuple[QuerySet[Any], DocumentManager[Any]]:
    """The QuerySet and the manager. Raises BadSignature for what ``order_of`` did not make, or made
    with another ``SECRET_KEY``."""
    found = signing.loads(order, salt=_SALT)
    model = apps.get_model(found["model"])
    using = found["db"]
    kind = PostgresQuerySet if pool_or_none(using) else QuerySet
    # Signed by us, so it was pickled by us.
    query = pickle.loads(base64.b85decode(found["query"]))  # noqa: S301
    return kind(model=model, query=query, using=using), getattr(model, found["manager"])
