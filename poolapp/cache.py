"""Django's cache on a Redis alias of POOLS.

::

    CACHES = {"default": {"BACKEND": "poolapp.cache.RedisCache", "LOCATION": "cache"}}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.redis import RedisSerializer
from django.core.checks import CheckMessage, Error
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from poolapp.backends.redis import RedisBackend, RedisPool
from poolapp.core.config import PoolConfig
from poolapp.core.exceptions import ConfigurationError
from poolapp.core.registry import pools

Command = tuple[Any, ...]

# Django's takes two round trips, between which the key may expire, to come back without an end.
_INCREMENT = (
    "if redis.call('EXISTS', KEYS[1]) == 0 then return false end "
    "return redis.call('INCRBY', KEYS[1], ARGV[1])"
)


class RedisCache(BaseCache):
    """Behaves as ``django.core.cache.backends.redis.RedisCache`` does, and each of the two reads
    what the other has written; but its async methods are async, and its connections are the
    alias's: bounded, pooled per event loop, and pipelined where tasks ask at the same time.

    The sync methods run on the process's own pool loop (``pools.run``), and raise PoolError where
    an event loop runs, which they would block. Values are packed and unpacked by the caller's
    thread in both. ``OPTIONS`` takes ``serializer``, as Django's does.

    An outage raises BackendUnavailable (or PoolTimeout): never is it a miss. A wrong ``LOCATION``
    raises InvalidCacheBackendError at the first use, and is a system check.
    """

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._alias = alias
        self._options = dict(params.get("OPTIONS") or {})
        self._sound: PoolConfig | None = None

    @cached_property
    def _serializer(self) -> Any:
        serializer = self._options.get("serializer")
        if isinstance(serializer, str):
            serializer = import_string(serializer)
        if callable(serializer):
            serializer = serializer()
        return serializer or RedisSerializer()

    # -- the pool ------------------------------------------------------------------------------

    def fault(self) -> tuple[str, str]:
        """What is wrong with the settings, and what to do; ``("", "")`` when nothing is."""
        unknown = sorted(self._options.keys() - {"serializer"})
        if unknown:
            return (
                f"takes no OPTIONS[{unknown[0]!r}]",
                "How to connect is set in POOLS; here is only 'serializer'.",
            )
        try:
            config = pools.config(self._alias)
        except (ConfigurationError, TypeError) as error:
            if isinstance(self._alias, str) and "://" not in self._alias:
                return f"can't use its LOCATION: {error}", "LOCATION names an alias of POOLS."
            return "has no alias as its LOCATION", "Write the URL into POOLS, and its alias here."
        if config is self._sound:
            return "", ""
        kind = import_string(config.backend) if "." in config.backend else object
        if not issubclass(kind, RedisBackend):
            return (
                f"has a LOCATION, {self._alias!r}, that is no Redis alias",
                "Name an alias of POOLS whose BACKEND is 'poolapp.backends.redis.RedisBackend'.",
            )
        if config.options.get("decode_responses"):
            return (
                f"stores bytes, which the alias {self._alias!r} decodes",
                "Remove OPTIONS['decode_responses'] there, or give the cache an alias of its own.",
            )
        self._sound = config
        return "", ""

    @property
    def _pool(self) -> RedisPool:
        wrong, hint = self.fault()
        if wrong:
            raise InvalidCacheBackendError(f"A {type(self).__name__} {wrong}. {hint}")
        pool = pools[self._alias]
        assert isinstance(pool, RedisPool)
        return pool

    async def _aask(self, *command: Any) -> Any:
        return await self._pool.execute(*command)

    def _ask(self, *command: Any) -> Any:
        return pools.run(self._aask, *command)

    async def _aask_all(self, commands: Sequence[Command]) -> None:
        pool = self._pool
        # The keys of a cluster stand on several servers.
        pipeline = pool.pipeline(transaction=not pool.is_cluster)
        for command in commands:
            pipeline.execute_command(*command)
        await pipeline.execute()

    async def _aask_for(self, keys: Sequence[str]) -> Any:
        pool = self._pool
        if pool.is_cluster:
            pipeline = pool.pipeline(transaction=False)
            for key in keys:
                pipeline.get(key)
            return await pipeline.execute()
        return await pool.execute("MGET", *keys) if keys else []

    # -- what is asked, and what the answers mean ----------------------------------------------

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> int | None:
        """Seconds to live: None for ever, 0 for a key that is to be deleted."""
        if timeout == DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        return None if timeout is None else max(0, int(timeout))

    def _key(self, key: Any, version: int | None) -> str:
        return str(self.make_and_validate_key(key, version=version))

    def _set(self, key: str, value: Any, timeout: Any) -> Command:
        seconds = self.get_backend_timeout(timeout)
        packed = self._serializer.dumps(value)
        if seconds == 0:
            return "DEL", key
        return "SET", key, packed, *(() if seconds is None else ("EX", seconds))

    def _add(self, key: str, value: Any, timeout: Any) -> Command:
        command = self._set(key, value, timeout)
        # Added for no time, it is gone at once: what is left is whether it was there.
        return ("EXISTS", key) if command[0] == "DEL" else (*command, "NX")

    def _added(self, command: Command, answer: Any) -> bool:
        return not answer if command[0] == "EXISTS" else bool(answer)

    def _touch(self, key: str, timeout: Any) -> Command:
        seconds = self.get_backend_timeout(timeout)
        return ("PERSIST", key) if seconds is None else ("EXPIRE", key, seconds)

    def _loaded(self, found: bytes | None, default: Any) -> Any:
        return default if found is None else self._serializer.loads(found)

    def _loaded_all(self, keys: Mapping[str, Any], found: Iterable[bytes | None]) -> dict[Any, Any]:
        pairs = zip(keys.values(), found, strict=True)
        return {key: self._serializer.loads(value) for key, value in pairs if value is not None}

    def _incremented(self, key: str, answer: Any) -> int:
        if answer is None:
            raise ValueError(f"Key {key!r} not found.")
        return int(answer)

    def _set_all(self, data: Mapping[Any, Any], timeout: Any, version: int | None) -> list[Command]:
        return [self._set(self._key(key, version), data[key], timeout) for key in data]

    # -- one key -------------------------------------------------------------------------------

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        command = self._add(self._key(key, version), value, timeout)
        return self._added(command, self._ask(*command))

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        command = self._add(self._key(key, version), value, timeout)
        return self._added(command, await self._aask(*command))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._loaded(self._ask("GET", self._key(key, version)), default)

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._loaded(await self._aask("GET", self._key(key, version)), default)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._ask(*self._set(self._key(key, version), value, timeout))

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        await self._aask(*self._set(self._key(key, version), value, timeout))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._ask(*self._touch(self._key(key, version), timeout)))

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return bool(await self._aask(*self._touch(self._key(key, version), timeout)))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return bool(self._ask("DEL", self._key(key, version)))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return bool(await self._aask("DEL", self._key(key, version)))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return bool(self._ask("EXISTS", self._key(key, version)))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return bool(await self._aask("EXISTS", self._key(key, version)))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        key = self._key(key, version)
        return self._incremented(key, self._ask("EVAL", _INCREMENT, 1, key, delta))

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        key = self._key(key, version)
        return self._incremented(key, await self._aask("EVAL", _INCREMENT, 1, key, delta))

    # -- many keys -----------------------------------------------------------------------------

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        names = {self._key(key, version): key for key in keys}
        return self._loaded_all(names, pools.run(self._aask_for, list(names)))

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        names = {self._key(key, version): key for key in keys}
        return self._loaded_all(names, await self._aask_for(list(names)))

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        pools.run(self._aask_all, self._set_all(data, timeout, version))
        return []

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        await self._aask_all(self._set_all(data, timeout, version))
        return []

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        pools.run(self._aask_all, [("DEL", self._key(key, version)) for key in keys])

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        await self._aask_all([("DEL", self._key(key, version)) for key in keys])

    def clear(self) -> bool:  # type: ignore[override]
        """Empty the whole database of the alias, whatever KEY_PREFIX says, as Django's does."""
        return bool(self._ask("FLUSHDB"))

    async def aclear(self) -> bool:  # type: ignore[override]
        """The same."""
        return bool(await self._aask("FLUSHDB"))


def check_caches(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A system check: what is wrong with the caches on aliases of POOLS."""
    found: list[CheckMessage] = []
    for name in settings.CACHES:
        try:
            cache = caches[name]
        except InvalidCacheBackendError:  # Django says so by itself
            continue
        if isinstance(cache, RedisCache):
            wrong, hint = cache.fault()
            if wrong:
                message = f"CACHES[{name!r}] {wrong}."
                found.append(Error(message, hint=hint, obj="CACHES", id="poolapp.E020"))
    return found
