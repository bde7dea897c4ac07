"""What is asked of a store: which documents, in what order, how much of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from django.db.models import Field, Model

from poolapp.managers.documents.conditions import ALL, NONE, Condition
from poolapp.managers.documents.kinds import Kind, kind_of

if TYPE_CHECKING:
    from poolapp.managers.documents.schema import Schema


@dataclass(frozen=True, slots=True)
class Order:
    """By a field, or by something of the store's own (``special``: ``"_score"``, ``"?"``, or an
    object that ``Store.special_order`` took)."""

    field: Field[Any, Any] | None
    descending: bool = False
    path: tuple[str | int, ...] = ()
    special: Any = None

    def reversed(self) -> Order:
        return replace(self, descending=not self.descending)


@dataclass(frozen=True, slots=True)
class Selection:
    """``order`` is what ``order_by`` said, or, with ``default_order``, the model's Meta.ordering;
    when it is empty, the store's own order is wanted, ``backwards`` from its end.

    ``low`` and ``high`` are the slice, counted from the start of that order. ``only`` are the
    fields that are wanted, the primary key among them; None: all. ``extras`` is what a store's own
    QuerySet methods have put there.
    """

    model: type[Model]
    condition: Condition = ALL
    order: tuple[Order, ...] = ()
    default_order: bool = False
    backwards: bool = False
    low: int = 0
    high: int | None = None
    only: tuple[Field[Any, Any], ...] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_sliced(self) -> bool:
        return bool(self.low) or self.high is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be found, so that nobody has to be asked."""
        return self.condition == NONE or (self.high is not None and self.high <= self.low)

    @property
    def limit(self) -> int | None:
        """How many documents at the most."""
        return None if self.high is None else max(0, self.high - self.low)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One figure over many documents. ``field`` is None for ``Count("*")``; ``condition`` is that
    of the aggregate's own ``filter=``."""

    function: Literal["count", "sum", "avg", "min", "max"]
    field: Field[Any, Any] | None = None
    distinct: bool = False
    condition: Condition | None = None

    def load(self, schema: Schema, value: Any) -> Any:
        """The Python value of what a store gave, in the form of the field (``avg``: of that or a
        float)."""
        if value is None or self.function == "count":
            return value
        assert self.field is not None
        if self.function != "avg":
            return schema.load(self.field, value)
        match kind_of(self.field):
            case Kind.DECIMAL:
                return Decimal(str(value))
            case Kind.DURATION:
                return value if isinstance(value, timedelta) else timedelta(microseconds=value)
            case _:
                return float(value)


@dataclass(frozen=True, slots=True)
class Grouping:
    """``values(*by).annotate(**aggregates)``: a row for each combination of values there is, null
    among them, sorted by ``order`` (names of ``by`` or of ``aggregates``, descending or not); the
    slice is that of these rows."""

    by: tuple[Field[Any, Any], ...]
    aggregates: Mapping[str, Aggregate]
    order: tuple[tuple[str, bool], ...] = ()
    low: int = 0
    high: int | None = None
