"""A store in a dictionary, whose writes and pages wait for the test to let them go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from poolapp.managers.documents import DocumentManager, DocumentQuerySet, Store
from poolapp.managers.documents.lookups import (
    ARRAY_LOOKUPS,
    FULL_TEXT_LOOKUPS,
    JSON_LOOKUPS,
    PLAIN_LOOKUPS,
)
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Hit, ItemError, Operation, WriteOptions


class GatedStore(Store):
    name = "Gated"
    lookups = PLAIN_LOOKUPS | FULL_TEXT_LOOKUPS | JSON_LOOKUPS | ARRAY_LOOKUPS

    def __init__(self, model: Any, alias: str, place: str) -> None:
        super().__init__(model, alias, place)
        self.held: dict[Any, dict[str, Any]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.began: list[int] = []
        self.writing = 0
        self.most_writing = 0
        self.outcome: Callable[[Operation], ItemError | None] = lambda operation: None
        self.failures: list[Exception] = []
        self.pages_read = 0
        self.closed = False
        self.asked: list[Selection] = []

    def check(self, selection: Selection) -> None:
        self.asked.append(selection)

    async def pages(self, selection: Selection, size: int) -> AsyncIterator[Sequence[Hit]]:
        documents = list(self.held.values())
        try:
            for at in range(0, len(documents), size):
                await self.gate.wait()
                self.pages_read += 1
                yield [Hit(each, {"_score": 0.5}) for each in documents[at : at + size]]
        finally:
            self.closed = True

    async def count(self, selection: Selection) -> int:
        return len(self.held)

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        self.began.append(len(operations))
        self.writing += 1
        self.most_writing = max(self.most_writing, self.writing)
        try:
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.writing -= 1
        outcomes = [self.outcome(each) for each in operations]
        for operation, outcome in zip(operations, outcomes, strict=True):
            if outcome is None:
                self.held[operation.pk] = dict(operation.document)
        return outcomes

    async def ensure(self) -> list[str]:
        return []


class GatedManager(DocumentManager[Any, DocumentQuerySet[Any]]):
    server = "a test"

    def make_store(self, alias: str) -> GatedStore:
        return GatedStore(self.model, alias, self.label())
