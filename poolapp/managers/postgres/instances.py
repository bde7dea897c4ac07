"""Model instances whose asynchronous methods run natively."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from django.db import router

from poolapp.managers.postgres.going import natively

if TYPE_CHECKING:
    from django.db.models import Model as _Instance
else:
    _Instance = object


class NativeModel(_Instance):
    """``class Article(NativeModel, models.Model)``: ``asave``, ``adelete`` and
    ``arefresh_from_db`` run on asyncpg, without a thread. They are what Django's are otherwise."""

    if not TYPE_CHECKING:

        def asave(self, *args: Any, **options: Any) -> Coroutine[Any, Any, None]:
            return natively(written(self, options), self.save, *args, **options)

        def adelete(self, *args: Any, **options: Any) -> Coroutine[Any, Any, Any]:
            return natively(written(self, options), self.delete, *args, **options)

        def arefresh_from_db(self, *args: Any, **options: Any) -> Coroutine[Any, Any, None]:
            return natively(read(self, options), self.refresh_from_db, *args, **options)

        asave.alters_data = True
        adelete.alters_data = True


def written(instance: Any, options: Mapping[str, Any]) -> Callable[[], str]:
    """Where Django would write the instance."""
    return lambda: options.get("using") or router.db_for_write(type(instance), instance=instance)


def read(instance: Any, options: Mapping[str, Any]) -> Callable[[], str]:
    """Where Django would read it again."""
    return lambda: (
        options.get("using")
        or instance._state.db
        or router.db_for_read(type(instance), instance=instance)
    )
