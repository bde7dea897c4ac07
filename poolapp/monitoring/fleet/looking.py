"""Looking at the whole fleet, and ordering it about."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence

from poolapp.monitoring.fleet import timing
from poolapp.monitoring.fleet.link import Link
from poolapp.monitoring.fleet.member import Member, said
from poolapp.monitoring.fleet.orders import Order, check
from poolapp.monitoring.fleet.place import Place, place
from poolapp.monitoring.fleet.shapes import Answer, FleetPicture
from poolapp.monitoring.fleet.snapshot import read as read_picture
from poolapp.monitoring.fleet.store import Store
from poolapp.monitoring.health import Monitor
from poolapp.monitoring.picture import ProcessPicture, take
from poolapp.monitoring.process import this_process

NO_FLEET = "Only this process is shown: POOLAPP['FLEET'] names no Redis for the fleet to meet at."


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What the Redis told, and when."""

    where: Place
    at: float
    processes: Sequence[ProcessPicture] = ()
    workers: Sequence[str] = ()
    notice: str = ""


class Fleet:
    """The processes of a registry's fleet, as seen from one of them."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._registry = monitor.registry
        self._link = Link(monitor.registry)
        self.member = Member(monitor, self._link)
        self._found: _Found | None = None
        self._reading: asyncio.Task[_Found] | None = None
        monitor.worries.append(self.member.worries)
        monitor.registry.on_close(self._leave)
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._link.forget()
        self.member.forget()
        self._found = self._reading = None

    async def _leave(self) -> None:
        await self.member.leave()
        await self._link.leave()

    # -- looking -------------------------------------------------------------------------------

    async def read(self) -> FleetPicture:
        """All processes: this one as it is now, the others as they were some two seconds ago.

        When there is no fleet, or its Redis does not answer within ``timing.PATIENCE``, only this
        one, and ``notice`` says why. Asks the Redis once in ``timing.KEPT``, however many look.
        """
        here = take(self._monitor)
        where = place()
        if where is None:
            return FleetPicture(processes=[here], notice=NO_FLEET)
        found = await self._registry.arun(self._read, where)
        others = [each for each in found.processes if each.worker != here.worker]
        processes = [here, *others]
        workers = {*found.workers, *([here.worker] if self.member.joined else [])}
        limits = self.member.limits.against(len(workers), processes) if workers else []
        return FleetPicture(processes=processes, notice=found.notice, limits=limits)

    async def _read(self, where: Place) -> _Found:
        """On the pool loop. Those who look at the same time share one look."""
        found = self._found
        if found and found.where == where and time.monotonic() - found.at < timing.KEPT:
            return found
        loop = asyncio.get_running_loop()
        task = self._reading
        if task is None or task.done() or task.get_loop() is not loop:
            task = self._reading = loop.create_task(self._ask(where))
        return await asyncio.shield(task)

    async def _ask(self, where: Place) -> _Found:
        processes = []
        try:
            roll = await Store(self._link, where).roll()
            self.member.limits.take_over(roll.limits)
        except Exception as error:
            found = _Found(where, time.monotonic(), notice=_unreachable(where, error))
        else:
            for each in sorted(roll.written, key=lambda it: it.worker):
                picture = await read_picture(each.picture, each.age)
                if picture is not None and picture.worker == each.worker:
                    processes.append(picture)
            found = _Found(where, time.monotonic(), processes, roll.workers)
        self._found = found
        return found

    # -- ordering ------------------------------------------------------------------------------

    async def order(
        self, verb: str, alias: str, *, worker: str | None = None, **details: int
    ) -> list[Answer]:
        """Have one worker, or all of them, ``drain``, ``reset``, ``pause``, ``resume``, ``resize``
        (``min_size=``, ``max_size=``) or ``ping`` their pools of an alias.

        The answers, this process's first, say what each did, or that it did not answer within
        ``timing.ORDER_PATIENCE``. One of no worker says that the others could not be told. Raises
        ValueError for an order that makes no sense, ConfigurationError for an unknown alias.
        """
        check(verb, details)
        self._registry.config(alias)
        here = this_process()
        # A command that looks at the fleet has no pools that anybody would mean.
        is_one = self.member.joined or not here.server.startswith("command")
        calls = []
        if worker == here.worker or (worker is None and is_one):
            calls.append(self._order_here(verb, alias, details))
        where = place()
        if where is not None and worker != here.worker:
            calls.append(
                self._registry.arun(self._order_others, where, verb, alias, worker, details)
            )
        elif worker not in (None, here.worker):
            calls.append(_told([_answer(worker or "", False, NO_FLEET)]))
        return [answer for answers in await asyncio.gather(*calls) for answer in answers]

    async def _order_here(self, verb: str, alias: str, details: Mapping[str, int]) -> list[Answer]:
        ok, text = await self.member.carry_out(verb, alias, dict(details))
        return [_answer(this_process().worker, ok, text)]

    async def _order_others(
        self, where: Place, verb: str, alias: str, worker: str | None, details: Mapping[str, int]
    ) -> list[Answer]:
        store = Store(self._link, where)
        name = uuid.uuid4().hex
        try:
            at, workers = await store.present()
            here = this_process().worker
            told = [each for each in workers if each != here and worker in (None, each)]
            if worker is not None and not told:
                return [_answer(worker, False, "It is not there any more.")]
            orders = [
                Order(id=name, worker=each, verb=verb, alias=alias, details=details, at=at)
                for each in told
            ]
            await asyncio.gather(*(store.send(each.worker, each.text()) for each in orders))
            answers = await self._answers(store, name, set(told))
        except Exception as error:
            return [_answer(worker or "", False, f"No other worker could be told: {said(error)}.")]
        self._found = None  # who ordered wants to see what it did
        return answers

    async def _answers(self, store: Store, order: str, awaited: set[str]) -> list[Answer]:
        found = []
        deadline = time.monotonic() + timing.ORDER_PATIENCE
        while awaited and (left := deadline - time.monotonic()) > 0:
            text = await store.next_answer(order, left)
            if not text:
                continue
            data = json.loads(text)
            if data["worker"] in awaited:
                awaited.discard(data["worker"])
                found.append(_answer(data["worker"], data["ok"], data["text"]))
        silent = f"It did not answer within {timing.ORDER_PATIENCE:g} s."
        found += [_answer(each, False, silent) for each in awaited]
        return sorted(found, key=lambda each: each.worker)


async def _told(answers: Iterable[Answer]) -> list[Answer]:
    return list(answers)


def _answer(worker: str, ok: bool, text: str) -> Answer:
    host, _, rest = worker.partition(":")
    pid = rest.partition(":")[0]
    return Answer(worker=worker, host=host, pid=int(pid or 0), ok=ok, text=text)


def _unreachable(where: Place, error: BaseException) -> str:
    return (
        f"Only this process is shown: the fleet's Redis, pool {where.alias!r}, can't be asked "
        f"({said(error)})."
    )
