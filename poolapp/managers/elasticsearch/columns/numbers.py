"""Numbers of every size, none of them rounded where it is compared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from poolapp.managers.documents.forms import dump_decimal
from poolapp.managers.documents.kinds import Kind, kind_of
from poolapp.managers.elasticsearch.columns.base import Column
from poolapp.managers.elasticsearch.queries import (
    NOTHING,
    Query,
    any_of,
    exists,
    one_of,
    ranging,
)
from poolapp.managers.elasticsearch.sortable import sortable

LARGEST: Final = 2**63 - 1
SMALLEST: Final = -(2**63)


class IntegerColumn(Column):
    """A ``long``, of 64 bits: a document with a larger number is refused, a look-up with one is
    answered here."""

    type = "long"

    @property
    def spreads(self) -> bool:
        return kind_of(self.field) is not Kind.INTEGER

    def spread(self, source: dict[str, Any]) -> None:
        value = source[self.key]
        if value is not None and not _fits(value):
            raise ValueError(f"field {self.field.name!r} holds 64 bits, which {value} does not fit")

    def equal(self, value: Any) -> Query:
        return super().equal(value) if _fits(value) else NOTHING

    def among(self, values: tuple[Any, ...]) -> Query:
        return one_of(self.key, [each for each in values if _fits(each)])

    def compared(self, comparison: str, value: Any) -> Query:
        if _fits(value):
            return super().compared(comparison, value)
        below = comparison in ("lt", "lte")
        return self.present() if (value > LARGEST) is below else NOTHING

    @property
    def number(self) -> str | None:
        return self.key

    @property
    def exact_extremes(self) -> bool:
        return kind_of(self.field) is Kind.INTEGER

    def total(self, value: float) -> Any:
        return round(value)


def _fits(value: Any) -> bool:
    return SMALLEST <= value <= LARGEST  # type: ignore[no-any-return]


class FloatColumn(Column):
    """A ``double``. The server has no NaN and no infinities: they are null there, and in a shadow
    their rank among the others, which are 0. As PostgreSQL has it, NaN equals itself and is above
    all."""

    type = "double"
    RANKS: Final = {"-Infinity": -1, "Infinity": 1, "NaN": 2}

    @property
    def rank(self) -> str:
        return f"{self.key}__rank"

    def shadows(self) -> dict[str, dict[str, Any]]:
        return {self.rank: {"type": "byte"}}

    def spread(self, source: dict[str, Any]) -> None:
        # Null, and not left out: a partial update has to take back the one before.
        source[self.rank] = None
        if isinstance(value := source[self.key], str):
            source[self.key], source[self.rank] = None, self.RANKS[value]

    @property
    def read_along(self) -> str | None:
        return self.rank

    def gather(self, source: dict[str, Any]) -> None:
        rank = source.pop(self.rank, None)
        if rank is not None:
            source[self.key] = self.name_of(rank)

    def present(self) -> Query:
        return any_of([exists(self.key), exists(self.rank)])

    def equal(self, value: Any) -> Query:
        if isinstance(value, str):
            return {"term": {self.rank: {"value": self.RANKS[value]}}}
        return super().equal(value)

    def among(self, values: tuple[Any, ...]) -> Query:
        finite = [each for each in values if not isinstance(each, str)]
        others = [self.equal(each) for each in values if isinstance(each, str)]
        return any_of([*([one_of(self.key, finite)] if finite else []), *others])

    def compared(self, comparison: str, value: Any) -> Query:
        rank = self.RANKS[value] if isinstance(value, str) else 0
        others = ranging(self.rank, comparison, rank)
        if not isinstance(value, str):
            return any_of([ranging(self.key, comparison, value), others])
        if (rank < 0) is not (comparison in ("gt", "gte")):
            return others
        return any_of([exists(self.key), others])

    @property
    def number(self) -> str | None:
        return self.key

    @property
    def exact_extremes(self) -> bool:
        return True

    def group_by(self) -> dict[str, str] | None:
        return {self.key: self.key, self.rank: self.rank}

    def group_value(self, found: dict[str, Any]) -> Any:
        return self.name_of(found[self.rank]) or found[self.key]

    def name_of(self, rank: float | None) -> str | None:
        return next((name for name, each in self.RANKS.items() if each == rank), None)


class DecimalColumn(Column):
    """Canonical text. Shadows: one that is ordered as numbers are, of any number of digits; and a
    ``double`` for sums and averages."""

    type = "keyword"

    @property
    def order(self) -> str:
        return f"{self.key}__order"

    @property
    def sorts_by(self) -> str | None:
        return self.order

    @property
    def number(self) -> str | None:
        return f"{self.key}__number"

    def shadows(self) -> dict[str, dict[str, Any]]:
        return {self.order: {"type": "keyword"}, f"{self.key}__number": {"type": "double"}}

    def spread(self, source: dict[str, Any]) -> None:
        value = source[self.key]
        source[self.order] = source[f"{self.key}__number"] = None
        if value is not None:
            decimal = Decimal(value)
            source[self.order] = sortable(decimal)
            if decimal.is_finite() and abs(number := float(decimal)) != float("inf"):
                source[f"{self.key}__number"] = number

    def compared(self, comparison: str, value: Any) -> Query:
        return ranging(self.order, comparison, sortable(Decimal(value)))

    def total(self, value: float) -> Any:
        places = getattr(self.field, "decimal_places", None)
        decimal = Decimal(repr(value))
        return dump_decimal(decimal if places is None else round(decimal, places))

    def mean(self, total: float, count: int) -> Any:
        return Decimal(self.total(total)) / count


class DurationColumn(IntegerColumn):
    """Microseconds."""

    @property
    def exact_extremes(self) -> bool:
        return False
