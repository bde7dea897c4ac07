"""What each store implements: one object for a model, a place (index, collection, prefix) and a
pool's alias."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NoReturn

from django.db import NotSupportedError
from django.db.models import Model

from poolapp.core.registry import pools
from poolapp.managers.documents.forms import Form, JsonForm
from poolapp.managers.documents.schema import Schema
from poolapp.managers.documents.selection import Aggregate, Grouping, Order, Selection

Document = dict[str, Any]
"""Key (``Schema.key`` of a field) -> what the store holds for its value; null is None."""


@dataclass(slots=True)
class Hit:
    """One document that was found.

    ``extras`` become attributes of the instance (``{"_score": 1.5}``). ``version`` is what a later
    write has to name to prove that nobody wrote in between, None where the store has no such thing.
    """

    document: Document
    extras: Mapping[str, Any] = field(default_factory=dict)
    version: Any = None


Action = Literal["create", "index", "update", "delete"]


@dataclass(slots=True)
class Operation:
    """One write.

    ``create`` fails when the document exists (IntegrityError), ``index`` writes the whole document
    whether or not it exists, ``update`` changes the given keys of one that exists (else Missing),
    ``delete`` succeeds only for one that exists (else Missing).

    ``pk`` is in document form, and is in ``document`` as well (empty for ``delete``). With
    ``checked`` the write must fail with Conflict unless the document still has ``version``.
    A store sets ``version`` to the new one after a success.
    """

    action: Action
    pk: Any
    document: Document = field(default_factory=dict)
    checked: bool = False
    version: Any = None
    instance: Model | None = None


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one operation failed. ``error`` is an IntegrityError for a document that exists or breaks
    a unique index, Conflict, Missing, Rejected, or BackendUnavailable when nobody knows whether it
    took effect. ``status`` is the server's own code."""

    error: Exception
    status: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """``timeout`` is in seconds, for one request, None for the pool's own; ``extras`` are those of
    the QuerySet (``refresh``, ``ordered``)."""

    timeout: float | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


class Store(ABC):
    """Everything the chain asks of a server. All methods may be called on any loop: keep nothing
    that belongs to one, and ask ``self.pool`` each time.

    An outage is BackendUnavailable, or another PoolError, everywhere; never an empty answer.
    """

    name: ClassVar[str]
    """For messages: ``"Elasticsearch"``."""

    lookups: ClassVar[frozenset[str]]
    """What ``filter`` takes at all; ``check`` may know more."""

    form: ClassVar[Form] = JsonForm()

    versioned: ClassVar[bool] = False
    """Whether hits have a ``version``, and writes honour ``checked``."""

    meta_ordering: ClassVar[bool] = True
    """Whether Meta.ordering is applied where nobody said ``order_by``. A store that has an order of
    its own, and can't have another, says False."""

    batch_size: ClassVar[int] = 500
    """Operations of one ``write`` where the caller of a bulk does not say."""

    concurrency: ClassVar[int] = 4
    """Writes of one bulk at a time where the caller does not say."""

    page_size: ClassVar[int] = 500
    """Documents of one page where the caller does not say."""

    def __init__(self, model: type[Model], alias: str, place: str) -> None:
        """``place`` is where in the server: an index, a collection, a prefix."""
        self.model = model
        self.alias = alias
        self.place = place
        self.schema = Schema(model, self.form)

    @property
    def pool(self) -> Any:
        """The alias's pool on the running loop, with the short cuts of its kind."""
        return pools[self.alias]

    @property
    def id(self) -> str:
        """Whose ``version`` an instance carries."""
        return f"{self.name}:{self.alias}:{self.place}"

    # -- reading -------------------------------------------------------------------------------

    @abstractmethod
    def check(self, selection: Selection) -> None:
        """Raise NotSupportedError, naming what the store can do instead, when it can't find these
        documents, in this order, by itself. Called before every request of a selection."""

    @abstractmethod
    def pages(self, selection: Selection, size: int) -> AsyncIterator[Sequence[Hit]]:
        """An async generator of pages of about ``size`` hits: the selection's order, slice and
        projection are applied by the store. It is closed (``aclose``) when nobody wants the rest.
        """

    @abstractmethod
    async def count(self, selection: Selection) -> int:
        """How many, within the slice."""

    async def exists(self, selection: Selection) -> bool:
        """Whether there is any, within the slice."""
        return bool(await self.count(selection))

    # -- writing -------------------------------------------------------------------------------

    @abstractmethod
    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        """One batch; the outcome of each operation, in their order. Raises PoolError only when the
        whole batch could not be sent, or nobody knows what became of any of it."""

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        """Set these keys (to values in document form) in all that are selected; how many."""
        self.cannot("update what a filter selects", "asave() or abulk_update() instances")

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        """Delete all that are selected; how many."""
        self.cannot("delete what a filter selects", "aremove() instances")

    # -- figures -------------------------------------------------------------------------------

    async def aggregate(
        self, selection: Selection, aggregates: Mapping[str, Aggregate]
    ) -> Mapping[str, Any]:
        """Name -> value, in the form of the field; within the slice."""
        self.cannot("aggregate", "acount()")

    def groups(self, selection: Selection, grouping: Grouping) -> AsyncIterator[Mapping[str, Any]]:
        """An async generator of rows: ``Schema.key`` of each field of ``by``, and the aggregates'
        names -> value in the form of the field."""
        self.cannot("group", "acount() of a filter")

    # -- the rest ------------------------------------------------------------------------------

    @abstractmethod
    async def ensure(self) -> list[str]:
        """Make what has to be there before the first write (index, bucket, indexes), and change
        what can be changed; a sentence for each thing that was made, none when all was there.

        Idempotent. Raises DatabaseError, saying all that differs and can't be changed.
        """

    def special_order(self, term: object) -> Order | None:
        """The Order of something that is no field's name: ``"_score"``, an expression; None when it
        means nothing here."""
        return None

    def cannot(self, what: str, instead: str) -> NoReturn:
        """Raise the NotSupportedError: ``what`` completes "can't", ``instead`` "use"."""
        raise NotSupportedError(f"{self.name} can't {what}; use {instead}")
