"""Model instances from rows, without a call of ``Model.__init__`` for each where nobody would tell
the difference."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import django.db.models
from django.db.models import Model, query
from django.db.models.base import ModelState
from django.db.models.query import get_related_populators
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init


class Swift:
    """Stands in for a model class where Django makes instances from rows."""

    __slots__ = ("_meta", "_model", "_new")

    def __init__(self, model: type[Model]) -> None:
        self._meta = model._meta
        self._model = model
        self._new = model.__new__

    def from_db(
        self, db: str, field_names: Iterable[str], values: Sequence[Any], **fetching: Any
    ) -> Model:
        """What the model's own ``from_db`` returns."""
        made = self._new(self._model)
        state = ModelState()
        state.adding = False
        state.db = db
        if fetching:  # from Django 6.1 on
            state.__dict__.update(fetching)
        attributes = made.__dict__
        attributes["_state"] = state
        attributes.update(zip(field_names, values, strict=True))
        return made


@lru_cache(maxsize=1024)
def _is_plain(model: type[Model]) -> bool:
    """Whether making an instance just sets its attributes."""
    return (
        model.from_db.__func__ is Model.from_db.__func__  # type: ignore[attr-defined]
        and model.__init__ is Model.__init__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and not any(hasattr(base, "__slots__") for base in model.__mro__[:-1])
        and all(_is_stored(model, field.attname) for field in model._meta.concrete_fields)
    )


def _is_stored(model: type[Model], name: str) -> bool:
    """Whether setting the attribute of a new instance just stores it."""
    attribute = inspect.getattr_static(model, name, None)
    # That of a foreign key forgets the cached object when it is set: a new instance has none.
    return isinstance(attribute, DeferredAttribute) and (
        type(attribute).__module__ in _DJANGOS or not hasattr(type(attribute), "__set__")
    )


_DJANGOS = ("django.db.models.query_utils", "django.db.models.fields.related_descriptors")


def _is_watched(model: type[Model]) -> bool:
    return pre_init.has_listeners(model) or post_init.has_listeners(model)


def _stand_in(model: type[Model]) -> Any:
    return model if _is_watched(model) or not _is_plain(model) else Swift(model)


def swiftly(klass_info: dict[str, Any]) -> dict[str, Any]:
    """A compiler's plan of which columns are which models', with stand-ins for those."""
    return {
        **klass_info,
        "model": _stand_in(klass_info["model"]),
        "related_klass_infos": [
            swiftly(each) for each in klass_info.get("related_klass_infos", ())
        ],
    }


_FETCHING = (
    {"fetch_mode": django.db.models.FETCH_ONE} if hasattr(django.db.models, "FETCH_ONE") else {}
)
"""How fields that were left out are fetched later: from Django 6.1 on there are several ways."""


def _from_db(model: Any) -> Any:
    """The model's ``from_db``, which is told of that way."""
    told = getattr(query, "_get_from_db", None)
    if told is not None:  # a Django that lets a model's own be without the parameter
        return told(model, *_FETCHING.values())
    return partial(model.from_db, **_FETCHING)


class Maker:
    """Makes the instances of one compiled query, again and again."""

    def __init__(self, compiler: Any) -> None:
        self._compiler = compiler
        select = [column for column, *_ in compiler.select]
        first, last = _range(compiler.klass_info)
        self._columns = slice(first, last)
        self._names = [column.target.attname for column in select[first:last]]
        self._converters = compiler.get_converters(select)
        self._models = list(_models(compiler.klass_info))
        self._watched: bool | None = None

    def __call__(self, rows: Iterable[Sequence[Any]]) -> Iterator[Model]:
        compiler = self._compiler
        watched = any(map(_is_watched, self._models))
        if watched is not self._watched:  # somebody began, or ceased, to listen
            info = swiftly(compiler.klass_info)
            self._make = _from_db(info["model"])
            self._populators = get_related_populators(
                info, compiler.select, compiler.using, *_FETCHING.values()
            )
            self._watched = watched
        if self._converters:
            rows = compiler.apply_converters(rows, self._converters)
        for row in rows:
            made: Model = self._make(compiler.using, self._names, row[self._columns])
            for each in self._populators:
                each.populate(row, made)
            yield made


def _range(klass_info: dict[str, Any]) -> tuple[int, int]:
    return klass_info["select_fields"][0], klass_info["select_fields"][-1] + 1


def _models(klass_info: dict[str, Any]) -> Iterator[type[Model]]:
    yield klass_info["model"]
    for each in klass_info.get("related_klass_infos", ()):
        yield from _models(each)


@lru_cache
def swift(compiler: Any) -> Any:
    """A class of compilers whose rows become instances swiftly."""

    class SwiftCompiler(compiler):  # type: ignore[misc]
        klass_info: dict[str, Any] | None

        def maker(self) -> Maker:
            """For the rows of this query of a model, compiled before."""
            return Maker(self)

        def execute_sql(self, *args: Any, **named: Any) -> Any:
            results = super().execute_sql(*args, **named)
            if self.klass_info:
                self.klass_info = swiftly(self.klass_info)
            return results

    # Its repr is seen in messages.
    SwiftCompiler.__name__, SwiftCompiler.__qualname__ = compiler.__name__, compiler.__qualname__
    return SwiftCompiler


def swift_operations(operations: Any) -> Any:
    """A database's operations whose compilers are such ones."""

    class SwiftOperations(operations):  # type: ignore[misc]
        def compiler(self, compiler_name: str) -> Any:
            found = super().compiler(compiler_name)
            return swift(found) if compiler_name == "SQLCompiler" else found

    return SwiftOperations
