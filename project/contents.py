"""The table of contents, read by plain code: a synchronous view, and a Celery task.

Both hand the same coroutine to `pools.run`, which runs it on the process's own pool loop. So it
works under WSGI and in a worker as it does under ASGI, and the connections outlive the call.
"""

from __future__ import annotations

from typing import TypedDict

from poolapp import pools
from project.stores import postgres


class Package(TypedDict):
    name: str
    summary: str
    entries: int


async def packages() -> list[Package]:
    """Every package and every module outside of one, with the number of entries within it."""
    async with postgres() as connection:
        rows = await connection.fetch(
            """
            SELECT package.qualified_name AS name, package.summary, parts.entries
            FROM project_entry AS package
            JOIN (
                SELECT split_part(module, '.', 1) AS name, count(*) AS entries
                FROM project_entry GROUP BY 1
            ) AS parts ON parts.name = package.qualified_name
            ORDER BY lower(package.qualified_name)
            """
        )
    return [Package(**row) for row in rows]


def read_packages() -> list[Package]:
    """The same for plain code."""
    return pools.run(packages)
