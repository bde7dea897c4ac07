"""RedisManager.aget_or_set: one makes it, the others wait."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from poolapp import PoolError
from poolapp.managers import RedisManager
from poolapp.managers.redis import flights
from tests.real import eventually, pool_of
from tests.stores.models import Article, bind
from tests.valkey import Valkey, redis_config

FOLDER = Path(__file__).parents[2]


class Maker:
    """Makes articles, when the test says so."""

    def __init__(self) -> None:
        self.calls = 0
        self.began = asyncio.Event()
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> Article:
        self.calls += 1
        self.began.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Article(slug="a", title=f"made {self.calls}", data={"k": [1]})


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Any]:
    async with pool_of(redis_config(redis_url)) as made:
        yield made


@pytest.fixture
async def hot(pool: Any, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made = bind(RedisManager(pool.alias, prefix=f"flights-{request.node.name}", ttl=60), Article)
    yield made
    await made.all().adelete()
    assert flights._flights == {}


@pytest.fixture
def maker() -> Maker:
    return Maker()


async def test_what_is_there_is_not_made(hot: Any, maker: Maker) -> None:
    await hot.acreate(slug="a", title="there")
    assert (await hot.aget_or_set("a", maker)).title == "there"
    assert maker.calls == 0


async def test_a_hundred_tasks_have_it_made_once(hot: Any, maker: Maker) -> None:
    asking = [asyncio.create_task(hot.aget_or_set("a", maker)) for _ in range(100)]
    await maker.began.wait()
    maker.gate.set()
    got = await asyncio.gather(*asking)
    assert maker.calls == 1
    assert {each.title for each in got} == {"made 1"}
    got[0].data["k"].append(2)
    assert got[1].data == {"k": [1]}  # everybody has one of his own
    assert (await hot.aget(pk="a")).title == "made 1"
    await hot.asave(got[2], if_unchanged=True)
    assert not await hot.store().pool.execute("EXISTS", hot.store().layout.lock("a"))


async def test_a_plain_function_may_make_it(hot: Any) -> None:
    got = await hot.ttl(5).aget_or_set("a", lambda: Article(slug="a", title="T"))
    assert got.title == "T"
    assert 0 < await hot.store().pool.execute("TTL", hot.store().layout.key("a")) <= 5


async def test_different_keys_do_not_wait_for_each_other(hot: Any, maker: Maker) -> None:
    waiting = asyncio.create_task(hot.aget_or_set("a", maker))
    await maker.began.wait()
    assert (await hot.aget_or_set("b", lambda: Article(slug="b"))).slug == "b"
    maker.gate.set()
    await waiting


async def test_an_error_goes_to_all_who_wait_and_is_not_kept(hot: Any, maker: Maker) -> None:
    maker.error = LookupError("no such thing")
    asking = [asyncio.create_task(hot.aget_or_set("a", maker)) for _ in range(3)]
    await maker.began.wait()
    maker.gate.set()
    got = await asyncio.gather(*asking, return_exceptions=True)
    assert [str(each) for each in got] == ["no such thing"] * 3
    maker.error = None
    assert (await hot.aget_or_set("a", maker)).title == "made 2"


async def test_who_is_cancelled_cancels_nobody_else(hot: Any, maker: Maker) -> None:
    first, second = (asyncio.create_task(hot.aget_or_set("a", maker)) for _ in range(2))
    await maker.began.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    maker.gate.set()
    assert (await second).title == "made 1"
    assert maker.calls == 1


async def test_when_nobody_waits_any_more_the_work_ends(hot: Any, maker: Maker) -> None:
    asking = asyncio.create_task(hot.aget_or_set("a", maker))
    await maker.began.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    async def free() -> bool:
        return not await hot.store().pool.execute("EXISTS", hot.store().layout.lock("a"))

    await eventually(free)
    maker.gate.set()
    assert (await hot.aget_or_set("a", maker)).title == "made 2"


async def test_a_wrong_instance_is_not_kept(hot: Any) -> None:
    with pytest.raises(ValueError, match="pk='b' was made"):
        await hot.aget_or_set("a", lambda: Article(slug="b"))
    assert not await hot.aexists()


async def test_another_s_work_is_waited_for(hot: Any, maker: Maker) -> None:
    store = hot.store()
    await store.pool.execute("SET", store.layout.lock("a"), "another process", "PX", 60_000)
    asking = asyncio.create_task(hot.aget_or_set("a", maker))
    await asyncio.sleep(0)
    await hot.acreate(slug="a", title="theirs")
    assert (await asking).title == "theirs"
    assert maker.calls == 0
    # It was not ours to free.
    assert await store.pool.execute("DEL", store.layout.lock("a")) == 1


async def test_a_process_that_died_holds_up_nobody_for_long(hot: Any, maker: Maker) -> None:
    store = hot.store()
    await store.pool.execute("SET", store.layout.lock("a"), "a dead process", "PX", 50)
    maker.gate.set()
    assert (await hot.aget_or_set("a", maker)).title == "made 1"


async def test_work_that_takes_longer_than_patience_keeps_its_turn(hot: Any, maker: Maker) -> None:
    store = hot.store()
    asking = asyncio.create_task(hot.aget_or_set("a", maker, patience=0.3))
    await maker.began.wait()
    token = await store.pool.execute("GET", store.layout.lock("a"))

    async def renewed() -> bool:
        before = await store.pool.execute("PTTL", store.layout.lock("a"))
        await asyncio.sleep(0.02)
        return bool(await store.pool.execute("PTTL", store.layout.lock("a")) > before)

    for _ in range(4):
        await eventually(renewed)
    assert await store.pool.execute("GET", store.layout.lock("a")) == token
    maker.gate.set()
    await asking


async def test_an_outage_is_no_miss(tmp_path: Path, maker: Maker) -> None:
    maker.gate.set()
    async with Valkey(tmp_path) as server, pool_of(redis_config(server.url)) as pool:
        hot = bind(RedisManager(pool.alias), Article)
        await hot.acreate(slug="b", title="T")
        server.kill()
        with pytest.raises(PoolError):
            await hot.aget_or_set("a", maker)
    assert maker.calls == 0
    assert flights._flights == {}


SCRIPT = """
import asyncio, os, sys
import django
django.setup()
from poolapp import pools
from poolapp.managers import RedisManager
from tests.stores.models import Article, bind
from tests.valkey import redis_config

config = redis_config(os.environ["POOLAPP_REDIS_URL"], alias="hot")
pools.register("hot", config)
hot = bind(RedisManager("hot", prefix=sys.argv[1]), Article)

async def make():
    print("made", flush=True)
    await asyncio.sleep(0.2)
    return Article(slug="a", title=str(os.getpid()))

async def main():
    got = await asyncio.gather(*(hot.aget_or_set("a", make) for _ in range(20)))
    print({each.title for each in got}, flush=True)

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


async def test_several_processes_have_it_made_once(hot: Any, redis_url: str) -> None:
    processes = [
        subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            [sys.executable, "-c", SCRIPT, hot.store().place],
            cwd=FOLDER,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings",
                 "POOLAPP_REDIS_URL": redis_url},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip

    def run() -> list[str]:
        for each in processes:
            assert each.stdout
            assert each.stdout.readline() == "ready\n"
        for each in processes:
            assert each.stdin
            each.stdin.write("\n")
            each.stdin.flush()
        return [each.communicate()[0] for each in processes]

    said = await asyncio.to_thread(run)
    assert "".join(said).count("made") == 1
    assert len({each.replace("made\n", "") for each in said}) == 1
