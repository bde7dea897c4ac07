"""One makes what is missing, the others wait for it: across tasks, and across processes."""

from __future__ import annotations

import asyncio
import copy
import inspect
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model

from poolapp.managers.documents.versions import remember, version_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poolapp.managers.redis.store import RedisStore

M = TypeVar("M", bound=Model)

LOOK_UP = 0.02, 0.2
"""Seconds between two looks at what another process makes: the first, and the longest. One task of
each process looks."""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
_RENEW = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] "
    "then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)


class _Flight:
    """One task that makes a document, and how many wait for it."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0


_flights: dict[tuple[asyncio.AbstractEventLoop, str, str], _Flight] = {}
"""By loop, store and primary key; each until its task is done."""


async def join(
    store: RedisStore,
    pk: Any,
    patience: float,
    read: Callable[[], Awaitable[M | None]],
    make: Callable[[], Awaitable[M] | M],
    write: Callable[[M], Awaitable[None]],
) -> M:
    """The document that somebody makes. Who is cancelled cancels nobody but itself; the work ends
    when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    key = loop, store.id, str(pk)
    flight = _flights.get(key)
    if flight is None or flight.task.done():
        task = loop.create_task(_make(store, pk, patience, read, make, write))
        flight = _flights[key] = _Flight(task)
        task.add_done_callback(lambda done: _landed(key, done))
    flight.waiting += 1
    try:
        document, version = await asyncio.shield(flight.task)
    finally:
        flight.waiting -= 1
        if not flight.waiting and not flight.task.done():
            flight.task.cancel()
            _flights.pop(key, None)  # who comes now must not wait for what is cancelled
    own: M = _copy(store, document, version)
    return own


def _landed(key: Any, task: asyncio.Task[Any]) -> None:
    flight = _flights.get(key)
    if flight is not None and flight.task is task:
        del _flights[key]
    if not task.cancelled():
        task.exception()  # whoever waited was told


def _copy(store: RedisStore, document: dict[str, Any], version: Any) -> Any:
    """An instance of one's own: those who waited together may change theirs."""
    instance = store.schema.from_document(copy.deepcopy(document))
    remember(instance, store, version)
    return instance


async def _make(
    store: RedisStore,
    pk: Any,
    patience: float,
    read: Callable[[], Awaitable[M | None]],
    make: Callable[[], Awaitable[M] | M],
    write: Callable[[M], Awaitable[None]],
) -> tuple[dict[str, Any], Any]:
    delay, longest = LOOK_UP
    while True:
        async with _turn(store, pk, patience) as is_ours:
            instance = await read()  # perhaps made while we waited for our turn
            if instance is None and is_ours:
                made = make()
                instance = await made if inspect.isawaitable(made) else made
                await write(instance)
        if instance is not None:
            return store.schema.to_document(instance), version_of(instance, store)
        await asyncio.sleep(delay * (0.5 + random.random()))
        delay = min(delay * 2, longest)


@asynccontextmanager
async def _turn(store: RedisStore, pk: Any, patience: float) -> AsyncIterator[bool]:
    """Whether it is our turn, which nobody else has meanwhile; it is kept for as long as it takes,
    and, should this process die, for ``patience``."""
    lock, token = store.layout.lock(pk), secrets.token_hex(16)
    lease = max(1, round(patience * 1000))
    is_ours = bool(await store.pool.execute("SET", lock, token, "NX", "PX", lease))
    if not is_ours:
        yield False
        return

    async def renew() -> None:
        while True:
            await asyncio.sleep(patience / 3)
            await store.pool.execute("EVAL", _RENEW, 1, lock, token, lease)

    renewing = asyncio.create_task(renew())
    try:
        yield True
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        if not renewing.cancelled():
            renewing.exception()  # an outage, which whatever comes next meets as well
        await store.pool.execute("EVAL", _RELEASE, 1, lock, token)
