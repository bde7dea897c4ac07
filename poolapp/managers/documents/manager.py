"""What a model declares: documents of its own, in the server of a pool."""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast

from django.db.models import Model, Q

from poolapp.managers.documents.queryset import DocumentQuerySet
from poolapp.managers.documents.store import Store

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    M = TypeVar("M", bound=Model)
    Documents_co = TypeVar(
        "Documents_co", bound=DocumentQuerySet[Any], covariant=True, default=DocumentQuerySet[M]
    )
else:
    from typing import TypeVar

    M = TypeVar("M", bound=Model)
    Documents_co = TypeVar("Documents_co", bound=DocumentQuerySet[Any], covariant=True)

QUERYSET_ONLY = frozenset({"adelete", "aupdate", "selection"})
"""What a manager does not have, so that nothing is done to all documents by accident: say
``.all()``."""


class DocumentManager(ABC, Generic[M, Documents_co]):
    """Beside ``objects``, never in its place: Django does not know it as a manager, so that it is
    not the model's default one.

    Accessible from the class alone, as Django's are; through abstract base classes, where each
    model that inherits has documents of its own place (see ``place``).
    """

    queryset_class: ClassVar[type[DocumentQuerySet[Any]]] = DocumentQuerySet

    server: ClassVar[str]
    """What its pool has to be one of: ``"Redis or Valkey"``."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Methods that tell a pool of that kind from others."""

    name: str = ""
    model: type[M]

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self._bound: dict[type[Model], Self] = {}
        self._stores: dict[str, Store] = {}

    @abstractmethod
    def make_store(self, alias: str) -> Store:
        """The store of ``self.model`` in the pool of an alias; called once for each."""

    def overlaps(self, other: DocumentManager[Any]) -> bool:
        """Whether a document of the one could be taken for one of the other: told by a system
        check. Called for two managers of one class and one alias."""
        return self.store().place == other.store().place

    def store(self, alias: str | None = None) -> Store:
        """The store that everything here goes to."""
        alias = alias or self.pool
        if alias not in self._stores:
            self._stores[alias] = self.make_store(alias)
        return self._stores[alias]

    def get_queryset(self) -> Documents_co:
        """What every method here begins with; override it to leave something out."""
        return cast(Documents_co, self.queryset_class(self, self.store()))

    def all(self) -> Documents_co:
        return self.get_queryset()

    if TYPE_CHECKING:
        # Found at run time in the QuerySet, as its other methods are: see __getattr__.

        def using(self, alias: str) -> Documents_co: ...
        def none(self) -> Documents_co: ...
        def filter(self, *conditions: Q, **lookups: Any) -> Documents_co: ...
        def exclude(self, *conditions: Q, **lookups: Any) -> Documents_co: ...
        def order_by(self, *names: Any) -> Documents_co: ...
        def only(self, *names: str) -> Documents_co: ...
        def defer(self, *names: str | None) -> Documents_co: ...
        async def aget(self, *conditions: Q, **lookups: Any) -> M: ...
        async def afirst(self) -> M | None: ...
        async def alast(self) -> M | None: ...
        async def acount(self) -> int: ...
        async def aexists(self) -> bool: ...
        async def acreate(self, **fields: Any) -> M: ...
        async def aget_or_create(
            self, defaults: Mapping[str, Any] | None = None, **lookups: Any
        ) -> tuple[M, bool]: ...
        async def aupdate_or_create(
            self,
            defaults: Mapping[str, Any] | None = None,
            create_defaults: Mapping[str, Any] | None = None,
            **lookups: Any,
        ) -> tuple[M, bool]: ...

    async def ensure(self) -> list[str]:
        """Make what has to be there before the first write; see ``manage.py poolensure``."""
        return await self.store().ensure()

    @classmethod
    def from_queryset(
        cls, queryset_class: type[DocumentQuerySet[Any]], class_name: str | None = None
    ) -> Any:
        """A manager class with the methods of this QuerySet, a subclass of ``cls``'s own. No type
        checker can tell them; ``class Own(MongoManager[Note])`` with annotated methods it can."""
        name = class_name or f"{cls.__name__}From{queryset_class.__name__}"
        return type(name, (cls,), {"queryset_class": queryset_class})

    # -- in the model --------------------------------------------------------------------------

    def contribute_to_class(self, model: type[M], name: str) -> None:
        self.name = name
        setattr(model, name, self)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name  # of a mixin that is no model

    def __get__(self, instance: None, owner: type[Model]) -> Self:
        if instance is not None:
            raise AttributeError(f"{self.name!r} isn't accessible via {owner.__name__} instances")
        if owner._meta.abstract:
            raise AttributeError(f"{self.name!r} isn't available; {owner.__name__} is abstract")
        bound = self._bound.get(owner)
        if bound is None:
            bound = copy.copy(self)
            bound.model = owner  # type: ignore[assignment]
            bound._stores = {}
            self._bound[owner] = bound
        return bound

    def label(self) -> str:
        """``app_model``, for the name of a place where none is given; a proxy has that of the
        model it stands for."""
        concrete = self.model._meta.concrete_model or self.model
        return re.sub(r"[^a-z0-9_]", "_", concrete._meta.label_lower)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in QUERYSET_ONLY or "model" not in self.__dict__:
            hint = f": use .all().{name}()" if name in QUERYSET_ONLY else ""
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}{hint}")
        return getattr(self.get_queryset(), name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} of pool {self.pool!r}>"
