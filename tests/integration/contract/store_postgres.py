"""PostgreSQL: Django's own QuerySets, so that much of what it does goes by Django's names."""

from __future__ import annotations

from typing import Any

from poolapp import pools
from poolapp.managers import PostgresManager
from tests.integration.contract.abilities import ABILITIES, library
from tests.integration.contract.under_test import StoreUnderTest

TABLE = """
CREATE TABLE IF NOT EXISTS stores_article (
    slug varchar(200) PRIMARY KEY, title varchar(200) NOT NULL, body text NOT NULL,
    author_id bigint, likes integer NOT NULL, rating double precision, price numeric(12, 2),
    published timestamptz, day date, is_public boolean NOT NULL, token uuid, data jsonb NOT NULL
)
"""

_filled: set[str] = set()


class Rows:
    """A PostgresManager of the pool of an alias, and its table."""

    def __init__(self, alias: str, place: str) -> None:
        self._alias = alias
        self._place = place

    def __get__(self, instance: object, owner: Any) -> Rows:
        manager: Any = PostgresManager()
        manager.model, manager.name = owner, "rows"
        self._manager = manager.db_manager(self._alias)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._manager, name)

    async def ensure(self) -> list[str]:
        """There is one table: it has what this place had."""
        pool = pools[self._alias]
        await pool.execute(TABLE)
        await pool.execute("TRUNCATE stores_article")
        if self._place in _filled:
            await self._manager.abulk_create(library())
        elif self._place.startswith("library"):
            _filled.add(self._place)
        return []


_OTHERWISE = {"asave(update_fields=...)", "aremove", "hostile primary keys and values are data"}

UNDER_TEST = StoreUnderTest(
    name="PostgreSQL",
    service="postgres",
    backend="poolapp.backends.postgres.PostgresBackend",
    manager=Rows,
    otherwise=frozenset(
        {
            each.name
            for each in ABILITIES
            if each.name in _OTHERWISE
            or each.group == "Conflicts"
            or (each.group in ("Bulk", "Streams") and not each.reads_only)
        }
    ),
    order=0,
)
