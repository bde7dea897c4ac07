"""``aget()`` by plain values, compiled once.

Building and compiling the query costs Django several times what PostgreSQL takes to answer it, and
for ``aget(pk=5)`` and ``aget(pk=6)`` it is the same query. Which one it is shows in the state of
the QuerySet: a plan is kept for one that has no more than ``select_related``, ``only`` and
``defer``, and is asked for plain fields by values of their own type. Everything else is compiled
anew each time, by Django.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final

import django.db.models
from django.conf import settings
from django.core.exceptions import EmptyResultSet, FieldDoesNotExist
from django.core.signals import setting_changed
from django.db.models import Field, Model, fields
from django.db.models.query import ModelIterable
from django.db.models.sql.query import Query

from poolapp.core.lease import Site
from poolapp.managers.postgres.going import pool_of, run

FETCH_MODE = getattr(django.db.models, "FETCH_ONE", None)
"""Of fields that were left out: the usual one. Others came with Django 6.1."""

MOST = 1000
"""Plans that are kept; the one that was not used for the longest is dropped."""

LIMIT = 21
"""Rows that Django's ``get()`` asks for, to be able to say how many there were."""

_VALUES: Final[Mapping[type[Field[Any, Any]], type]] = {
    fields.AutoField: int,
    fields.BigAutoField: int,
    fields.SmallAutoField: int,
    fields.IntegerField: int,
    fields.BigIntegerField: int,
    fields.SmallIntegerField: int,
    fields.PositiveIntegerField: int,
    fields.PositiveBigIntegerField: int,
    fields.PositiveSmallIntegerField: int,
    fields.CharField: str,
    fields.TextField: str,
    fields.SlugField: str,
    fields.EmailField: str,
    fields.URLField: str,
    fields.UUIDField: uuid.UUID,
}
"""Fields whose values go to the database as they are, if they are of this very type."""

_CHOSEN: Final = frozenset({"deferred_loading", "select_related"})
_OF_NO_MATTER: Final = frozenset(
    {
        "alias_cols", "alias_map", "alias_refcount", "base_table", "model", "table_map",
        "used_aliases",
    }
)  # fmt: skip
"""Of a Query with no condition and no annotation."""

Key = tuple[Any, ...]


class Plan:
    """A compiled query that wants values only."""

    __slots__ = ("_bounds", "_make", "_sql", "_timezone")

    def __init__(self, compiler: Any, sql: str, bounds: tuple[Any, ...]) -> None:
        self._make = compiler.maker()
        self._sql = sql
        self._timezone = compiler.connection.timezone
        self._bounds = bounds

    def takes(self, values: tuple[Any, ...]) -> bool:
        """Whether a column can hold such a number; for others Django asks no database."""
        return all(
            bounds is None or bounds[0] <= value <= bounds[1]
            for bounds, value in zip(self._bounds, values, strict=True)
        )

    async def fetch(self, database: str, values: tuple[Any, ...], site: Site) -> list[Any]:
        """The instances."""
        rows = await pool_of(database).select(self._sql, values, self._timezone, site)
        return list(self._make(rows)) if rows else []


_plans: OrderedDict[Key, Plan | None] = OrderedDict()


def key_of(queryset: Any, named: Mapping[str, Any]) -> Key | None:
    """What makes two calls of ``aget(**named)`` the same query; None where only Django can say."""
    query = queryset._query
    if (
        type(query) is not Query
        or queryset._iterable_class is not ModelIterable
        or queryset._known_related_objects
        or queryset._prefetch_related_lookups
        or queryset._deferred_filter is not None
        or getattr(queryset, "_fetch_mode", FETCH_MODE) is not FETCH_MODE
        or settings.DEBUG  # which has the statements logged
    ):
        return None
    model = queryset.model
    names = tuple(sorted(named))
    for name in names:
        if type(named[name]) is not _wanted(model, name):
            return None
    for name, value in query.__dict__.items():
        is_said = name not in _CHOSEN and name not in _OF_NO_MATTER
        if is_said and value and value is not getattr(Query, name, None):
            return None
    deferred, is_deferred = query.deferred_loading
    return model, names, _frozen(query.select_related), frozenset(deferred), is_deferred


@lru_cache(maxsize=4096)
def _wanted(model: type[Model], name: str) -> type | None:
    """The type of the values of a plain field."""
    try:
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return _VALUES.get(type(field))  # type: ignore[arg-type]


def _frozen(value: Any) -> Any:
    """``select_related`` of a Query: a flag, or names in names."""
    if isinstance(value, dict):
        return tuple((name, _frozen(inner)) for name, inner in value.items())
    return value


async def get(queryset: Any, key: Key, named: Mapping[str, Any], site: Site) -> Any:
    """What ``queryset.get(**named)`` returns, or raises."""
    database = queryset.db
    key = (database, *key)
    if key not in _plans:
        _keep(key, await run(site, lambda: database, partial(_made, queryset, named)))
    plan = _plans.get(key)
    values = tuple(named[name] for name in sorted(named))
    if plan is not None and plan.takes(values):
        _plans.move_to_end(key)
        found = await plan.fetch(database, values, site)
        if len(found) == 1:
            return found[0]
        if not found:
            model = queryset.model
            raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.")
    return await run(site, lambda: database, partial(queryset.get, **named))


def _keep(key: Key, plan: Plan | None) -> None:
    _plans[key] = plan
    if len(_plans) > MOST:
        _plans.popitem(last=False)


def _made(queryset: Any, named: Mapping[str, Any]) -> Plan | None:
    """Called in native code. None: the statement does not take the values as they are."""
    query = queryset.filter(**named).order_by().query
    query.set_limits(high=LIMIT)
    compiler = query.get_compiler(using=queryset.db)
    try:
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return None
    if tuple(params) != tuple(named[name] for name in sorted(named)):
        return None
    operations = compiler.connection.ops
    bounds = []
    for name in sorted(named):
        field = queryset.model._meta.pk if name == "pk" else queryset.model._meta.get_field(name)
        kind = field.get_internal_type()
        is_number = _VALUES[type(field)] is int
        bounds.append(operations.integer_field_range(kind) if is_number else None)
    return Plan(compiler, sql, tuple(bounds))


def _forget(**_: Any) -> None:
    _plans.clear()


setting_changed.connect(_forget, dispatch_uid="poolapp.managers.postgres.plans")
