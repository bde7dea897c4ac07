"""A case: what is run on both sides."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import models

Group = TypeVar("Group", bound=Callable[[], list[Callable[[Any], Any]]])


@dataclass(frozen=True)
class Case:
    """One function of a manager, and the model whose manager it is given.

    A ``lambda`` is one chain of calls of the manager, so that its last method can be replaced by
    the asynchronous one: ``rows.filter(...).count()`` by ``acount()``. Any other function may do
    what it likes, synchronously.
    """

    group: str
    number: int
    model: type[models.Model]
    function: Callable[[Any], Any]
    writes: bool = False
    fails: bool = False

    def __str__(self) -> str:
        return f"{self.group}-{self.number}"

    @property
    def is_chain(self) -> bool:
        return self.function.__name__ == "<lambda>"

    @property
    def story(self) -> str:
        """Where it stands, and what it says."""
        code = self.function.__code__
        try:
            source = inspect.getsource(self.function).strip()
        except OSError:
            source = ""
        return f"{self} at {code.co_filename}:{code.co_firstlineno}\n{source}"


class Cases:
    """Those of one module. ``@cases.reading(Book)`` marks a function that gives a list of cases,
    ``failing`` of such that raise, ``writing`` of such that write, ``refused`` of such that raise
    when they write. Their group has the function's name."""

    def __init__(self) -> None:
        self.all: list[Case] = []

    def reading(self, model: type[models.Model]) -> Callable[[Group], Group]:
        return self._group(model)

    def failing(self, model: type[models.Model]) -> Callable[[Group], Group]:
        return self._group(model, fails=True)

    def writing(self, model: type[models.Model]) -> Callable[[Group], Group]:
        return self._group(model, writes=True)

    def refused(self, model: type[models.Model]) -> Callable[[Group], Group]:
        return self._group(model, writes=True, fails=True)

    def _group(self, model: type[models.Model], **kind: bool) -> Callable[[Group], Group]:
        def add(function: Group) -> Group:
            self.all += [
                Case(function.__name__, number, model, each, **kind)
                for number, each in enumerate(function(), 1)
            ]
            return function

        return add
