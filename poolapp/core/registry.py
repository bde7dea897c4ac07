"""``pools[alias]``: the pool of an alias on the running loop, and the end of them all."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import difflib
import importlib
import os
import threading
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Self, TypeVar

from poolapp.core.asked import AskedLocations
from poolapp.core.backend import BaseBackend
from poolapp.core.budget import Budget
from poolapp.core.config import PoolConfig
from poolapp.core.custom import CustomBackend
from poolapp.core.events import Events, Observer
from poolapp.core.exceptions import BackendUnavailable, ConfigurationError, PoolError
from poolapp.core.home import Home
from poolapp.core.loops import EXIT_PATIENCE, at_loop_end, end_of_process
from poolapp.core.pool import Pool
from poolapp.core.stats import PoolStats

T = TypeVar("T")


FIXED = ("backend", "breaker", "loops", "max_connecting")
"""Fields of PoolConfig that a pool can't change while it works."""

CUSTOM_SETTINGS = {field.name for field in dataclasses.fields(PoolConfig)} - {
    "alias", "backend", "former", "locations", "options",
}  # fmt: skip
"""Fields of PoolConfig that mean something to a pool of plain functions."""


class _Plan:
    """What one alias is made of: shared by its pools on all loops."""

    __slots__ = ("backend", "budget", "config", "paused", "verified")

    def __init__(
        self, config: PoolConfig, backend: Callable[[PoolConfig], BaseBackend[Any]]
    ) -> None:
        self.config = config
        self.backend = backend
        self.budget = Budget(config.max_size, config.max_connecting)
        self.paused = False
        self.verified = not isinstance(backend, _Imported)
        """Whether ``verify`` had nothing to say of it, or needs not be asked."""


class Registry:
    """All pools of the process: ``loop -> alias -> pool``.

    The key is the loop object itself. A number such as ``id(loop)`` is given to a new loop as soon
    as the old one is freed, and a weak key never goes, because a pool's sockets refer to the loop.
    So the reference is strong, and is dropped when the loop ends (``at_loop_end``) or, for one that
    was closed without a word, at the next look-up that has to make a pool.

    Look-ups take no lock; the lock guards what changes the two dictionaries.
    """

    def __init__(self) -> None:
        self.events = Events()
        self.invalid: type[ConfigurationError] = ConfigurationError
        """What a wrong alias raises."""
        self.faults: dict[str, str] = {}
        """Aliases that are declared, but wrongly, each with what is wrong."""
        self.version = 0
        """Grows whenever an alias comes, goes, or is configured otherwise."""
        self._general_fault = ""
        self._verify: Callable[[PoolConfig], str] = lambda config: ""
        self._plans: dict[str, _Plan] = {}
        self._configured: set[str] = set()
        self._loops: dict[asyncio.AbstractEventLoop, dict[str, Pool[Any]]] = {}
        self._guards: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._home = Home()
        self._companions: list[Callable[[], Awaitable[None]]] = []
        self._inherited: list[object] = []
        self._lock = threading.RLock()
        atexit.register(self.close_at_exit)
        os.register_at_fork(after_in_child=self._forget)

    # -- configuration -------------------------------------------------------------------------

    def register(
        self,
        alias: str,
        config: PoolConfig | None = None,
        *,
        create: Callable[[], Awaitable[Any]] | None = None,
        validate: Callable[[Any], Awaitable[object]] | None = None,
        reset: Callable[[Any], Awaitable[object]] | None = None,
        close: Callable[[Any], Awaitable[object]] | None = None,
        **settings: Any,
    ) -> None:
        """Declare an alias: by a configuration, or by plain async functions.

        ``create()`` opens a connection; ``validate(connection)`` raises or returns False when it
        can't be used; ``reset`` cleans it after a borrower, ``close`` closes it. ``settings`` are
        fields of PoolConfig, such as ``max_size=5``. Nothing connects here.

        Raises ConfigurationError when the alias exists, for both or neither of ``config`` and
        ``create``, and for a keyword that means nothing.
        """
        if (config is None) == (create is None):
            raise self.invalid(f"pool {alias!r}: give either a configuration or create=")
        for name in settings:
            if config is not None or name not in CUSTOM_SETTINGS:
                raise self.invalid(f"pool {alias!r}: register() {_no_use_for(name, config)}")
        make: Callable[[PoolConfig], BaseBackend[Any]]
        if create is not None:
            functions = (create, validate, reset, close)
            kind = CustomBackend if reset is None else CustomBackend.resetting
            config = PoolConfig(alias=alias, backend="custom", **settings)
            make = lambda config: kind(config, *functions)  # noqa: E731
        else:
            assert config is not None
            make = _Imported(config.backend)
        with self._lock:
            if alias in self._plans:
                raise self.invalid(f"pool {alias!r} is registered already; remove it first")
            self._plans[alias] = _Plan(config, make)
            self.version += 1

    def configure(
        self,
        configs: Mapping[str, PoolConfig],
        *,
        faults: Mapping[str, str] | None = None,
        general_fault: str = "",
        verify: Callable[[PoolConfig], str] | None = None,
        invalid: type[ConfigurationError] | None = None,
    ) -> None:
        """Declare the aliases of a project's settings, in place of those declared so before.

        Pools of an alias that is gone are closed; those that are configured otherwise take it over
        while they work, and what is open is drained when it says where or how to connect. Only
        what is fixed for a pool's life (``FIXED``) closes it, and the next look-up makes another.

        ``faults`` holds the aliases that can't be configured, each with what their look-up says;
        ``general_fault`` may be why an alias is not there at all. ``verify``, called before the
        first pool of an alias is made, returns what is wrong with its backend, or ``""``.
        ``invalid`` is what a wrong alias raises from now on.
        """
        if invalid is not None:
            self.invalid = invalid
        if verify is not None:
            self._verify = verify
        with self._lock:
            for alias in self._configured - configs.keys():
                self._replace(alias, None)
            for alias, config in configs.items():
                plan = self._plans.get(alias)
                if plan is None or not self._take_over(plan, config):
                    self._replace(alias, _Plan(config, _Imported(config.backend)))
            self._configured = set(configs)
            self.version += 1
            self.faults = dict(faults or {})
            self._general_fault = general_fault

    def _take_over(self, plan: _Plan, config: PoolConfig) -> bool:
        """Have the open pools of an alias go on with another configuration. False: they can't."""
        before = plan.config
        if before == config:
            return True
        fixed = any(getattr(before, name) != getattr(config, name) for name in FIXED)
        if fixed or not isinstance(plan.backend, _Imported):
            return False
        if plan.verified and self._verify(config):
            return False  # the next look-up says what is wrong
        plan.config = config
        self._tell(config.alias, "reconfigure", config)
        if config.max_size != plan.budget.limit:
            plan.budget.resize(config.max_size)
        return True

    def _replace(self, alias: str, plan: _Plan | None) -> None:
        if plan is None:
            del self._plans[alias]
        else:
            self._plans[alias] = plan
        for pools in self._loops.values():
            pool = pools.pop(alias, None)
            if pool is not None:
                # Under a name that no look-up finds, it is closed with its loop at the latest.
                pools[f"{alias} (replaced, {id(pool)})"] = pool
                pool.tell("close_soon")

    async def remove(self, alias: str) -> None:
        """Close the alias's pools on every loop and forget it. Unknown aliases are no error."""
        with self._lock:
            self._plans.pop(alias, None)
            self._configured.discard(alias)
            self.version += 1
        await self._close([pool for pool in self.all(initialized_only=True) if pool.alias == alias])

    def config(self, alias: str) -> PoolConfig:
        """The effective configuration; raises like ``pools[alias]``."""
        return self._plan(alias).config

    def _plan(self, alias: str) -> _Plan:
        plan = self._plans.get(alias)
        if plan is None:
            if alias in self.faults:
                raise self.invalid(self.faults[alias])
            known = ", ".join(map(repr, sorted({*self._plans, *self.faults}))) or "none"
            because = f". {self._general_fault}" if self._general_fault else ""
            raise self.invalid(f"there is no pool {alias!r}; POOLS has {known}{because}")
        return plan

    # -- look-up -------------------------------------------------------------------------------

    def __getitem__(self, alias: str) -> Pool[Any]:
        """The alias's pool on the running loop, made at the first look-up; nothing connects.

        Raises ConfigurationError (a Django project's ``InvalidPoolError``) for an unknown alias,
        PoolError where no loop runs.
        """
        try:
            return self._loops[get_running_loop()][alias]
        except KeyError:
            return self._open(alias)
        except RuntimeError:
            self._plan(alias)
            raise PoolError(
                f"pools[{alias!r}] was asked for where no event loop runs; "
                "ask for it in a coroutine"
            ) from None

    def _open(self, alias: str) -> Pool[Any]:
        plan = self._plan(alias)
        loop = get_running_loop()
        with self._lock:
            self._sweep()
            pools = self._loops.get(loop)
            if pools is None:
                pools = self._loops[loop] = {}
                self._guards[loop] = at_loop_end(lambda: self._close_loop(loop, patience=0.0))
            pool = pools.get(alias)
            if pool is None:
                if not plan.verified:
                    fault = self._verify(plan.config)
                    if fault:
                        raise self.invalid(fault)
                    plan.verified = True
                backend = plan.backend(plan.config)
                kind = backend.pool_class or Pool
                pool = pools[alias] = kind(
                    plan.config,
                    backend,
                    plan.budget,
                    self.events,
                    loop=loop,
                    on_closed=self._closed,
                )
                if plan.paused:
                    pool.pause()
                pool.crosses = plan.config.loops == "shared" and not self._home.is_here()
                if pool.crosses:
                    for name in kind.crossing:
                        setattr(pool, name, partial(self.arun, self._call, alias, name))
        return pool

    def beside(self, pool: Pool[Any], name: str, config: PoolConfig) -> Pool[Any]:
        """Make another pool of the same alias, loop and budget, for one that connects to several
        places of its server. It is counted, told and closed like the others of its alias; nothing
        finds it by a look-up. ``name`` sets it apart from them."""
        made: Pool[Any] = type(pool)(
            config,
            type(pool.backend)(config),
            pool.budget,
            pool.events,
            loop=pool.loop,
            on_closed=self._closed,
        )
        with self._lock:
            self._loops[pool.loop][f"{pool.alias} ({name})"] = made
        if pool.state == "paused":
            made.pause()
        return made

    async def _call(self, alias: str, name: str, *args: Any, **named: Any) -> Any:
        return await getattr(self[alias], name)(*args, **named)

    def run(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **named: Any
    ) -> T:
        """Call an async function from sync code, on the process's own pool loop.

        Like ``async_to_sync``, but the loop stays, and so do the connections of its pools. Context
        variables and exceptions go across; Ctrl-C cancels the call. Raises PoolError where an
        event loop runs, which it would block: use ``arun`` there.
        """
        return self._home.run(function, *args, **named)

    async def arun(
        self, function: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **named: Any
    ) -> T:
        """The same from a coroutine, for a loop too short-lived for connections of its own."""
        return await self._home.arun(function, *args, **named)

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], /, *args: Any) -> None:
        """Start an async function on the process's own pool loop and don't wait for it. The end of
        the process cancels it; what it raises is told to nobody."""
        self._home.spawn(function, *args)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._plans))

    def __contains__(self, alias: object) -> bool:
        return alias in self._plans

    def __len__(self) -> int:
        return len(self._plans)

    def all(self, initialized_only: bool = False) -> list[Pool[Any]]:
        """The pools of the running loop, one for each alias; or, with ``initialized_only``, those
        that were made so far on any loop of the process."""
        if initialized_only:
            with self._lock:
                return [pool for pools in self._loops.values() for pool in pools.values()]
        return [self[alias] for alias in self]

    def count(self) -> int:
        """How many pools there are, over all loops."""
        return len(self.all(initialized_only=True))

    def info(self) -> list[PoolStats]:
        """The statistics of every pool of the process."""
        return [pool.stats() for pool in self.all(initialized_only=True)]

    async def prewarm(self, *aliases: str) -> None:
        """Open ``MIN_SIZE`` connections, at least one, of each of these aliases on this loop, all
        at once; of those that have ``PREWARM`` when none is named.

        Raises BackendUnavailable, naming each alias that could not be opened and why.
        """
        wanted = aliases or [alias for alias in self if self.config(alias).prewarm]
        outcomes = await asyncio.gather(
            *(self[alias].prewarm() for alias in wanted), return_exceptions=True
        )
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        for error in failures:
            if not isinstance(error, PoolError):
                raise error
        if failures:
            raise BackendUnavailable("; ".join(map(str, failures))) from failures[0]

    # -- verbs, for all loops; may be called from any thread -----------------------------------

    def drain(self, alias: str) -> None:
        """``Pool.drain`` on every loop."""
        self._tell(alias, "drain")

    def reset(self, alias: str) -> None:
        """``Pool.reset`` on every loop."""
        self._tell(alias, "reset")

    def pause(self, alias: str) -> None:
        """``Pool.pause`` on every loop, those that come later included."""
        self._plan(alias).paused = True
        self._tell(alias, "pause")

    def resume(self, alias: str) -> None:
        """``Pool.resume`` on every loop."""
        self._plan(alias).paused = False
        self._tell(alias, "resume")

    def resize(
        self, alias: str, *, min_size: int | None = None, max_size: int | None = None
    ) -> None:
        """Change the sizes of an alias while it works; ValueError for sizes that can't be.

        Growing helps who waits at once. Shrinking closes what is idle at once, and the rest as it
        comes back.
        """
        plan = self._plan(alias)
        low = plan.config.min_size if min_size is None else min_size
        high = plan.config.max_size if max_size is None else max_size
        if not 0 <= low <= high or high < 1:
            raise ValueError(
                f"pool {alias!r}: sizes must be 0 <= min_size <= max_size and max_size >= 1, "
                f"not {low} and {high}"
            )
        plan.config = plan.config.replace(min_size=low, max_size=high)
        self._tell(alias, "reconfigure", plan.config)
        plan.budget.resize(high)

    def _tell(self, alias: str, verb: str, *details: Any) -> None:
        self._plan(alias)
        for pool in self.all(initialized_only=True):
            if pool.alias == alias:
                pool.tell(verb, *details)

    # -- listening -----------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Tell this observer what happens in every pool, from now on."""
        self.events.add(observer)

    def unobserve(self, observer: Observer) -> None:
        self.events.discard(observer)

    # -- closing -------------------------------------------------------------------------------

    async def close_all(self, *, timeout: float | None = None) -> None:
        """Close every pool of the process, each on its own loop; aliases stay registered."""
        self._sweep()
        await asyncio.gather(
            self._close(self.all(initialized_only=True), timeout=timeout),
            *(leave() for leave in self._companions),
        )

    def on_close(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Have an async function called whenever all pools are closed, beside that, on whatever
        loop it is. It must not raise."""
        self._companions.append(leave)

    async def _close(self, pools: list[Pool[Any]], *, timeout: float | None = None) -> None:
        here = get_running_loop()
        closing = []
        for pool in pools:
            if pool.loop is here:
                closing.append(pool.close(timeout=timeout))
            elif pool.loop.is_running():
                closing.append(_close_elsewhere(pool, timeout))
        await asyncio.gather(*closing)

    async def _close_loop(self, loop: asyncio.AbstractEventLoop, *, patience: float | None) -> None:
        pools = self._loops.get(loop, {})
        await asyncio.gather(*(pool.close(timeout=patience) for pool in list(pools.values())))
        with self._lock:
            self._loops.pop(loop, None)
            guard = self._guards.pop(loop, None)
        if guard is not None and not guard.ag_running:  # type: ignore[attr-defined]
            # It was not the guard that called: else it would be finalised later, by a task that
            # a loop at its end may not run any more.
            await guard.aclose()

    def _closed(self, pool: Pool[Any]) -> None:
        with self._lock:
            pools = self._loops.get(pool.loop, {})
            for name in [name for name, each in pools.items() if each is pool]:
                del pools[name]

    def _sweep(self) -> None:
        """Drop the pools of loops that were closed without a word."""
        with self._lock:
            closed = [loop for loop in self._loops if loop.is_closed()]
            abandoned = [pool for loop in closed for pool in self._loops.pop(loop).values()]
            for loop in closed:
                self._guards.pop(loop, None)
        for pool in abandoned:
            pool.abandon()

    def close_at_exit(self) -> None:
        """Close what the end of the process finds open, from plain code.

        Called by ``atexit``, and by whatever knows of an end that ``atexit`` does not see.
        """
        with self._lock:
            loops = list(self._loops)
        for loop in loops:
            end_of_process(loop, partial(self._close_loop, loop, patience=0.0))
        self._home.stop(EXIT_PATIENCE)
        self._sweep()

    def _forget(self) -> None:
        # In a forked child: the sockets, and the selectors that watch them, are the parent's too.
        # Finalising them here would take them out of the parent's epoll, so they are kept for good.
        self._inherited.append((self._loops, self._guards, self._home, list(self._plans.values())))
        self._home = Home()
        self._lock = threading.RLock()
        self._loops = {}
        self._guards = {}
        for plan in self._plans.values():
            plan.budget = Budget(plan.config.max_size, plan.config.max_connecting)
            if isinstance(plan.config.locations, AskedLocations):
                plan.config.locations.forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close_all()


def _no_use_for(name: str, config: PoolConfig | None) -> str:
    if config is not None:
        return f"takes no {name!r} beside a configuration, which has it inside"
    known = ("create", "validate", "reset", "close", *sorted(CUSTOM_SETTINGS))
    close = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
    return f"takes no {name!r}; {hint}"


class _Imported:
    """A backend class by its dotted path, imported when the first pool needs it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, config: PoolConfig) -> BaseBackend[Any]:
        module, _, name = self.path.rpartition(".")
        made: BaseBackend[Any] = getattr(importlib.import_module(module), name)(config)
        return made


async def _close_elsewhere(pool: Pool[Any], timeout: float | None) -> None:
    """Close a pool on its own loop, in another thread.

    That loop may end meanwhile: then it closes the pool itself, and cancels or forgets what it was
    asked for. So this waits for the pool's end, and looks up now and then.
    """
    ended: Future[None] = Future()
    ended.set_running_or_notify_cancel()  # so that whoever is cancelled here cancels nothing there

    def note_end(closing: asyncio.Task[None]) -> None:
        closing.cancelled() or closing.exception()
        ended.set_result(None)

    # A call, not a coroutine: that loop may have no turn left in which to begin with one.
    try:
        pool.loop.call_soon_threadsafe(lambda: pool.close_soon(timeout).add_done_callback(note_end))
    except RuntimeError:  # the loop is closed
        return
    asked = asyncio.wrap_future(ended)
    while pool.state != "closed" and not pool.loop.is_closed():
        if asked.done():
            await asyncio.sleep(LOOK_UP)
        else:
            await asyncio.wait([asked], timeout=LOOK_UP)


LOOK_UP = 0.1
"""Seconds after which the end of another thread's loop is noticed, at the latest."""


pools = Registry()
"""The process's registry: what ``from poolapp import pools`` gives."""
