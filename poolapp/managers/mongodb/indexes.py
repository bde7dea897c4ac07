"""The indexes that a model declares, on its collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, NotSupportedError
from django.db.models import Field, Index, Model, Q, UniqueConstraint

from poolapp.managers.documents.conditions import Condition, Every, Some, Where
from poolapp.managers.documents.kinds import INTEGERS, TEXTS, Kind, kind_of
from poolapp.managers.documents.lookups import Lookups
from poolapp.managers.mongodb.codec import is_wide
from poolapp.managers.mongodb.errors import DUPLICATE, words
from poolapp.managers.mongodb.matching import LOOKUPS, Matcher

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection

    from poolapp.managers.mongodb.store import MongoStore

ASCENDING, DESCENDING = 1, -1

_EXISTS = 48


@dataclass(frozen=True, slots=True)
class Wanted:
    """One index. ``partial`` is the query of the documents that it has, empty for all."""

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    partial: dict[str, Any] = field(default_factory=dict)

    def same_as(self, other: Wanted) -> bool:
        mine = (self.keys, self.unique, _plain(self.partial))
        return mine == (other.keys, other.unique, _plain(other.partial))

    def __str__(self) -> str:
        keys = ", ".join(f"{'-' if way == DESCENDING else ''}{name}" for name, way in self.keys)
        return f"{'unique ' if self.unique else ''}index {self.name!r} ({keys})"


class Declared:
    """What the model of a store, and its parents, declare."""

    def __init__(self, store: MongoStore) -> None:
        self._store = store
        self._lookups = Lookups(store.schema, LOOKUPS, store.name)
        self._matcher = Matcher(store.codec)
        self.problems: list[str] = []
        """What is declared and can't be had."""
        self.wanted: list[Wanted] = []
        for made in self._all():
            if not any(made.same_as(other) for other in self.wanted):
                self.wanted.append(made)

    def _all(self) -> Iterator[Wanted]:
        for each in self._store.schema.fields:
            if each.primary_key or each is self._store.schema.pk:
                continue
            if each.unique:
                yield self._unique(None, [each])
            elif each.db_index:  # type: ignore[attr-defined]
                yield self._made(None, [(each, ASCENDING)])
        meta = self._store.model._meta
        models: list[type[Model]] = [self._store.model, *meta.get_parent_list()]
        for model in models:
            for names in model._meta.unique_together:
                yield self._unique(None, [self._lookups.field(name) for name in names])
            for index in model._meta.indexes:
                yield from self._tried(index, self._index)
            for constraint in model._meta.constraints:
                if isinstance(constraint, UniqueConstraint):
                    yield from self._tried(constraint, self._constraint)

    def _tried(self, declared: Any, make: Any) -> Iterator[Wanted]:
        try:
            yield make(declared)
        except NotSupportedError as error:
            self.problems.append(f"{type(declared).__name__} {declared.name!r}: {error}")

    def _index(self, index: Index) -> Wanted:
        if type(index) is not Index:
            raise NotSupportedError("is of one database's own kind; use Index(fields=[...])")
        if index.expressions:
            raise NotSupportedError("is of expressions; use Index(fields=[...])")
        keys = [
            (self._lookups.field(name), DESCENDING if way else ASCENDING)
            for name, way in index.fields_orders
        ]
        return self._made(index.name, keys, partial=self._partial(index.condition))

    def _constraint(self, constraint: UniqueConstraint) -> Wanted:
        if constraint.expressions:
            raise NotSupportedError("is of expressions; use UniqueConstraint(fields=[...])")
        if constraint.deferrable is not None:
            raise NotSupportedError("is deferrable, which MongoDB's never are")
        fields = [self._lookups.field(name) for name in constraint.fields]
        partial = self._partial(constraint.condition)
        if getattr(constraint, "nulls_distinct", None) is False:
            keys = [(each, ASCENDING) for each in fields]
            return self._made(constraint.name, keys, unique=True, partial=partial)
        return self._unique(constraint.name, fields, partial)

    def _unique(
        self, name: str | None, fields: Sequence[Field[Any, Any]], partial: Any = None
    ) -> Wanted:
        """Nulls are equal to nobody, as in a database: documents that have one are left out."""
        present = [_present(self._store.codec.name(each), each) for each in fields if each.null]
        parts = [*present, *([partial] if partial else [])]
        keys = [(each, ASCENDING) for each in fields]
        return self._made(name, keys, unique=True, partial=_both(parts))

    def _made(
        self,
        name: str | None,
        fields: Sequence[tuple[Field[Any, Any], int]],
        *,
        unique: bool = False,
        partial: dict[str, Any] | None = None,
    ) -> Wanted:
        keys: list[tuple[str, int]] = []
        for each, way in fields:
            keys.append((self._store.codec.name(each), way))
            if self._store.codec.is_split(each):
                keys.append((self._store.codec.microseconds(each), way))
        default = "_".join(f"{key}_{way}" for key, way in keys)
        return Wanted(name or default, tuple(keys), unique, partial or {})

    # -- conditions ----------------------------------------------------------------------------

    def _partial(self, condition: Q | None) -> dict[str, Any]:
        """A condition in the few operators that MongoDB takes there."""
        tree = None if condition is None else self._lookups.condition(condition)
        return {} if tree is None else self._filter(tree)

    def _filter(self, condition: Condition) -> dict[str, Any]:
        match condition:
            case Every(parts) if parts:
                return {"$and": [self._filter(part) for part in parts]}
            case Some(parts) if parts:
                return {"$or": [self._filter(part) for part in parts]}
            case Where(each, (), "isnull", False):
                return _present(self._store.codec.name(each), each)
            case Where(_, (), lookup, _) if lookup in ("exact", "in", "gt", "gte", "lt", "lte"):
                query = self._matcher.query(condition)
                if not _operators(query) & {"$expr", "$not"}:
                    return query
        raise NotSupportedError(
            "its condition is not one of those that MongoDB takes for an index: exact, in, gt, "
            "gte, lt, lte and isnull=False, joined by & and |"
        )


def _present(name: str, field: Field[Any, Any]) -> dict[str, Any]:
    """A query of the documents where a field is not null. Not by its type: the server uses such an
    index only for queries that ask for the type as well."""
    kind = kind_of(field)
    least: Any
    if kind in TEXTS or is_wide(field):
        least = ""
    elif kind in INTEGERS or kind in (Kind.FLOAT, Kind.DECIMAL, Kind.DURATION, Kind.TIME):
        least = float("-inf")
    elif kind in (Kind.DATE, Kind.DATETIME):
        least = datetime.min
    elif kind is Kind.BOOLEAN:
        least = False
    elif kind in (Kind.UUID, Kind.BINARY):
        least = b""
    else:
        least = []
    return {name: {"$gte": least}}


def _both(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if len({name for part in parts for name in part}) == sum(len(part) for part in parts):
        return {name: each for part in parts for name, each in part.items()}
    return {"$and": list(parts)}


def _operators(query: Any) -> set[str]:
    if isinstance(query, dict):
        inner = [_operators(each) for each in query.values()]
        return set(query).union(*inner)
    if isinstance(query, list):
        return set().union(*map(_operators, query))
    return set()


def _plain(value: Any) -> Any:
    """Comparable: what the server gives back has ordered dictionaries."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


async def ensured(store: MongoStore, collection: AsyncCollection[dict[str, Any]]) -> list[str]:
    """Make the collection and what it lacks of indexes; a sentence for each.

    Raises DatabaseError, after all was made that could be, with what differs.
    """
    from pymongo import IndexModel
    from pymongo.errors import OperationFailure

    declared = Declared(store)
    problems = [f"{store.what}: {each}" for each in declared.problems]
    said: list[str] = []
    there = await _there(collection)
    if there is None:
        try:
            await collection.database.create_collection(collection.name)
            said.append(f"{store.what}: made the collection.")
        except OperationFailure as error:
            if error.code != _EXISTS:  # by another process, meanwhile
                raise
        there = []
    for wanted in declared.wanted:
        if any(wanted.same_as(each) for each in there):
            continue
        namesake = next((each for each in there if each.name == wanted.name), None)
        if namesake is not None:
            problems.append(
                f"{store.what}: there is an {namesake}, which differs from the {wanted} that is "
                "declared; drop it, and ensure again"
            )
            continue
        how: dict[str, Any] = {"unique": True} if wanted.unique else {}
        if wanted.partial:
            how["partialFilterExpression"] = wanted.partial
        model = IndexModel(list(wanted.keys), name=wanted.name, **how)
        try:
            await collection.create_indexes([model])
        except OperationFailure as error:
            if error.code in DUPLICATE:
                reason = "there are documents that have the same values"
            else:
                reason = words(error)
            problems.append(f"{store.what}: the {wanted} can't be made: {reason}")
        else:
            said.append(f"{store.what}: made the {wanted}.")
    if problems:
        raise DatabaseError(". ".join([*said, *problems]))
    return said


async def _there(collection: AsyncCollection[dict[str, Any]]) -> list[Wanted] | None:
    """The indexes that there are; None without a collection."""
    names = await collection.database.list_collection_names(filter={"name": collection.name})
    if not names:
        return None
    return [
        Wanted(
            each["name"],
            tuple(
                (key, int(way)) for key, way in each["key"].items() if isinstance(way, int | float)
            ),
            bool(each.get("unique")),
            _plain(each.get("partialFilterExpression") or {}),
        )
        async for each in await collection.list_indexes()
    ]
