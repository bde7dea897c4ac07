"""The manager whose QuerySets run natively."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router
from django.db.models import prefetch_related_objects
from django.db.models.query import QuerySet
from django.utils.connection import ConnectionDoesNotExist

from poolapp.databases import pool_for
from poolapp.managers.postgres.going import natively
from poolapp.managers.postgres.instances import read, written
from poolapp.managers.postgres.queryset import M_co, PostgresQuerySet, native_class

if TYPE_CHECKING:
    from poolapp.managers.postgres.raw import PostgresRawQuerySet

    _Manager = models.Manager
else:
    _Manager = models.Manager.from_queryset(PostgresQuerySet)


class PostgresManager(_Manager[M_co]):
    """``rows = PostgresManager()`` beside ``objects``: the same QuerySets, run on asyncpg.

    The database is the one that Django's routers or ``using()`` name; the pool is that of POOLS
    with this ``DATABASE``.
    """

    if TYPE_CHECKING:
        # Made at run time, of the methods of the QuerySet.

        def get_queryset(self) -> PostgresQuerySet[M_co]: ...
        def all(self) -> PostgresQuerySet[M_co]: ...
        def none(self) -> PostgresQuerySet[M_co]: ...
        def using(self, alias: str | None) -> PostgresQuerySet[M_co]: ...
        def filter(self, *args: Any, **kwargs: Any) -> PostgresQuerySet[M_co]: ...
        def exclude(self, *args: Any, **kwargs: Any) -> PostgresQuerySet[M_co]: ...
        def order_by(self, *field_names: Any) -> PostgresQuerySet[M_co]: ...
        def raw(self, *args: Any, **kwargs: Any) -> PostgresRawQuerySet: ...
        def abulk_create(
            self, objs: Iterable[M_co] | AsyncIterable[M_co], *args: Any, **named: Any
        ) -> Coroutine[Any, Any, list[M_co]]: ...
        def acopy(
            self, objs: Iterable[M_co] | AsyncIterable[M_co], batch_size: int = ...
        ) -> Coroutine[Any, Any, int]: ...

    if not TYPE_CHECKING:  # what it makes is known to the plugin of django-stubs

        @classmethod
        def from_queryset(
            cls, queryset_class: type[QuerySet[Any]], class_name: str | None = None
        ) -> type[Self]:
            """A manager with the methods of a QuerySet class of one's own, be it a PostgresQuerySet
            or a plain QuerySet."""
            return super().from_queryset(
                native_class(queryset_class),
                class_name or f"{cls.__name__}From{queryset_class.__name__}",
            )

    def __init_subclass__(cls, **named: Any) -> None:
        """Have the asynchronous methods of a related manager, which Django makes of this class for
        ``article.tags``, run natively as well."""
        super().__init_subclass__(**named)
        if cls.__module__ in _MAKES_RELATED_MANAGERS:
            for name in _RELATED:
                if f"a{name}" in vars(cls):
                    setattr(cls, f"a{name}", _related(name))

    def check(self, **options: Any) -> list[CheckMessage]:
        """A warning when no pool leads to the model's database: of Django's system checks."""
        try:
            pool_for(self.db)
        except (ConnectionDoesNotExist, ImproperlyConfigured) as error:
            name = f"{type(self).__name__} {self}"
            text, hint = f"{name} can't be used: {error}.", "Add the pool, or use another manager."
            return [CheckWarning(text, hint=hint, obj=self.model, id="poolapp.W009")]
        return []

    # -- instances -----------------------------------------------------------------------------

    def asave(self, instance: Any, **options: Any) -> Coroutine[Any, Any, None]:
        """``instance.save(**options)``, natively."""
        return self._with(written, instance, "save", options)

    def adelete(
        self, instance: Any, **options: Any
    ) -> Coroutine[Any, Any, tuple[int, dict[str, int]]]:
        """``instance.delete(**options)``, natively: with all that Django deletes for it."""
        return self._with(written, instance, "delete", options)

    def arefresh(
        self, instance: Any, fields: Sequence[str] | None = None, **options: Any
    ) -> Coroutine[Any, Any, None]:
        """``instance.refresh_from_db(fields=fields, **options)``, natively."""
        return self._with(read, instance, "refresh_from_db", {"fields": fields, **options})

    def _with(
        self, database: Any, instance: Any, name: str, options: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        if not isinstance(instance, self.model):
            raise TypeError(
                f"{self} is for instances of {self.model.__name__}, not {type(instance).__name__}"
            )
        if self._db is not None:
            options.setdefault("using", self._db)
        return natively(database(instance, options), getattr(instance, name), **options)

    def aprefetch(self, instances: Iterable[M_co], *lookups: Any) -> Coroutine[Any, Any, None]:
        """Django's ``prefetch_related_objects(instances, *lookups)``, natively."""
        return natively(lambda: self.db, prefetch_related_objects, list(instances), *lookups)


# -- related managers ------------------------------------------------------------------------------

_MAKES_RELATED_MANAGERS = (
    "django.db.models.fields.related_descriptors",
    "django.contrib.contenttypes.fields",
)

_RELATED = ("add", "clear", "create", "get_or_create", "remove", "set", "update_or_create")


def _related(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **named: Any) -> Any:
        def database() -> str:
            return self._db or router.db_for_write(self.model, instance=self.instance)

        return natively(database, getattr(self, name), *args, **named)

    method.__name__ = f"a{name}"
    method.alters_data = True  # type: ignore[attr-defined]
    return method
