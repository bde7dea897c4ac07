"""The table of contents, read by plain code: a synchronous view, and a Celery task.

Both hand the same coroutine to `pools.run`, which runs it on the process's own pool loop. So it
works under WSGI and in a worker as it does under ASGI, and the connections outlive the call.
"""

from __future__ import annotations

from typing import Any, TypedDict

from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Lower

from poolapp import pools
from project.models import Entry
from project.stores import stored_in_postgres


class Package(TypedDict):
    name: str
    summary: str
    entries: int


@stored_in_postgres
async def packages() -> list[Package]:
    """Every package and every module outside of one, with the number of entries within it.

    Raises StoreUnavailable.
    """
    found = with_parts(Entry.rows.filter(package=F("qualified_name")))
    rows = found.order_by(Lower("qualified_name")).values("qualified_name", "summary", "parts")
    return [
        Package(name=row["qualified_name"], summary=row["summary"], entries=row["parts"])
        async for row in rows
    ]


def with_parts(packages: Any) -> Any:
    """The packages with ``parts``, the number of entries within each."""
    within = Entry.rows.filter(package=OuterRef("qualified_name")).order_by()
    counted = within.values("package").annotate(count=Count("pk")).values("count")
    return packages.annotate(parts=Subquery(counted)).filter(parts__gt=0)


def read_packages() -> list[Package]:
    """The same for plain code."""
    return pools.run(packages)
