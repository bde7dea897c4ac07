"""The lazy half of a QuerySet of documents: it says which, and asks nobody."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar

from django.db import NotSupportedError
from django.db.models import Field, Model, Q

from poolapp.managers.documents import aggregates
from poolapp.managers.documents.conditions import ALL, NONE, Condition, every, negated
from poolapp.managers.documents.lookups import Lookups, Path
from poolapp.managers.documents.selection import Aggregate, Grouping, Order, Selection
from poolapp.managers.documents.store import Hit, Store
from poolapp.managers.documents.versions import remember

if TYPE_CHECKING:
    from poolapp.managers.documents.manager import DocumentManager

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Row:
    """What ``values`` and ``values_list`` make of a document."""

    kind: Literal["dict", "tuple", "flat", "named"]
    columns: tuple[tuple[str, Field[Any, Any], Path], ...]
    distinct: bool = False

    def shape(self, values: Mapping[str, Any]) -> Any:
        """Column name -> value, in the wanted shape."""
        match self.kind:
            case "dict":
                return dict(values)
            case "tuple":
                return tuple(values.values())
            case "flat":
                return next(iter(values.values()))
        return namedtuple("Row", values)(*values.values())  # noqa: PYI024 - the names are data


class Chain(Generic[M]):
    """Every method returns another one, and changes nothing of this one."""

    def __init__(self, manager: DocumentManager[M, Any], store: Store) -> None:
        self._manager = manager
        self._store = store
        self._lookups = Lookups(store.schema, store.lookups, store.name)
        self._condition: Condition = ALL
        self._order: tuple[Order, ...] | None = None
        self._reversed = False
        self._low = 0
        self._high: int | None = None
        self._only: tuple[Field[Any, Any], ...] | None = None
        self._row: Row | None = None
        self._annotations: dict[str, Aggregate] = {}
        self._group_order: tuple[tuple[str, bool], ...] = ()
        self._extras: dict[str, Any] = {}

    @property
    def model(self) -> type[M]:
        return self._manager.model

    def _clone(self) -> Self:
        return copy.copy(self)

    def _with_extras(self, **extras: Any) -> Self:
        """For a store's own methods: what they say, for ``Selection.extras`` and
        ``WriteOptions.extras``."""
        clone = self._clone()
        clone._extras = {**self._extras, **extras}
        return clone

    def selection(self, *, ordered: bool = True) -> Selection:
        """What this one asks for; with ``ordered=False`` for a question whose answer is the same
        in any order."""
        order, by_default = self._order, False
        if order is None:
            order, by_default = (), True
            if self._store.meta_ordering and ordered:
                order = self._meta_ordering()
        if not ordered and not (self._low or self._high is not None):
            order = ()
        if self._reversed:
            order = tuple(each.reversed() for each in order)
        backwards = self._reversed and not order
        return Selection(
            model=self.model,
            condition=self._condition,
            order=order,
            default_order=by_default,
            backwards=backwards,
            low=self._low,
            high=self._high,
            only=self._only,
            extras=self._extras,
        )

    def using(self, alias: str) -> Self:
        """The same from the pool of another alias."""
        clone = self._clone()
        clone._store = self._manager.store(alias)
        return clone

    # -- which ---------------------------------------------------------------------------------

    def all(self) -> Self:
        return self._clone()

    def none(self) -> Self:
        """Nothing; the server is not asked."""
        clone = self._clone()
        clone._condition = NONE
        return clone

    def filter(self, *conditions: Q, **lookups: Any) -> Self:
        """Those for which all of it is true.

        Raises FieldError for a name that is no field's, NotSupportedError for what this store can't
        look up, naming what it can, and what the field raises for a value that it can't have.
        """
        return self._filtered(self._lookups.condition(*conditions, **lookups))

    def exclude(self, *conditions: Q, **lookups: Any) -> Self:
        """Those for which not all of it is true; a field that is null equals nothing, so that
        ``exclude(x=1)`` keeps it."""
        condition = self._lookups.condition(*conditions, **lookups)
        return self._filtered(None if condition is None else negated(condition))

    def _filtered(self, condition: Condition | None) -> Self:
        if self._low or self._high is not None:
            raise TypeError("Cannot filter a query once a slice has been taken.")
        if self._annotations and condition is not None:
            raise NotSupportedError(f"{self._store.name}: filter before annotate()")
        clone = self._clone()
        if condition is not None:
            clone._condition = every((self._condition, condition))
        return clone

    # -- in what order, how much of it ---------------------------------------------------------

    def order_by(self, *names: Any) -> Self:
        """By fields (``"-published"``, ``"pk"``, a way into a JSONField); without names in the
        store's own order. In place of Meta.ordering, and of an ``order_by`` before."""
        if self._low or self._high is not None:
            raise TypeError("Cannot reorder a query once a slice has been taken.")
        clone = self._clone()
        if self._annotations or (self._row is not None and self._row.distinct):
            clone._group_order = tuple(map(self._group_term, names))
        else:
            clone._order = self._orders(names)
        clone._reversed = False
        return clone

    def reverse(self) -> Self:
        """The other way round."""
        if self._low or self._high is not None:
            raise TypeError("Cannot reverse a query once a slice has been taken.")
        clone = self._clone()
        clone._reversed = not self._reversed
        return clone

    def _orders(self, terms: tuple[Any, ...]) -> tuple[Order, ...]:
        return tuple(map(self._term, terms))

    def _meta_ordering(self) -> tuple[Order, ...]:
        ordering = tuple(self.model._meta.ordering or ())
        try:
            return self._orders(ordering)
        except NotSupportedError as error:
            raise NotSupportedError(
                f"Meta.ordering of {self.model._meta.label}: {error}; say order_by(...), which "
                "takes its place"
            ) from None

    def _term(self, term: Any) -> Order:
        special = self._store.special_order(term)
        if special is not None:
            return special
        if not isinstance(term, str):
            kind = type(term).__name__
            raise NotSupportedError(f"{self._store.name} orders by fields, not by {kind!r}")
        if term == "?":
            raise NotSupportedError(f"{self._store.name} has no random order")
        name = term.removeprefix("-")
        field, path = self._lookups.path(name)
        return Order(field, name != term, path)

    def _group_term(self, term: Any) -> tuple[str, bool]:
        name = str(term).removeprefix("-")
        assert self._row is not None
        if name in self._annotations or name in {each for each, _, _ in self._row.columns}:
            return name, name != term
        raise NotSupportedError(
            f"{self._store.name}: groups are ordered by what they show, not by {name!r}"
        )

    def __getitem__(self, key: Any) -> Self:
        """A slice, as lazy as the rest. TypeError for a number: that would have to be awaited."""
        if isinstance(key, int):
            raise TypeError(
                f"a query of documents has no item {key}, because it would have to be awaited; use "
                f"[{key}:{key + 1}], or await .aget() or .afirst()"
            )
        if not isinstance(key, slice):
            raise TypeError(f"an index is a slice, not {type(key).__name__!r}")
        if key.step is not None:
            raise TypeError("a query of documents has no slices with a step")
        start, stop = key.start or 0, key.stop
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError("Negative indexing is not supported.")
        clone = self._clone()
        clone._low = self._low + start
        if stop is not None:
            clone._high = self._low + stop
        if self._high is not None:
            clone._low = min(clone._low, self._high)
            clone._high = self._high if clone._high is None else min(clone._high, self._high)
        if clone._high is not None:
            clone._high = max(clone._high, clone._low)
        return clone

    # -- how much of each ----------------------------------------------------------------------

    def only(self, *names: str) -> Self:
        """Instances with just these fields, and the primary key; the rest is deferred."""
        fields = [self._lookups.field(name) for name in names]
        return self._projected([self._store.schema.pk, *fields])

    def defer(self, *names: str | None) -> Self:
        """Instances without these fields; ``defer(None)`` takes back ``only`` and ``defer``."""
        clone = self._clone()
        if names == (None,):
            clone._only = None
            return clone
        left_out = {self._lookups.field(name) for name in names if name is not None}
        have = self._store.schema.fields if self._only is None else self._only
        return self._projected([each for each in have if each not in left_out or each.primary_key])

    def _projected(self, fields: list[Field[Any, Any]]) -> Self:
        if self._row is not None:
            raise TypeError("Cannot call only() or defer() after .values() or .values_list()")
        clone = self._clone()
        clone._only = tuple(dict.fromkeys(fields))
        return clone

    def values(self, *names: str) -> Any:
        """Dictionaries of these fields, or all, in place of instances."""
        return self._rows("dict", names)

    def values_list(self, *names: str, flat: bool = False, named: bool = False) -> Any:
        """Tuples; with ``flat`` the value of one field; with ``named`` named tuples."""
        if flat and named:
            raise TypeError("'flat' and 'named' can't be used together.")
        if flat and len(names) != 1:
            raise TypeError("'flat' is for exactly one field.")
        return self._rows("flat" if flat else "named" if named else "tuple", names)

    def _rows(
        self, kind: Literal["dict", "tuple", "flat", "named"], names: tuple[str, ...]
    ) -> Self:
        if self._annotations:
            raise NotSupportedError(f"{self._store.name}: values() goes before annotate()")
        columns = [(name, *self._lookups.path(name)) for name in names] or [
            (field.attname, field, ()) for field in self._store.schema.fields
        ]
        clone = self._clone()
        clone._row = Row(kind, tuple(columns))
        clone._only = tuple(dict.fromkeys(field for _, field, _ in columns))
        return clone

    def distinct(self) -> Self:
        """Of ``values``: each row once. Documents are distinct anyway."""
        clone = self._clone()
        if self._row is not None:
            self._groupable()
            clone._row = Row(self._row.kind, self._row.columns, distinct=True)
            clone._group_order = self._orders_of_groups()
        return clone

    def annotate(self, **aggregates_by_name: Any) -> Self:
        """After ``values``: a row for each group, with figures (Count, Sum, Avg, Min, Max)."""
        if self._row is None:
            raise NotSupportedError(
                f"{self._store.name} annotates groups: values('field').annotate(n=Count('*'))"
            )
        self._groupable()
        clone = self._clone()
        clone._annotations = dict(self._annotations)
        taken = {name for name, _, _ in self._row.columns}
        for name, expression in aggregates_by_name.items():
            if name in taken:
                raise ValueError(f"the annotation {name!r} has the name of a column")
            clone._annotations[name] = aggregates.translate(
                expression, self._lookups, self._store.name
            )
        clone._group_order = self._orders_of_groups()
        return clone

    def _groupable(self) -> None:
        assert self._row is not None
        if self._low or self._high is not None:
            raise TypeError("Cannot group a query once a slice has been taken.")
        for name, _, path in self._row.columns:
            if path:
                raise NotSupportedError(f"{self._store.name} can't group by a part: {name!r}")

    def _orders_of_groups(self) -> tuple[tuple[str, bool], ...]:
        """An ``order_by`` that was said before, as Django takes it over to the groups."""
        assert self._row is not None
        names = {field: name for name, field, _ in self._row.columns}
        return self._group_order or tuple(
            (names[each.field], each.descending)
            for each in self._order or ()
            if each.field in names
        )

    def _grouping(self) -> Grouping | None:
        row = self._row
        if row is None or not (self._annotations or row.distinct):
            return None
        return Grouping(
            by=tuple(dict.fromkeys(field for _, field, _ in row.columns)),
            aggregates=self._annotations,
            order=tuple(
                (self._key_of(name), descending != self._reversed)
                for name, descending in self._group_order
            ),
            low=self._low,
            high=self._high,
        )

    def _key_of(self, name: str) -> str:
        assert self._row is not None
        for column, field, _ in self._row.columns:
            if column == name:
                return self._store.schema.key(field)
        return name

    # -- what comes back -----------------------------------------------------------------------

    def _maker(self) -> Callable[[Hit], Any]:
        """What makes a result of a hit."""
        schema = self._store.schema
        row = self._row
        if row is None:
            projected = self._only is not None

            def instance_of(hit: Hit) -> Any:
                instance = schema.from_document(hit.document, projected=projected)
                for name, value in hit.extras.items():
                    setattr(instance, name, value)
                if hit.version is not None:
                    remember(instance, self._store, hit.version)
                return instance

            return instance_of

        def row_of(hit: Hit) -> Any:
            values = {}
            for name, field, path in row.columns:
                value = schema.load(field, hit.document.get(schema.key(field)))
                values[name] = _inside(value, path)
            return row.shape(values)

        return row_of

    def _group_maker(self) -> Callable[[Mapping[str, Any]], Any]:
        schema, row = self._store.schema, self._row
        assert row is not None

        def group_of(found: Mapping[str, Any]) -> Any:
            values = {
                name: schema.load(field, found[schema.key(field)]) for name, field, _ in row.columns
            }
            for name, aggregate in self._annotations.items():
                values[name] = aggregate.load(schema, found[name])
            return row.shape(values)

        return group_of

    # -- what has to be awaited ----------------------------------------------------------------

    def _is_asynchronous(self, instead: str) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} of {self._store.name} is asynchronous: use {instead}"
        )

    def __iter__(self) -> NoReturn:
        self._is_asynchronous("'async for', or [each async for each in ...]")

    def __len__(self) -> NoReturn:  # noqa: PLE0303
        self._is_asynchronous("'await .acount()'")

    def __bool__(self) -> NoReturn:  # noqa: PLE0304
        self._is_asynchronous("'await .aexists()'")

    def __contains__(self, item: object) -> NoReturn:
        self._is_asynchronous("'await .acontains(instance)'")

    if not TYPE_CHECKING:  # for whom there is no such attribute

        def __getattr__(self, name: str) -> NoReturn:
            if not name.startswith("_") and hasattr(type(self), f"a{name}"):
                raise AttributeError(
                    f"{type(self).__name__!r} has no {name!r}: it is asynchronous, use 'await "
                    f".a{name}(...)'"
                )
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def __repr__(self) -> str:
        label = self._store.model._meta.label
        return f"<{type(self).__name__} {label} in {self._store.name} {self._store.place!r}>"


def _inside(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
