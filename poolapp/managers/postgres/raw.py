"""Django's raw queries, whose rows are fetched natively."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from django.db.models.query import RawQuerySet

from poolapp.core.lease import Site
from poolapp.managers.postgres.going import run, users_line
from poolapp.managers.postgres.refusing import is_complete, refusing

if TYPE_CHECKING:
    _RawQuerySet = RawQuerySet[Any]
else:
    _RawQuerySet = RawQuerySet


class PostgresRawQuerySet(_RawQuerySet):
    """What ``PostgresManager.raw`` returns: ``async for`` gives the model's instances."""

    @classmethod
    def like(cls, queryset: _RawQuerySet) -> Self:
        """The same raw query, run natively."""
        made = cls.__new__(cls)
        made.__dict__.update(queryset.__dict__)
        return made

    def using(self, alias: str | None) -> Self:
        """The same query on another database."""
        return self.like(super().using(alias))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._each(users_line())

    async def _each(self, site: Site) -> AsyncIterator[Any]:
        if not is_complete(self):
            await run(site, lambda: self.db, self._fetch_all)  # type: ignore[attr-defined]
        for each in self._result_cache:  # type: ignore[attr-defined]
            yield each


for _name, _what in {
    "__bool__": "its truth",
    "__getitem__": "an index",
    "__iter__": "iteration",
    "__len__": "len()",
}.items():
    setattr(
        PostgresRawQuerySet,
        _name,
        refusing(
            RawQuerySet, _name, _what, "[each async for each in queryset]", unless=is_complete
        ),
    )
PostgresRawQuerySet.iterator = refusing(  # type: ignore[method-assign]
    RawQuerySet, "iterator", "iterator()", "async for each in queryset"
)
