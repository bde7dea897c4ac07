"""Model instances as the records of a COPY: column by column, so that no Python runs for each
value where Django's own preparation would return it as it is."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from inspect import getattr_static
from itertools import chain
from operator import itemgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.models import Field, Model
from django.db.models.expressions import DatabaseDefault
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute

from poolapp.managers.presave import only_reads, sets_the_time

Values = Sequence[Any]


class NotCopyable(Exception):
    """A field or a value that only an INSERT can take; says which."""


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "bigint": (int,),
    "boolean": (bool,),
    "bytea": (bytes, bytearray, memoryview),
    "char": (str,),
    "date": (datetime.date,),
    "double precision": (float,),
    "inet": (str, ipaddress.IPv4Address, ipaddress.IPv6Address),
    "integer": (int,),
    "interval": (datetime.timedelta,),
    "jsonb": (str,),
    "numeric": (Decimal,),
    "smallint": (int,),
    "text": (str,),
    "time": (datetime.time,),
    "timestamp with time zone": (datetime.datetime,),
    "uuid": (uuid.UUID,),
    "varchar": (str,),
}
"""Type of a column, without its length -> what is sent for it in binary."""

_EDGES: Final = frozenset({datetime.MINYEAR, datetime.MAXYEAR})
"""Years with a day, and a moment, that asyncpg takes for infinity."""

_DJANGOS: Final = ("django.db.models.fields", "django.contrib.postgres.fields")
_PREPARES: Final = ("get_db_prep_save", "get_db_prep_value", "get_prep_value", "to_python")
_PLACEHOLDERS: Final = ("get_placeholder", "get_placeholder_sql")  # since Django 6.1 the latter
_JUDGED_BY_DRIVER: Final = frozenset({"bigint", "char", "integer", "smallint", "text", "varchar"})
"""Of these asyncpg takes what Django would make the same of, and refuses all else: the values need
not be looked at before, where they are expected to be right."""
_NEVER_AS_IT_IS: Final = ("inet", "jsonb")


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """How the values of one field are had."""

    field: Field[Any, Any]
    kind: str
    """The type of the column, or of an array's elements."""
    depth: int
    """How many arrays are around it."""
    is_plain: bool
    """Whether Django prepares values as for its own field of this kind."""
    is_stored: bool
    """Whether saving takes the instance's attribute as it is."""
    is_moment: bool
    """Whether saving sets it to the time it is."""

    @classmethod
    def of(cls, field: Field[Any, Any], connection: Any) -> Column:
        """Raises NotCopyable."""
        kind, depth = str(field.db_type(connection)).lower(), 0
        while kind.endswith("[]"):
            kind, depth = kind[:-2], depth + 1
        kind = kind.partition("(")[0].strip()
        if kind not in _TYPES:
            raise NotCopyable(f"{field.name} is of the type {kind}")
        if not all(_is_djangos(field, name) for name in _PLACEHOLDERS):
            raise NotCopyable(f"{field.name} has SQL of its own around its values")
        return cls(
            field=field,
            kind=kind,
            depth=depth,
            is_plain=not depth
            and kind not in _NEVER_AS_IT_IS
            and all(
                _is_djangos(each, name)
                for name in _PREPARES
                for each in (field, getattr(field, "target_field", field))
            ),
            is_stored=only_reads(field) and _reads_plainly(field),
            is_moment=sets_the_time(field) and _reads_plainly(field),
        )

    @property
    def is_simple(self) -> bool:
        """Whether neither a class of the user's nor the database has a part in its values."""
        stored = self.is_stored or self.is_moment
        return self.is_plain and stored and not self.field.has_db_default()

    @property
    def element(self) -> str:
        """The type of an array of its values, without the brackets. Raises NotCopyable."""
        if self.depth:
            raise NotCopyable(f"{self.field.name} is an array, of which there are no arrays")
        # Alone it would be of one character.
        return "bpchar" if self.kind == "char" else self.kind

    def read(self, instances: Sequence[Model], rows: Sequence[dict[str, Any]]) -> Values:
        """What saving would take of the instances, whose dictionaries the rows are."""
        name = self.field.attname
        if self.is_stored:
            return [row[name] for row in rows]
        if self.is_moment:
            return [self.set_moment(instances, rows)] * len(rows)
        return [self.field.pre_save(each, True) for each in instances]

    def set_moment(self, instances: Sequence[Model], rows: Sequence[dict[str, Any]]) -> Any:
        """Set what saving sets to the time it is; that time."""
        if not self.is_moment:
            return None
        now = self.field.pre_save(instances[0], True)
        for row in rows:
            row[self.field.attname] = now
        return now

    def prepare(self, values: Values, types: set[type], connection: Any) -> Values:
        """The values, which are of these types, as they are sent; the very same sequence where
        nothing is to be done.

        Raises NotCopyable.
        """
        if self.are_as_sent(values, types):
            return values
        for each in types:
            if hasattr(each, "resolve_expression"):
                raise NotCopyable(f"{self.field.name} has an expression for a value")
        save, send = self.field.get_db_prep_save, self._sending(connection)
        saved = [save(value, connection=connection) for value in values]
        return [None if value is None else send(value) for value in saved]

    def are_as_sent(self, values: Values, types: set[type]) -> bool:
        """Whether the values, which are of these types, are what Django would send."""
        if not (self.is_plain and types <= {_TYPES[self.kind][0], type(None)}):
            return False
        there = [each for each in values if each is not None] if type(None) in types else values
        return not there or self._are_sound(there)

    def _are_sound(self, values: Values) -> bool:
        """Whether the values, of the right type, are among those that go as they are."""
        if self.kind == "numeric":
            return all(map(Decimal.is_finite, values))
        if self.kind == "time":
            return {each.tzinfo for each in values} == {None}
        if self.kind not in ("date", "timestamp with time zone"):
            return True
        try:
            edges = min(values), max(values)
        except TypeError:  # some have a time zone, and some do not
            return False
        aware = self.kind == "date" or edges[0].tzinfo is not None
        return aware and _EDGES.isdisjoint(each.year for each in edges)

    def _sending(self, connection: Any) -> Callable[[Any], Any]:
        """What makes a value that Django prepared for its driver one for COPY."""
        kinds = _TYPES[self.kind]

        def send(value: Any) -> Any:
            if self.kind == "jsonb":
                value = _json(value)
            elif self.kind == "timestamp with time zone" and isinstance(value, datetime.datetime):
                value = _with_zone(value, connection)
            elif not isinstance(value, kinds):
                value = getattr(value, "obj", value)  # the driver's Binary
            if not isinstance(value, kinds) or getattr(value, "year", None) in _EDGES:
                raise NotCopyable(f"{self.field.name} has a {type(value).__name__} for a value")
            return value

        nested: Callable[[Any], Any] = send
        for _ in range(self.depth):
            nested = _for_each(nested)
        return nested


def _for_each(send: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def send_each(value: Any) -> Any:
        if not isinstance(value, list):
            raise NotCopyable(f"a {type(value).__name__} stands for an array")
        return [None if each is None else send(each) for each in value]

    return send_each


def _json(value: Any) -> Any:
    """Of the driver's wrapper around a value: its text."""
    if hasattr(value, "obj"):
        return (value.dumps or json.dumps)(value.obj)
    return value


def _with_zone(value: datetime.datetime, connection: Any) -> datetime.datetime:
    """What the server makes of a time without a zone: it takes standard time where the clock
    shows it twice, or not at all."""
    if value.tzinfo is not None:
        return value
    zone = ZoneInfo(connection.timezone_name)
    return min(
        (value.replace(tzinfo=zone, fold=fold) for fold in (0, 1)),
        key=lambda each: each.utcoffset() or datetime.timedelta(),
    )


def _is_djangos(field: Any, name: str) -> bool:
    method = getattr(type(field), name, None)
    return method is None or method.__module__.startswith(_DJANGOS)


def _reads_plainly(field: Any) -> bool:
    """Whether the attribute is nothing but the value in the instance's dictionary."""
    attribute = getattr_static(field.model, field.attname, None)
    return type(attribute) in (DeferredAttribute, ForeignKeyDeferredAttribute)


def columns_of(fields: Iterable[Field[Any, Any]], connection: Any) -> list[Column]:
    """Raises NotCopyable."""
    return [Column.of(field, connection) for field in fields]


def prepared(
    instances: Sequence[Model], columns: Iterable[Column], connection: Any
) -> list[tuple[Column, Values]]:
    """The instances' values, prepared as Django would: but for the columns whose values are all
    the database's own default.

    Raises NotCopyable, and what the preparation of a value raises.
    """
    rows = [each.__dict__ for each in instances]
    found = []
    for column in columns:
        try:
            values = column.read(instances, rows)
        except KeyError:
            raise NotCopyable(f"{column.field.name} was not loaded") from None
        types = set(map(type, values))
        if types != {DatabaseDefault}:
            found.append((column, column.prepare(values, types, connection)))
    return found


def records(
    instances: Sequence[Model], columns: Sequence[Column], connection: Any
) -> tuple[Sequence[Column], Iterable[tuple[Any, ...]]]:
    """The same, record by record.

    Where no code but Django's own has a part in it, they are prepared while they are sent: the
    server is busy with the first ones already. What that finds unfit it raises then.
    """
    if len(columns) > 1 and all(each.is_simple for each in columns):
        return columns, chain.from_iterable(_simple_records(instances, columns, connection))
    found = prepared(instances, columns, connection)
    return [column for column, _ in found], zip(*(values for _, values in found), strict=True)


def _simple_records(
    instances: Sequence[Model], columns: Sequence[Column], connection: Any
) -> Iterator[Iterable[tuple[Any, ...]]]:
    take = itemgetter(*(each.field.attname for each in columns))
    looked_at = columns
    for part in _slices(instances):
        rows = [each.__dict__ for each in part]
        for column in columns:
            column.set_moment(part, rows)
        try:
            taken = list(map(take, rows))
        except KeyError as error:
            raise NotCopyable(f"{error} was not loaded") from None
        if all(each.are_as_sent(*_typed(each, rows)) for each in looked_at):
            yield taken
            looked_at = [each for each in columns if each.kind not in _JUDGED_BY_DRIVER]
        else:
            yield zip(
                *(each.prepare(*_typed(each, rows), connection) for each in columns), strict=True
            )
            looked_at = columns


def _typed(column: Column, rows: Sequence[dict[str, Any]]) -> tuple[Values, set[type]]:
    name = column.field.attname
    values = [row[name] for row in rows]
    return values, set(map(type, values))


def _slices(instances: Sequence[Model], size: int = 1000) -> Iterator[Sequence[Model]]:
    for start in range(0, len(instances), size):
        yield instances[start : start + size]


def returned_name(field: Field[Any, Any], connection: Any) -> str:
    """The quoted column of a field whose values Django takes as the driver gives them.

    Raises NotCopyable for others.
    """
    kind = str(field.db_type(connection)).partition("(")[0]
    converted = field.get_db_converters(connection) or connection.ops.get_db_converters(
        field.get_col(field.model._meta.db_table)
    )
    if kind not in _GIVEN_ALIKE or converted:
        raise NotCopyable(f"what the database makes of {field.name} has to be converted")
    return str(connection.ops.quote_name(field.column))


_GIVEN_ALIKE: Final = ("bigint", "boolean", "integer", "smallint", "text", "varchar")
