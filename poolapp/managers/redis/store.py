"""Documents as hashes, found by their primary key or by a declared index."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from django.db import DatabaseError, IntegrityError
from django.db.models import Field, Model

from poolapp.core.exceptions import BackendUnavailable
from poolapp.managers.documents.exceptions import Conflict, Missing, Rejected
from poolapp.managers.documents.selection import Selection
from poolapp.managers.documents.store import Hit, ItemError, Operation, Store, WriteOptions
from poolapp.managers.redis import scripts
from poolapp.managers.redis.intervals import LOOKUPS, Interval
from poolapp.managers.redis.layout import VERSION, Layout, text_of
from poolapp.managers.redis.plan import Plan, plan_of
from poolapp.managers.redis.scripts import STEP, Script


class RedisStore(Store):
    name = "Redis"
    lookups: ClassVar[frozenset[str]] = LOOKUPS
    versioned = True
    meta_ordering = False

    def __init__(
        self,
        model: type[Model],
        alias: str,
        prefix: str,
        ttl: float | None,
        indexes: Sequence[str],
    ) -> None:
        super().__init__(model, alias, prefix)
        self.ttl = ttl
        self.layout = Layout(self.schema, prefix, indexes)

    # -- asking --------------------------------------------------------------------------------

    async def call(
        self, script: Script, arguments: Sequence[Any], index: Field[Any, Any] | None = None
    ) -> Any:
        """A script's answer, when it has cleared what has expired."""
        layout = self.layout
        call = script.call(layout.keys(index), [layout.start, layout.tails, *arguments])
        while True:
            try:
                answer = await self.pool.execute(*call)
            except Exception as error:
                if not _is_unknown_script(error):
                    raise
                answer = await self.pool.execute(*script.full(call))
            if answer in (b"again", "again"):
                continue
            if answer in (b"stale", "stale"):
                raise DatabaseError(
                    f"the indexes of {self.model._meta.label} in Redis {self.place!r} are not "
                    f"those that are declared ({layout.names or 'none'}): run manage.py poolensure"
                )
            return answer

    def _plan(self, selection: Selection) -> Plan:
        return plan_of(selection, self.layout, self.schema.pk)

    def check(self, selection: Selection) -> None:
        self._plan(selection)

    # -- reading -------------------------------------------------------------------------------

    async def pages(self, selection: Selection, size: int) -> AsyncIterator[Sequence[Hit]]:
        plan = self._plan(selection)
        wanted = self._wanted(selection)
        hits = (
            self._known(plan, wanted, size)
            if plan.pks is not None
            else (self._along(plan, wanted, size, selection))
        )
        skip = selection.low if plan.pks is not None else 0
        left = selection.limit
        try:
            async for page in hits:
                chosen = page[skip:] if left is None else page[skip : skip + left]
                skip = max(0, skip - len(page))
                if chosen:
                    yield chosen
                if left is not None:
                    left -= len(chosen)
                    if not left:
                        return
        finally:
            await hits.aclose()

    def _wanted(self, selection: Selection) -> list[str]:
        """Names of fields, the primary key's first, which no document is without; [] for all."""
        if selection.only is None:
            return []
        keys = [self.schema.key(field) for field in (self.schema.pk, *selection.only)]
        return list(dict.fromkeys([*keys, VERSION]))

    async def _known(self, plan: Plan, wanted: list[str], size: int) -> Any:
        """Pages of the documents of known keys; no script is needed for them."""
        assert plan.pks is not None
        for at in range(0, len(plan.pks), size):
            keys = [self.layout.key(pk) for pk in plan.pks[at : at + size]]
            commands = [("HMGET", key, *wanted) if wanted else ("HGETALL", key) for key in keys]
            if len(commands) == 1:
                answers = [await self.pool.execute(*commands[0])]
            else:
                pipeline = self.pool.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                answers = await pipeline.execute()
            found = [self._hit(answer, wanted) for answer in answers]
            yield [hit for hit in found if hit is not None]

    async def _along(self, plan: Plan, wanted: list[str], size: int, selection: Selection) -> Any:
        """Pages of the documents along an index, and only as many as are wanted."""
        skip, left = selection.low, selection.limit
        stretches = plan.stretches[::-1] if plan.backwards else plan.stretches
        for low, high in stretches:
            if skip and len(stretches) > 1:
                there = await self._count(plan.index, [(low, high)])
                if there <= skip:
                    skip -= there
                    continue
            first, last = b"[" + low, b"(" + high
            while True:
                most = size if left is None else min(size, left)
                asked = [self.layout.names, int(plan.backwards), first, last, skip, most, *wanted]
                end, found, documents = await self.call(scripts.PAGE, asked, plan.index)
                skip = 0
                hits = [hit for each in documents if (hit := self._hit(each, wanted)) is not None]
                if hits:
                    yield hits
                if left is not None:
                    left -= len(hits)
                    if left <= 0:
                        return
                if found < most:
                    break
                edge = b"(" + text_of(end).encode()
                first, last = (first, edge) if plan.backwards else (edge, last)

    def _hit(self, answer: Any, wanted: list[str]) -> Hit | None:
        """None for a document that is not there."""
        if isinstance(answer, Mapping):
            answer = [each for pair in answer.items() for each in pair]
        elif wanted:
            if answer[0] is None:
                return None
            answer = [
                each
                for name, value in zip(wanted, answer, strict=True)
                if value is not None
                for each in (name, value)
            ]
        if not answer:
            return None
        document, version = self.layout.unpacked(answer)
        return Hit(document, version=version)

    async def count(self, selection: Selection) -> int:
        plan = self._plan(selection)
        if plan.pks is not None:
            there = 0
            for at in range(0, len(plan.pks), STEP):
                keys = [self.layout.key(pk) for pk in plan.pks[at : at + STEP]]
                there += await self.pool.execute("EXISTS", *keys)
        else:
            there = await self._count(plan.index, plan.stretches)
        there = max(0, there - selection.low)
        return there if selection.limit is None else min(there, selection.limit)

    async def _count(self, index: Field[Any, Any], stretches: Sequence[Interval]) -> int:
        count = 0
        for at in range(0, len(stretches), STEP):
            edges = [edge for stretch in stretches[at : at + STEP] for edge in stretch]
            count += int(await self.call(scripts.COUNT, [self.layout.names, *edges], index))
        return count

    # -- writing -------------------------------------------------------------------------------

    async def write(
        self, operations: Sequence[Operation], options: WriteOptions
    ) -> Sequence[ItemError | None]:
        """One operation is one command; more are a pipeline, each of them atomic by itself."""
        sent: list[tuple[int, str]] = []
        calls: list[tuple[Any, ...]] = []
        outcomes: list[ItemError | None] = [None] * len(operations)
        for at, operation in enumerate(operations):
            version = new_version()
            try:
                calls.append(self._call(operation, version, options))
            except ValueError as error:  # text that UTF-8 has not, a number beyond all bounds
                outcomes[at] = ItemError(Rejected(f"{self._named(operation)}: {error}"))
            else:
                sent.append((at, version))
        for (at, version), answer in zip(sent, await self._answers(calls), strict=True):
            outcomes[at] = self._outcome(operations[at], answer)
            if outcomes[at] is None:
                operations[at].version = version
        return outcomes

    def _call(self, operation: Operation, version: str, options: WriteOptions) -> tuple[Any, ...]:
        layout = self.layout
        members = layout.members(operation.pk, operation.document)
        return scripts.WRITE.call(
            layout.keys(),
            [
                layout.start,
                layout.tails,
                operation.action,
                operation.version if operation.checked else "",
                version,
                self.lifetime(options.extras),
                layout.names,
                layout.member(operation.pk),
                len(members) // 2,
                *members,
                *layout.packed(operation.document),
            ],
        )

    def lifetime(self, extras: Mapping[str, Any]) -> int | str:
        """Milliseconds, of this call or of the manager; ``""`` for ever."""
        seconds = extras.get("ttl", self.ttl)
        return "" if seconds is None else max(1, round(seconds * 1000))

    async def _answers(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Of each call, or its error."""
        if not calls:
            return []
        answers = await self._send(calls)
        unknown = [at for at, each in enumerate(answers) if _is_unknown_script(each)]
        if unknown:
            # The script's text goes along once.
            first, *rest = unknown
            again = [scripts.WRITE.full(calls[first]), *(calls[at] for at in rest)]
            for at, answer in zip(unknown, await self._send(again), strict=True):
                answers[at] = answer
        return answers

    async def _send(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        if len(calls) == 1:
            try:
                return [await self.pool.execute(*calls[0])]
            except Exception as error:
                if _is_answer(error):
                    return [error]
                raise
        pipeline = self.pool.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    def _outcome(self, operation: Operation, answer: Any) -> ItemError | None:
        what = self._named(operation)
        if isinstance(answer, Exception):
            if _is_answer(answer):
                return ItemError(Rejected(f"{what}: {answer}"))
            lost = BackendUnavailable(f"pool {self.alias!r}: {type(answer).__name__}: {answer}")
            return ItemError(lost)
        match text_of(answer):
            case "exists":
                return ItemError(IntegrityError(f"there is a {what} already"))
            case "missing" if not operation.checked:
                return ItemError(Missing(f"there is no {what}"))
            case "missing" | "conflict":
                return ItemError(Conflict(f"{what} was changed or deleted since it was read"))
        return None

    def _named(self, operation: Operation) -> str:
        return f"{self.model.__name__} {operation.pk!r} in Redis {self.place!r}"

    async def update(
        self, selection: Selection, values: Mapping[str, Any], options: WriteOptions
    ) -> int:
        """In steps, each atomic; what others write meanwhile may or may not be met."""
        plan, layout = self._plan(selection), self.layout
        heads: list[Any] = []
        for field, name in layout.indexed.items():
            if name in values:
                heads += [name, layout.head(field, values[name])]
        changes = [len(heads) // 2, *heads, *layout.packed(values)]
        version, lifetime = new_version(), self.lifetime(options.extras)
        count = 0
        for low, high in plan.stretches:
            first, last = b"[" + low, b"(" + high
            while True:
                asked = [layout.names, first, last, version, lifetime, *changes]
                end, found, changed = await self.call(scripts.UPDATE, asked, plan.index)
                count += changed
                if found < STEP:
                    break
                first = b"(" + text_of(end).encode()
        return count

    async def delete(self, selection: Selection, options: WriteOptions) -> int:
        """In steps, each atomic."""
        plan = self._plan(selection)
        count = 0
        for low, high in plan.stretches:
            found = STEP
            while found == STEP:
                deleted, found = await self.call(
                    scripts.DELETE, [self.layout.names, b"[" + low, b"(" + high], plan.index
                )
                count += deleted
        return count

    # -- the rest ------------------------------------------------------------------------------

    async def ensure(self) -> list[str]:
        """Build the indexes anew when they are not those that are declared."""
        layout = self.layout
        ready = layout.start + "c"
        said = await self.pool.execute("GET", ready)
        if said is None and not await self.pool.execute("EXISTS", layout.start + "p"):
            return []
        if said is not None and text_of(said) == "=" + layout.names:
            return []
        await self.pool.execute("SET", ready, "~" + layout.names)
        count = 0
        async for page in self.pages(Selection(self.model), STEP):
            for hit in page:
                pk = hit.document[self.schema.key(self.schema.pk)]
                members = layout.members(pk, self._with_defaults(hit.document))
                await self.call(scripts.REINDEX, [hit.version, layout.member(pk), *members])
                count += 1
        if not await self.call(scripts.FINISH, [layout.names]):
            raise DatabaseError(
                f"Redis {self.place!r}: while the indexes of {self.model._meta.label} were built, "
                "a process that declares others wrote; end it, and run manage.py poolensure again"
            )
        names = layout.names.replace(",", ", ") or "none"
        made = f"the indexes of {count} documents were built anew; there are now: {names}."
        return [f"Redis {self.place!r}: {made}"]

    def _with_defaults(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """With the fields that are younger than the document, as it is read."""
        instance = self.schema.from_document(document)
        return self.schema.to_document(instance)


def new_version() -> str:
    """Not a number: one that is counted would come again when a document is deleted and made
    anew."""
    return secrets.token_hex(8)


def _is_unknown_script(error: Any) -> bool:
    return type(error).__name__ == "NoScriptError"


def _is_answer(error: Exception) -> bool:
    """Whether the server said it of this command, rather than that it can't serve at all."""
    if type(error).__module__.partition(".")[0] != "redis":
        return False
    from redis import exceptions

    unable = (
        exceptions.ReadOnlyError
        | exceptions.ClusterDownError
        | exceptions.BusyLoadingError
        | exceptions.MasterDownError
    )
    return isinstance(error, exceptions.ResponseError) and not isinstance(error, unable)
