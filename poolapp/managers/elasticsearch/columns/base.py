"""What a field is in an index: how it is mapped, found, sorted and grouped by."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.db import NotSupportedError
from django.db.models import Field

from poolapp.managers.documents.conditions import Where
from poolapp.managers.elasticsearch.queries import (
    Query,
    all_of,
    exists,
    negation,
    one_of,
    ranging,
)

COMPARISONS = frozenset({"gt", "gte", "lt", "lte"})
EQUALITIES = frozenset({"exact", "in", "isnull"})
ORDERED = EQUALITIES | COMPARISONS | {"range"}


class Column:
    """One field. ``key`` is its name in the documents.

    What the server can't index as it is has *shadows*: more properties of the document, named
    ``key__something``, which no field of Django's can be called. They are written beside the value,
    and not read where the value alone tells what it is.
    """

    lookups: ClassVar[frozenset[str]] = ORDERED
    type: ClassVar[str] = "keyword"

    def __init__(self, field: Field[Any, Any], key: str) -> None:
        self.field = field
        self.key = key

    # -- in the index --------------------------------------------------------------------------

    def mapping(self) -> dict[str, Any]:
        """Of the value itself."""
        return {"type": self.type}

    def shadows(self) -> dict[str, dict[str, Any]]:
        """Name -> mapping."""
        return {}

    @property
    def spreads(self) -> bool:
        """Whether there is something to do before a value is sent."""
        return bool(self.shadows())

    def spread(self, source: dict[str, Any]) -> None:
        """Add the shadows to a document that has the key. Raises ValueError for a value that the
        index can't hold."""

    @property
    def read_along(self) -> str | None:
        """The shadow without which the value can't be read back."""
        return None

    def gather(self, source: dict[str, Any]) -> None:
        """Put the value together again. Only called where there is something to read along."""

    # -- finding -------------------------------------------------------------------------------

    @property
    def exactly(self) -> str:
        """The property that has the value as it is."""
        return self.key

    def check(self, where: Where) -> None:
        if where.lookup not in self.lookups:
            self.cannot(where.lookup)

    def cannot(self, lookup: str) -> NoReturn:
        """Raise NotSupportedError, saying which look-ups this field has."""
        raise NotSupportedError(
            f"Elasticsearch has no look-up {lookup!r} for {self.field.name!r}, which is indexed as "
            f"{self.mapping()['type']!r}; it has {', '.join(sorted(self.lookups))}"
        )

    def query(self, where: Where) -> Query:
        """False for a document without a value, but for ``isnull``."""
        match where.lookup:
            case "isnull":
                return negation(self.present()) if where.value else self.present()
            case "exact":
                return self.equal(where.value)
            case "in":
                return self.among(where.value)
            case "range":
                low, high = where.value
                return all_of([self.compared("gte", low), self.compared("lte", high)])
            case "gt" | "gte" | "lt" | "lte":
                return self.compared(where.lookup, where.value)
        return self.cannot(where.lookup)

    def present(self) -> Query:
        return exists(self.key)

    def equal(self, value: Any) -> Query:
        return {"term": {self.exactly: {"value": value}}}

    def among(self, values: tuple[Any, ...]) -> Query:
        return one_of(self.exactly, values)

    def compared(self, comparison: str, value: Any) -> Query:
        return ranging(self.exactly, comparison, value)

    # -- sorting, grouping, counting -----------------------------------------------------------

    @property
    def sorts_by(self) -> str | None:
        """The property that has the field's order, None when it has no order."""
        return self.exactly

    @property
    def number(self) -> str | None:
        """The property that can be summed, None when it can't."""
        return None

    @property
    def exact_extremes(self) -> bool:
        """Whether the server's own min and max, which are 64-bit floats, are exact."""
        return False

    def group_by(self) -> dict[str, str] | None:
        """Source -> property, the first of which gives the value; None when it can't be."""
        return {self.key: self.exactly}

    def group_value(self, found: dict[str, Any]) -> Any:
        """The value, in document form, of the sources' values."""
        return found[self.key]

    def total(self, value: float) -> Any:
        """A sum in document form."""
        return value

    def mean(self, total: float, count: int) -> Any:
        return total / count


class BooleanColumn(Column):
    type = "boolean"

    def group_value(self, found: dict[str, Any]) -> Any:
        value = found[self.key]
        return value == "true" if isinstance(value, str) else None if value is None else bool(value)
