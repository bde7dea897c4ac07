"""This process as one of the fleet: it publishes its picture, takes its share, obeys orders."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from poolapp.core.events import Observer
from poolapp.core.pool import Pool
from poolapp.core.registry import Registry
from poolapp.monitoring.fleet import timing
from poolapp.monitoring.fleet.division import Division
from poolapp.monitoring.fleet.limits import Limits
from poolapp.monitoring.fleet.link import Link, done_there
from poolapp.monitoring.fleet.orders import Order, carry_out
from poolapp.monitoring.fleet.place import Place, place
from poolapp.monitoring.fleet.shapes import ServerLimit
from poolapp.monitoring.fleet.snapshot import snapshot
from poolapp.monitoring.fleet.store import Store
from poolapp.monitoring.health import Monitor
from poolapp.monitoring.probe import Status
from poolapp.monitoring.process import this_process

logger = logging.getLogger("poolapp.fleet")


class Member(Observer):
    """Joins when the process opens its first pool, stays while it has any.

    All of it runs on the process's own pool loop, whatever the server is: a request's loop has no
    part in it, one that is blocked does not hide its process, and loops that come and go under
    WSGI change nothing. It ends with that loop, and says goodbye then.
    """

    def __init__(self, monitor: Monitor, link: Link) -> None:
        self.monitor = monitor
        self.registry: Registry = monitor.registry
        self.division = Division(self.registry)
        self.limits = Limits(self.registry, self.division)
        self.trouble = ""
        """Why the fleet could not be reached the last time; ``""`` when it could."""
        self.workers: list[str] = []
        """Those that were there the last time, with this one."""
        self._link = link
        self._lock = threading.Lock()
        self._joined = False
        self._left = False
        """All pools are being closed: those that are still open keep nobody here."""
        self._staying: asyncio.Task[None] | None = None
        self._done: deque[str] = deque(maxlen=1000)
        """Orders that were carried out: none is a second time."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._crowded: list[ServerLimit] = []
        self._ask_at = 0.0

    # -- coming and going ----------------------------------------------------------------------

    @property
    def joined(self) -> bool:
        return self._joined

    def pool_opened(self, pool: Pool[Any]) -> None:
        self._left = False
        if not self._joined and place() is not None:
            self._join()

    def _join(self) -> None:
        with self._lock:
            joined, self._joined = self._joined, True
        if not joined:
            self.registry.spawn(self._live)

    def forget(self) -> None:
        """In a forked child, which is a worker of its own."""
        self._lock = threading.Lock()
        self._joined = False
        self._staying = None
        self._tasks = set()
        self.workers = []
        self.trouble = ""
        self._crowded = []

    async def leave(self) -> None:
        """Say goodbye now, since all pools are being closed; from any loop."""
        self._left = True
        stay = self._staying
        if stay is not None:
            await done_there(stay.get_loop(), partial(_ended, stay))

    async def _live(self) -> None:
        worker = this_process()
        where = place()
        try:
            if worker.server.startswith("command"):
                await asyncio.sleep(timing.COMMAND_DELAY)
            while where is not None and self._has_pools():
                stay = self._stay(Store(self._link, where), worker.worker)
                self._staying = asyncio.get_running_loop().create_task(stay)
                try:
                    await asyncio.wait([self._staying])
                finally:
                    await _ended(self._staying)
                where = place()
        finally:
            self._staying = None
            with self._lock:
                self._joined = False
        if where is not None and self._has_pools():
            self._join()  # one was opened between the last look and the end

    def _has_pools(self) -> bool:
        if self._left:
            return False
        found = self.registry.all(initialized_only=True)
        return any(pool.state in ("open", "paused") for pool in found)

    async def _stay(self, store: Store, worker: str) -> None:
        """Until the process has had no pools for a while, or belongs to another fleet."""
        had_pools_at = time.monotonic()
        try:
            while place() == store.place:
                if self._has_pools():
                    had_pools_at = time.monotonic()
                elif time.monotonic() - had_pools_at >= timing.LINGER:
                    break
                await self._round(store, worker)
        finally:
            await self._leave(store, worker)

    async def _leave(self, store: Store, worker: str) -> None:
        for task in self._tasks:
            task.cancel()
        self._crowded = []
        if not self.trouble:
            try:
                await store.leave(worker)
            except Exception as error:
                logger.debug(
                    "The fleet was left without a goodbye: %s",
                    error,
                    extra={"alias": store.place.alias, "event": "fleet_left"},
                )

    # -- a round -------------------------------------------------------------------------------

    async def _round(self, store: Store, worker: str) -> None:
        """Publish, see who else is there, wait for orders until it is time for the next."""
        until = time.monotonic() + timing.INTERVAL * random.uniform(
            1 - timing.JITTER, 1 + timing.JITTER
        )
        try:
            workers, limits = await store.beat(worker, await snapshot(self.monitor))
            self._see(workers, limits)
            self._look_after_limits(store, worker)
            self._recovered(store.place)
            while (left := until - time.monotonic()) > 0:
                order = await store.next_order(worker, left)
                if order == "":
                    break  # somebody has come or gone
                if order is not None:
                    self._start(store.place, self._obey(store, worker, order))
        except Exception as error:
            # The last share is kept, and so is what was known of limits.
            self._failed(store.place, error)
            await asyncio.sleep(max(0.0, until - time.monotonic()))

    def _see(self, workers: Sequence[str], limits: str) -> None:
        self.workers = list(workers)
        self.limits.take_over(limits)
        self.division.divide(workers, this_process().worker)
        self._crowded = [each for each in self.limits.against(len(workers)) if each.exceeded]

    def _look_after_limits(self, store: Store, worker: str) -> None:
        """The first one by name asks for all."""
        if worker != min(self.workers) or time.monotonic() < self._ask_at:
            return
        self._ask_at = time.monotonic() + timing.LIMITS_INTERVAL
        self._start(store.place, self._ask(store))

    async def _ask(self, store: Store) -> None:
        await self.limits.ask()
        await store.set_limits(self.limits.text(), 3 * timing.LIMITS_INTERVAL)

    def _start(self, where: Place, work: Any) -> None:
        """Beside the rounds; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._settle, where))

    def _settle(self, where: Place, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning(
                "The fleet's Redis did not take an answer: %s",
                said(error),
                extra={"alias": where.alias, "event": "fleet_answer_lost"},
            )

    def _failed(self, where: Place, error: BaseException) -> None:
        known = self.trouble
        self.trouble = said(error)
        if not known:
            logger.warning(
                "The fleet's Redis, pool %r, can't be asked: %s",
                where.alias,
                self.trouble,
                extra={"alias": where.alias, "event": "fleet_lost"},
            )

    def _recovered(self, where: Place) -> None:
        if self.trouble:
            self.trouble = ""
            logger.info(
                "The fleet's Redis, pool %r, answers again.",
                where.alias,
                extra={"alias": where.alias, "event": "fleet_found"},
            )

    # -- orders --------------------------------------------------------------------------------

    async def _obey(self, store: Store, worker: str, text: str) -> None:
        try:
            order = Order.parse(text)
        except (KeyError, TypeError, ValueError):
            return  # of another version
        if order.worker != worker or order.id in self._done:
            return
        self._done.append(order.id)
        if await store.now() - order.at > timing.ORDER_LIFETIME * 1000:
            return
        ok, said = await self.carry_out(order.verb, order.alias, dict(order.details))
        await store.answer(order.id, json.dumps({"worker": worker, "ok": ok, "text": said}))

    async def carry_out(self, verb: str, alias: str, details: dict[str, int]) -> tuple[bool, str]:
        """What was ordered here, or from elsewhere."""
        ok, said = await carry_out(self.registry, verb, alias, details, self._resize)
        logger.info(
            "Ordered to %s pool %r: %s",
            verb,
            alias,
            said,
            extra={"alias": alias, "event": "ordered"},
        )
        return ok, said

    def _resize(self, alias: str, **sizes: int) -> None:
        self.division.resize(alias, **sizes)
        if self.workers:
            self.division.divide(self.workers, this_process().worker)

    # -- health --------------------------------------------------------------------------------

    def worries(self, alias: str) -> list[tuple[Status, str]]:
        """For everybody: names no server. From any thread."""
        found: list[tuple[Status, str]] = [
            ("degraded", each.sentence) for each in self._crowded if alias in each.aliases
        ]
        if self._joined and not self.trouble and alias in self.registry:
            most = self.registry.config(alias).fleet_max
            if most is not None and most < len(self.workers):
                text = f"FLEET_MAX is {most}, and {len(self.workers)} workers keep one each."
                found.append(("degraded", text))
        return found


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel it, and wait for its end."""
    if not task.cancelling():  # a second time would cut short its goodbye
        task.cancel()
    await asyncio.wait([task])


def said(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
