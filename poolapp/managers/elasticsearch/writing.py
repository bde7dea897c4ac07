"""Bulk requests: bytes that are made once, and what became of each operation."""

from __future__ import annotations

import asyncio
import json
import random
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import DatabaseError, IntegrityError

from poolapp.core.exceptions import BackendUnavailable, PoolError
from poolapp.core.resilience import repeat_delay
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import ItemError, Operation, WriteOptions
from poolapp.managers.elasticsearch.asking import (
    ATTEMPTS,
    BUSY,
    OUTAGES,
    Index,
    reason_of,
    type_of,
)
from poolapp.managers.elasticsearch.layout import Layout
from poolapp.managers.elasticsearch.requests import Requests, id_of

LARGEST_REQUEST: Final = 1024 * 1024
"""Bytes of one request, unless a single document is larger: what aiohttp writes at once without
holding up the loop. The server's own limit is 100 MB."""

LONGEST_ID: Final = 512
"""Bytes."""

TOLD: Final = "items.*.status,items.*.error,items.*._seq_no,items.*._primary_term"
"""What is wanted of the answer to a bulk request, which would else be longer than that."""

PUT_ALL: Final = "ctx._source.putAll(params.fields)"

BY_QUERY_TIMEOUT: Final = 600.0
"""Seconds that an update or a deletion of all that is selected may take."""

TURN: Final = 100
"""Operations that are put into bytes without a turn for others on the loop."""

Refresh = bool | str

shown = reprlib.repr

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Writer:
    """Writes to one index."""

    def __init__(self, index: Index, layout: Layout, refresh: Refresh) -> None:
        self._index = index
        self._layout = layout
        self._refresh = refresh
        self._requests = Requests(layout)
        self._is_there = False

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> list[ItemError | None]:
        await self._need_index()
        outcomes: list[ItemError | None] = [None] * len(operations)
        pending: list[tuple[int, bytes]] = []
        for at, operation in enumerate(operations):
            if at % TURN == TURN - 1:
                await asyncio.sleep(0)
            try:
                pending.append((at, self._lines(operation)))
            except (ValueError, TypeError, OverflowError) as error:
                outcomes[at] = ItemError(Rejected(f"document {shown(operation.pk)}: {error}"))
        sent = False
        for some in _pieces(pending):
            try:
                await self._send(some, operations, outcomes, options)
            except PoolError as error:
                if not sent:
                    raise
                # What went before is written, and the caller has to hear of it.
                for at, _ in some:
                    outcomes[at] = ItemError(error)
            sent = True
        return outcomes

    async def _need_index(self) -> None:
        """A write to an index that is not there would make one, with a mapping that is guessed."""
        if self._is_there:
            return
        status, _ = await self._index.ask("HEAD", self._index.path, expected=(403, 404))
        if status == 404:
            raise self._index.missing()
        self._is_there = True

    def _lines(self, operation: Operation) -> bytes:
        """The operation in the words of a bulk request. Raises ValueError for what would spoil the
        request for all the others."""
        pk = id_of(operation.pk)
        if not 0 < len(pk.encode()) <= LONGEST_ID:
            raise ValueError(f"the id of a document has from 1 to {LONGEST_ID} bytes")
        condition = ""
        if operation.checked:
            number, term = operation.version
            condition = f',"if_seq_no":{number:d},"if_primary_term":{term:d}'
        action = f'{{"{operation.action}":{{"_id":{_encode(pk)}{condition}}}}}'
        if operation.action == "delete":
            return f"{action}\n".encode()
        source = self._layout.source(operation.document)
        body = self._change(source) if operation.action == "update" else source
        return f"{action}\n{_encode(body)}\n".encode()

    def _change(self, source: dict[str, Any]) -> dict[str, Any]:
        if self._layout.merges(source):
            return {"script": self._script(source)}
        return {"doc": source}

    @staticmethod
    def _script(source: Mapping[str, Any]) -> dict[str, Any]:
        # Always the same text, which the server compiles once.
        return {"lang": "painless", "source": PUT_ALL, "params": {"fields": source}}

    async def _send(
        self,
        pending: list[tuple[int, bytes]],
        operations: Sequence[Operation],
        outcomes: list[ItemError | None],
        options: WriteOptions,
    ) -> None:
        """What is refused for lack of room is sent again after a while, and nothing else."""
        params = {"filter_path": TOLD, **self._refreshing(options)}
        kinds = [(operations[at].action, operations[at].checked) for at, _ in pending]
        repeatable = all(action == "index" and not checked for action, checked in kinds)
        for attempt in range(1, ATTEMPTS + 1):
            _, answer = await self._index.ask(
                "POST",
                f"{self._index.path}/_bulk",
                params=params,
                body=b"".join([lines for _, lines in pending]),
                timeout=options.timeout,
                repeatable=repeatable,
            )
            again = []
            for (at, lines), item in zip(pending, answer["items"], strict=True):
                ((_, told),) = item.items()
                if told["status"] == BUSY and attempt < ATTEMPTS:
                    again.append((at, lines))
                else:
                    outcomes[at] = self._outcome(operations[at], told)
            if not again:
                return
            pending = again
            await asyncio.sleep(repeat_delay(attempt, random.random))

    def _outcome(self, operation: Operation, told: Mapping[str, Any]) -> ItemError | None:
        status = told["status"]
        if status < 300:
            operation.version = [told["_seq_no"], told["_primary_term"]]
            return None
        return ItemError(self._problem(operation, status, told), status)

    def _problem(self, operation: Operation, status: int, told: Mapping[str, Any]) -> Exception:
        where = f"document {shown(operation.pk)} of Elasticsearch {self._index.name!r}"
        reason = reason_of(told)
        if status == 409:
            if operation.action == "create":
                return IntegrityError(f"{where} exists already")
            return Conflict(f"{where} was changed by somebody else: {reason}")
        if status == 404:
            if type_of(told) == "index_not_found_exception":
                self._is_there = False
                return self._index.missing()
            if operation.checked:
                return Conflict(f"{where} was deleted by somebody else")
            return Missing(f"there is no {where}")
        if status == BUSY or status in OUTAGES:
            return BackendUnavailable(f"{where}: the server has no room for it: {reason}")
        if "strict_dynamic_mapping" in type_of(told):
            reason += f"; 'manage.py poolensure {self._index.alias}' adds new fields to the index"
        return Rejected(f"{where}: {reason}")

    def _refreshing(self, options: WriteOptions, *, by_query: bool = False) -> dict[str, str]:
        refresh = options.extras.get("refresh", self._refresh)
        if refresh is False:
            return {}
        # There is no waiting for the next refresh here, so it has to be now.
        return {"refresh": "true" if by_query or refresh is True else refresh}

    # -- all that is selected ------------------------------------------------------------------

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        if (ids := self._requests.ids(selection)) is not None:
            return await self._each("update", ids, values, options)
        body = {
            "query": self._requests.query(selection),
            "script": self._script(self._layout.source(values)),
        }
        return await self._by_query("update", body, options)

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        if (ids := self._requests.ids(selection)) is not None:
            return await self._each("delete", ids, {}, options)
        return await self._by_query("delete", {"query": self._requests.query(selection)}, options)

    async def _each(
        self, action: Any, ids: list[str], values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        """By primary keys: of the documents as they are now."""
        operations = [Operation(action, each, dict(values)) for each in ids]
        outcomes = await self.write(operations, options)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome.error, Missing):
                raise outcome.error
        return sum(outcome is None for outcome in outcomes)

    async def _by_query(self, verb: str, body: dict[str, Any], options: WriteOptions) -> int:
        params = {"conflicts": "proceed", **self._refreshing(options, by_query=True)}
        _, told = await self._index.ask(
            "POST",
            f"{self._index.path}/_{verb}_by_query",
            params=params,
            body=body,
            timeout=options.timeout or BY_QUERY_TIMEOUT,
            repeatable=False,
        )
        done: int = told[f"{verb}d"] + told.get("noops", 0)
        where = f"{verb}d {done} of {told['total']} documents of Elasticsearch {self._index.name!r}"
        if told.get("failures"):
            raise DatabaseError(
                f"{where}: {reason_of({'error': told['failures'][0].get('cause')})}"
            )
        if told["version_conflicts"]:
            raise Conflict(
                f"{where}: {told['version_conflicts']} were changed by somebody else meanwhile"
            )
        return done


def _pieces(pending: list[tuple[int, bytes]]) -> list[list[tuple[int, bytes]]]:
    """In requests of a size that the server takes."""
    pieces: list[list[tuple[int, bytes]]] = []
    room = 0
    for each in pending:
        if len(each[1]) > room:
            pieces.append([])
            room = LARGEST_REQUEST
        pieces[-1].append(each)
        room -= len(each[1])
    return pieces
