"""Django's cache on an alias: it behaves as Django's own, sync and async, and tells an outage."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.redis import RedisCache as DjangosCache
from django.core.checks import run_checks
from django.test import override_settings

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from poolapp.cache import RedisCache, check_caches
from poolapp.devservices.ports import free_port
from tests.real import postgres_config
from tests.valkey import Valkey, cluster, redis_config, redis_pool

Cache = Any

DATABASE = 9
"""Of the session's server: a cache empties all of its database."""


class Asynchronous:
    """The async methods of a cache under the names of the sync ones."""

    def __init__(self, cache: RedisCache, runner: asyncio.Runner) -> None:
        self._cache = cache
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cache, f"a{name}", None)
        if method is None:  # make_key and its like
            return getattr(self._cache, name)
        return lambda *args, **named: self._runner.run(method(*args, **named))

    def __contains__(self, key: str) -> bool:
        return bool(self.has_key(key))


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url.removesuffix("/0") + f"/{DATABASE}"


@pytest.fixture
def alias(url: str) -> Iterator[str]:
    config = redis_config(url, max_size=4)
    pools.register(config.alias, config)
    yield config.alias
    asyncio.run(pools.remove(config.alias))


class Contestants:
    def __init__(self, url: str, alias: str, runner: asyncio.Runner) -> None:
        self._url, self._alias, self._runner = url, alias, runner

    def made(self, **params: Any) -> dict[str, Cache]:
        ours = RedisCache(self._alias, dict(params))
        return {
            "Django's": DjangosCache(self._url, dict(params)),
            "ours": ours,
            "ours, async": Asynchronous(ours, self._runner),
        }


@pytest.fixture
def contestants(url: str, alias: str) -> Iterator[Contestants]:
    with asyncio.Runner() as runner:
        yield Contestants(url, alias, runner)


def outcome(behaviour: Callable[[Cache], Any], cache: Cache) -> Any:
    cache.clear()
    try:
        return behaviour(cache)
    except Exception as error:
        return type(error).__name__, str(error).replace("network:", "")


def after(*steps: Callable[[Cache], Any]) -> Callable[[Cache], Any]:
    return lambda cache: [step(cache) for step in steps]


VALUES: dict[str, Any] = {
    "int": 42,
    "big int": 2**70,
    "negative": -1,
    "bool": True,
    "float": 1.5,
    "text": "ä \x00",
    "digits": "123",
    "bytes": b"\xff\x00",
    "None": None,
    "dict": {"a": [1, (2, 3)]},
    "datetime": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "empty": "",
}

BEHAVIOURS: dict[str, Callable[[Cache], Any]] = {
    **{f"set {name}": lambda c, v=v: (c.set("k", v), c.get("k")) for name, v in VALUES.items()},
    "get nothing": lambda c: (c.get("k"), c.get("k", "default"), c.get("k", default=None)),
    "get None that was set": after(lambda c: c.set("k", None), lambda c: c.get("k", "default")),
    "add": lambda c: (c.add("k", 1), c.add("k", 2), c.get("k")),
    "add for no time": lambda c: (c.add("k", 1, 0), c.add("k", 1, -5), c.get("k")),
    "add for no time to one that is there": lambda c: (c.set("k", 1), c.add("k", 2, 0), c.get("k")),
    "add for ever": lambda c: (c.add("k", 1, None), c.touch("k", None)),
    "set for no time": lambda c: (c.set("k", 1), c.set("k", 2, timeout=0), c.get("k")),
    "set for less than no time": lambda c: (c.set("k", 1, timeout=-1), c.get("k")),
    "set for a part of a second": lambda c: (c.set("k", 1, timeout=0.9), c.get("k")),
    "set for ever, then touch": lambda c: (
        c.set("k", 1, timeout=None), c.touch("k", None), c.touch("k", 100), c.touch("k", None),
    ),
    "touch nothing": lambda c: (c.touch("k"), c.touch("k", None), c.touch("k", 5)),
    "touch for no time": lambda c: (c.set("k", 1), c.touch("k", 0), c.get("k")),
    "delete": lambda c: (c.set("k", 1), c.delete("k"), c.delete("k"), c.get("k")),
    "has_key": lambda c: (c.has_key("k"), c.set("k", None), c.has_key("k"), "k" in c),
    "incr and decr": lambda c: (c.set("k", 1), c.incr("k"), c.incr("k", 10), c.decr("k", 3)),
    "incr below zero": lambda c: (c.set("k", 1), c.decr("k", 5), c.get("k")),
    "incr nothing": lambda c: c.incr("k"),
    "decr nothing": lambda c: c.decr("k", version=3),
    "many": lambda c: (
        c.set_many({"a": 1, "b": "two", "c": None}), c.get_many(["a", "b", "c", "d"]),
        c.delete_many(["a", "d"]), c.get_many(["a", "b"]),
    ),
    "many of an iterator": lambda c: (
        c.set_many({"a": 1}), c.get_many(iter(["a", "b"])), c.delete_many(["a"]), c.get("a"),
    ),
    "many for no time": lambda c: (c.set("a", 1), c.set_many({"a": 2, "b": 3}, 0), c.get("a")),
    "many of nothing": lambda c: (c.set_many({}), c.delete_many([])),
    "versions": lambda c: (
        c.set("k", "one"), c.set("k", "two", version=2), c.get("k"), c.get("k", version=2),
        c.delete("k", version=2), c.get_many(["k"], version=2), c.set_many({"k": 3}, version=3),
        c.get("k", version=3),
    ),
    "incr_version": lambda c: (
        c.set("k", "v"), c.incr_version("k"), c.get("k"), c.get("k", version=2),
    ),
    "decr_version": lambda c: (
        c.set("k", "v", version=2), c.decr_version("k", version=2), c.get("k"),
    ),
    "incr_version of nothing": lambda c: c.incr_version("k"),
    "get_or_set": lambda c: (
        c.get_or_set("k", 1), c.get_or_set("k", 2), c.get_or_set("l", lambda: 3),
        c.get_or_set("n", None), c.has_key("n"),
    ),
    "clear": lambda c: (c.set("k", 1), c.clear(), c.get("k"), c.clear()),
    "keys of all kinds": lambda c: (
        c.set("ä b:c/d#e", 1), c.get("ä b:c/d#e"), c.set(5, 6), c.get(5),
    ),
    "key": lambda c: c.make_key("k", version=7),
    "timeouts": lambda c: [c.get_backend_timeout(each) for each in (None, 0, -1, 1.9, 300)],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
class TestBehaviour:
    @pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
    def test_it_is_djangos(self, contestants: Contestants, behaviour: Any) -> None:
        found = {
            name: outcome(behaviour, cache)
            for name, cache in contestants.made(KEY_PREFIX="site").items()
        }
        assert found["ours"] == found["Django's"]
        assert found["ours, async"] == found["Django's"]

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_each_reads_what_the_other_wrote(self, contestants: Contestants, value: Any) -> None:
        params = {"KEY_PREFIX": "site", "VERSION": 3, "TIMEOUT": 60}
        made = contestants.made(**params)
        made["ours"].clear()
        for writer, cache in made.items():
            cache.set(writer, value)
            cache.set_many({f"{writer} many": value})
            for reader in made.values():
                assert reader.get(writer) == value
                assert reader.get_many([f"{writer} many"]) == {f"{writer} many": value}
                assert type(reader.get(writer)) is type(value) or value == "123"

    def test_the_same_time_to_live_stands_on_the_server(
        self, contestants: Contestants, alias: str
    ) -> None:
        async def seconds(key: str) -> Any:
            return await pools[alias].execute("TTL", key)

        for cache in contestants.made(TIMEOUT=100).values():
            cache.clear()
            cache.set("default", 1)
            cache.set("own", 1, 50)
            cache.set("ever", 1, None)
            cache.set_many({"many": 1}, 70)
            found = [pools.run(seconds, f":1:{key}") for key in ("default", "own", "ever", "many")]
            assert [round(each / 10) for each in found] == [10, 5, 0, 7]

    def test_a_number_that_is_counted_lives_no_longer(
        self, contestants: Contestants, alias: str
    ) -> None:
        async def seconds(key: str) -> Any:
            return await pools[alias].execute("TTL", key)

        for cache in contestants.made().values():
            cache.clear()
            cache.set("k", 1, 50)
            cache.incr("k")
            assert 0 < pools.run(seconds, ":1:k") <= 50

    def test_a_serializer_and_a_key_function_of_ones_own(self, contestants: Contestants) -> None:
        params = {
            "OPTIONS": {"serializer": "tests.integration.test_cache.Json"},
            "KEY_FUNCTION": "tests.integration.test_cache.reversed_key",
        }
        for cache in contestants.made(**params).values():
            cache.clear()
            cache.set("key", {"a": [1]})
            assert cache.get("key") == {"a": [1]}
            assert cache.make_key("key") == "yek"

    def test_no_other_key_is_read_by_a_hostile_name(self, contestants: Contestants) -> None:
        """Scenario 47: a name is data."""
        for cache in contestants.made().values():
            cache.clear()
            cache.set("secret", 1)
            for name in ("*", "secret\r\nFLUSHDB", "x EX 1", "$6\r\nsecret"):
                assert cache.get(name) is None
                cache.set(name, "own")
                assert cache.get(name) == "own"
            assert cache.get("secret") == 1


class Json:
    def dumps(self, value: Any) -> bytes:
        import json

        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        import json

        return json.loads(data)


def reversed_key(key: str, prefix: str, version: int) -> str:
    return key[::-1]


class TestPooling:
    async def test_concurrent_gets_share_round_trips(self, url: str) -> None:
        async with redis_pool(url, max_size=2) as pool:
            cache = RedisCache(pool.alias, {})
            await cache.aset("k", "v")
            before = pool.stats().acquired
            assert await asyncio.gather(*(cache.aget("k") for _ in range(100))) == ["v"] * 100
            assert pool.stats().acquired == before + 1

    def test_sync_calls_of_many_threads_share_the_process_s_connections(self, alias: str) -> None:
        cache = RedisCache(alias, {})
        cache.set("count", 0)

        def count() -> None:
            for _ in range(20):
                cache.incr("count")

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.get("count") == 160
        (pool,) = [each for each in pools.all(initialized_only=True) if each.alias == alias]
        assert pool.stats().sockets.open <= 4  # type: ignore[union-attr]

    def test_values_are_packed_and_unpacked_where_the_caller_runs(self, alias: str) -> None:
        """A lazy queryset is evaluated when it is pickled, which no event loop allows."""
        seen = []

        class Lazy:
            def __reduce__(self) -> Any:
                seen.append(threading.current_thread())
                return str, ("evaluated",)

        cache = RedisCache(alias, {})
        cache.set("k", Lazy())
        cache.set_many({"l": Lazy()})
        assert cache.get("k") == "evaluated"
        assert set(seen) == {threading.main_thread()}

    async def test_a_sync_call_that_would_block_the_loop_is_refused(self, alias: str) -> None:
        with pytest.raises(PoolError, match="event loop"):
            RedisCache(alias, {}).get("k")

    async def test_short_lived_loops_use_the_connections_of_the_process_s_own(
        self, url: str
    ) -> None:
        """With LOOPS = "shared": else each async_to_sync would connect anew."""
        async with redis_pool(url, loops="shared", max_size=2) as pool:
            cache = RedisCache(pool.alias, {})
            data = {"a": 1, "b": "two"}

            async def use() -> None:
                await cache.aclear()
                await cache.aset_many(data)
                assert await cache.aget_many([*data, "c"]) == data
                assert await cache.aincr("a") == 2
                await cache.adelete_many(["a"])
                assert await cache.aget("a") is None

            for _ in range(3):
                await asyncio.to_thread(asyncio.run, use())
            await use()
            found = [each.connected for each in pools.info() if each.alias == pool.alias]
            assert sorted(found) == [0, 1]
            assert pool.size == 0

    async def test_on_a_cluster(self, tmp_path: Any) -> None:
        async with (
            cluster(tmp_path) as nodes,
            redis_pool(f"redis+cluster://127.0.0.1:{nodes[0].port}") as pool,
        ):
            cache = RedisCache(pool.alias, {})
            data = {f"k{number}": number for number in range(20)}
            await cache.aset_many(data)
            assert await cache.aget_many([*data, "nothing"]) == data
            assert await cache.aincr("k1", 5) == 6
            await cache.adelete_many(["k1", "k2"])
            assert len(await cache.aget_many(data)) == 18
            await cache.aclear()
            assert await cache.aget_many(data) == {}


class TestOutage:
    async def test_it_is_never_a_miss(self, tmp_path: Any) -> None:
        """Scenario 41."""
        unavailable = (BackendUnavailable, PoolTimeout)
        async with Valkey(tmp_path) as server:
            settings = {"acquire_timeout": 0.1, "check_after": 60.0}
            async with redis_pool(server.url, **settings) as pool:
                cache = RedisCache(pool.alias, {})
                await cache.aset("k", "v")
                server.kill()
                for asking in (
                    cache.aget("k", "default"),
                    cache.ahas_key("k"),
                    cache.adelete("k"),
                    cache.aget_many(["k"]),
                    cache.aset_many({"k": 1}),
                    cache.aincr("k"),
                    cache.atouch("k"),
                    cache.aadd("k", 1),
                    cache.aclear(),
                ):
                    with pytest.raises(unavailable):
                        await asking

    def test_sync_code_is_told_too(self) -> None:
        config = redis_config(f"redis://127.0.0.1:{free_port()}/0", acquire_timeout=0.2)
        pools.register(config.alias, config)
        try:
            with pytest.raises((BackendUnavailable, PoolTimeout)):
                RedisCache(config.alias, {}).get("k", "default")
        finally:
            asyncio.run(pools.remove(config.alias))


def caches_of(alias: Any, **more: Any) -> Any:
    default = {"BACKEND": "poolapp.cache.RedisCache", "LOCATION": alias, **more}
    return override_settings(CACHES={"default": default})


class TestSettings:
    @pytest.mark.parametrize(
        ("location", "more", "message", "hint"),
        [
            ("nothing", {}, "there is no pool 'nothing'", "an alias of POOLS"),
            ("redis://:secret@host/0", {}, "no alias as its LOCATION", "its alias here"),
            (["cache"], {}, "no alias as its LOCATION", "its alias here"),
            ("", {}, "there is no pool ''", "an alias of POOLS"),
            ("rows", {}, "that is no Redis alias", "RedisBackend"),
            ("text", {}, "stores bytes", "decode_responses"),
            ("cached", {"OPTIONS": {"db": 1}}, "no OPTIONS['db']", "set in POOLS"),
        ],
    )
    def test_what_is_wrong_is_a_check_and_is_told_at_the_first_use(
        self, postgres_url: str, url: str, location: Any, more: Any, message: str, hint: str
    ) -> None:
        configs = [
            postgres_config(postgres_url, alias="rows"),
            redis_config(url, alias="text", options={"decode_responses": True}),
            redis_config(url, alias="cached"),
        ]
        for config in configs:
            pools.register(config.alias, config)
        try:
            with caches_of(location, **more):
                (found,) = [each for each in run_checks() if each.id == "poolapp.E020"]
                assert message in found.msg
                assert hint in str(found.hint)
                assert "secret" not in f"{found.msg}{found.hint}"
                with pytest.raises(InvalidCacheBackendError) as info:
                    caches["default"].get("k")
                assert message in str(info.value)
                assert "secret" not in str(info.value)
        finally:
            for config in configs:
                asyncio.run(pools.remove(config.alias))

    def test_what_is_right_is_none(self, alias: str) -> None:
        with caches_of(alias, KEY_PREFIX="x", OPTIONS={"serializer": Json}):
            assert check_caches() == []

    def test_other_caches_are_none_of_its_business(self) -> None:
        with override_settings(
            CACHES={
                "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
                "broken": {"BACKEND": "no.such.Cache"},
            }
        ):
            assert check_caches() == []


class TestSessions:
    def test_sessions_live_in_it(self, alias: str) -> None:
        from django.contrib.sessions.backends.cache import SessionStore

        with caches_of(alias):
            session = SessionStore()
            session["user"] = 5
            session.save()
            assert SessionStore(session.session_key)["user"] == 5
            session.delete()
            assert "user" not in SessionStore(session.session_key)

    async def test_sessions_live_in_it_on_the_loop_that_asks(self, url: str) -> None:
        from django.contrib.sessions.backends.cache import SessionStore

        async with redis_pool(url) as pool:
            with caches_of(pool.alias):
                session = SessionStore()
                await session.aset("user", 5)
                await session.asave()
                assert await SessionStore(session.session_key).aget("user") == 5
                await session.adelete()
                assert await SessionStore(session.session_key).aget("user") is None
            used = [each for each in pools.all(initialized_only=True) if each.alias == pool.alias]
            assert used == [pool]

    @pytest.mark.django_db
    def test_sessions_are_read_from_it_beside_the_database(self, alias: str) -> None:
        from django.contrib.sessions.backends.cached_db import SessionStore

        with caches_of(alias):
            session = SessionStore()
            session["user"] = 5
            session.save()
            caches["default"].clear()
            assert SessionStore(session.session_key)["user"] == 5
            assert caches["default"].get(session.cache_key) == {"user": 5}
