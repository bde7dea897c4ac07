"""Loops that come, go, are forgotten, run beside each other in threads, or are forked."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import uvloop

from poolapp import pools
from tests.certificates import Authority
from tests.real import (
    Proxy,
    complaints_in,
    elasticsearch_config,
    eventually,
    postgres_config,
    sessions,
)

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[[Coroutine[Any, Any, Any]], Any]

KINDS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def runner(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> Run:
    """``asyncio.run`` on that kind of loop."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=new_loop) as each:
            return each.run(main)

    return run


def seen_by_server(url: str, name: str, *, at_most: int | None = None) -> list[int]:
    """The server's sessions of that name, once there are no more than ``at_most``."""

    async def ask() -> list[int]:
        admin = await asyncpg.connect(url)
        try:
            if at_most is not None:

                async def few() -> bool:
                    return len(await sessions(admin, name)) <= at_most

                await eventually(few)
            return await sessions(admin, name)
        finally:
            await admin.close()

    return asyncio.run(ask())


@pytest.fixture
def aliases(server_urls: dict[str, str]) -> Iterator[None]:
    """``loops`` on PostgreSQL and ``searching`` on Elasticsearch."""
    pools.register("loops", postgres_config(server_urls["postgres"], alias="loops", max_size=10))
    pools.register(
        "searching",
        elasticsearch_config(server_urls["elasticsearch"], alias="searching", max_size=10),
    )
    yield
    for alias in ("loops", "searching"):
        asyncio.run(pools.remove(alias))


async def use_both() -> int:
    """A few connections of each, all idle again; the server's pid of one."""
    pids = await asyncio.gather(
        *(pools["loops"].fetchval("SELECT pg_backend_pid()") for _ in range(3))
    )

    async def ask() -> None:
        async with pools["searching"].acquire() as es:
            await es.info()

    await asyncio.gather(ask(), ask())
    # One that nobody waits for any more may be on its way still.
    while any(pool.stats().connecting for pool in pools.all()):  # noqa: ASYNC110
        await asyncio.sleep(0)
    pid = pids[0]
    assert isinstance(pid, int)
    return pid


# -- loops that end --------------------------------------------------------------------------------


@KINDS
def test_a_hundred_runs_leave_nothing(
    aliases: None, postgres_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Scenario 31: a loop ends without close: sockets closed, registry empty: 100 x asyncio.run
    with no growth in server connections."""
    run = runner(new_loop)
    for _ in range(100):
        run(use_both())
        assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []


@KINDS
def test_a_run_that_ends_by_an_error_or_with_a_lease_held_leaves_nothing(
    aliases: None, postgres_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Scenario 31: also when the run is torn down in the middle of something."""

    async def fail() -> None:
        async with pools["loops"].acquire() as connection:
            await connection.execute("BEGIN")
            raise LookupError

    async def forget() -> None:
        lease = await pools["loops"].acquire()
        await lease.connection.execute("BEGIN")
        client = await pools["searching"].acquire()
        await client.connection.info()

    async def leave_running() -> None:
        # Where its cancel is cut short, the server notices after the query.
        task = asyncio.create_task(pools["loops"].execute("SELECT pg_sleep(10)"))
        await pools["loops"].fetchval("SELECT 1")
        assert not task.done()

    run = runner(new_loop)
    for _ in range(10):
        with pytest.raises(LookupError):
            run(fail())
        run(forget())
        run(leave_running())
        assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []


@KINDS
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21])
def test_a_goodbye_is_served_that_needs_a_connection_as_its_loop_ends(
    aliases: None, turns: int, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Scenario 31: the end of the loop cancels the connect that is under way as well; whoever
    borrows in a ``finally`` does not wait for that one."""
    said: list[Any] = []

    async def stay() -> None:
        try:
            await fetch_one("loops")
            await asyncio.get_running_loop().create_future()
        finally:
            said.append(await fetch_one("loops"))

    async def main() -> None:
        main.task = asyncio.create_task(stay())  # type: ignore[attr-defined]
        for _ in range(turns):
            await asyncio.sleep(0)

    runner(new_loop)(main())
    assert said == [1]
    assert pools.count() == 0


def close_at_once(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop as code does that knows nothing of ``shutdown_asyncgens``."""
    with warnings.catch_warnings():
        if isinstance(loop, uvloop.Loop):
            # uvloop closes the sockets here, and says so of each, before anybody else can.
            warnings.simplefilter("ignore", ResourceWarning)
        loop.close()


@KINDS
def test_loops_closed_without_a_word_leave_nothing_behind_the_next_look_up(
    aliases: None, postgres_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Scenario 31: a loop closed without shutdown_asyncgens is noticed at the next look-up, and its
    sockets are dropped."""
    for _ in range(40):
        loop = new_loop()
        loop.run_until_complete(use_both())
        # Those of the loop before are gone, this one's are open.
        assert {pool.loop for pool in pools.all(initialized_only=True)} == {loop}
        close_at_once(loop)
    asyncio.run(use_both())
    assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []
    del loop
    gc.collect()


def test_a_loop_closed_with_work_under_way_leaves_nothing(aliases: None, postgres_url: str) -> None:
    """Scenario 31: connections in their holders' hands are dropped with their loop as well."""

    async def hold(held: asyncio.Future[None]) -> None:
        async with pools["loops"].acquire() as connection:
            await connection.execute("BEGIN")
            held.set_result(None)
            await asyncio.get_running_loop().create_future()

    for _ in range(5):
        loop = asyncio.new_event_loop()
        held = loop.create_future()
        task = loop.create_task(hold(held))
        loop.run_until_complete(held)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        # The holder is torn down by the collector; its release finds the pool closed.
        asyncio.run(use_both())
        del task, held, loop
        gc.collect()
    assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []


def test_a_loop_closed_while_connections_are_being_closed_leaves_nothing(
    aliases: None, postgres_url: str
) -> None:
    """Scenario 31: a goodbye that the loop's end cuts short, as after a rotation, is dropped, and
    the driver's attempt to tidy up on a closed loop is nobody's concern."""

    async def drain() -> None:
        pool = pools["loops"]
        await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.01)") for _ in range(3)))
        while pool.stats().connecting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        pool.drain()
        await asyncio.sleep(0)
        assert len(pool._supply._tasks) == pool.size >= 3, "their goodbyes are under way"

    for _ in range(5):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(drain())
        loop.close()
        asyncio.run(use_both())
        del loop
        gc.collect()
    assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []


@pytest.fixture
def secure_url(server_urls: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """PostgreSQL behind TLS, on a loop that outlives those of the test."""
    parts = urlsplit(server_urls["postgres"])
    assert parts.hostname
    assert parts.port
    proxy = Proxy(
        parts.hostname, parts.port, tls=Authority(tmp_path).server_context(), postgres=True
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    user = parts.netloc.rpartition("@")[0]
    yield f"postgresql://{user}@127.0.0.1:{proxy.port}/postgres?sslmode=require"
    asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@KINDS
def test_encrypted_connections_of_a_loop_closed_without_a_word_are_dropped(
    secure_url: str, postgres_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Scenario 31: what is under TLS is not forgotten."""
    pools.register("secure", postgres_config(secure_url, alias="secure"))
    try:
        for _ in range(5):
            loop = new_loop()
            assert loop.run_until_complete(fetch_one("secure")) == 1
            close_at_once(loop)
        assert asyncio.run(fetch_one("secure")) == 1
        assert pools.count() == 0
        assert seen_by_server(postgres_url, "poolapp:secure:%", at_most=0) == []
        del loop
        gc.collect()
    finally:
        asyncio.run(pools.remove("secure"))


async def fetch_one(alias: str) -> Any:
    return await pools[alias].fetchval("SELECT 1")


# -- loops side by side ----------------------------------------------------------------------------


def test_each_loop_has_a_pool_of_its_own_and_none_outlives_it(aliases: None) -> None:
    """Scenario 32: the same alias from a second loop: its own pool; loop objects are freed; a new
    loop at a reused address never gets the old pool."""
    seen: list[weakref.ref[Any]] = []

    async def main() -> None:
        pool = pools["loops"]
        assert pool.loop is asyncio.get_running_loop()
        assert pool.stats().acquired == 0
        assert await pool.fetchval("SELECT 1") == 1
        assert pools["loops"] is pool
        seen.append(weakref.ref(pool))
        seen.append(weakref.ref(asyncio.get_running_loop()))

    addresses = set()
    gc.freeze()  # what is there already need not be looked through 60 times
    for _ in range(60):
        loop = asyncio.new_event_loop()
        addresses.add(id(loop))
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
        del loop
        gc.collect()
    gc.unfreeze()
    assert len(addresses) < 60, "no address was reused, so nothing was tried"
    assert [each for each in seen if each() is not None] == []


def test_two_loops_at_once_do_not_share(aliases: None, postgres_url: str) -> None:
    """Scenario 32: a pool that is used on another loop than its own says so."""
    first, second = asyncio.Runner(), asyncio.Runner()
    with first, second:

        async def look_up() -> Any:
            return pools["loops"]

        async def fetch(pool: Any) -> Any:
            return await pool.fetchval("SELECT 1")

        mine, theirs = first.run(look_up()), second.run(look_up())
        assert mine is not theirs
        with pytest.raises(Exception, match="belongs to another event loop"):
            second.run(fetch(mine))
        assert first.run(fetch(mine)) == second.run(fetch(theirs)) == 1


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """The same work in so many threads, started together; the first error is raised."""
    barrier = threading.Barrier(count)

    def together(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as executor:
        for future in [executor.submit(together, number) for number in range(count)]:
            future.result()


def test_eight_loops_in_eight_threads_open_and_close_at_once(
    aliases: None, postgres_url: str
) -> None:
    """Scenario 34: threads: 8 loops in 8 threads opening and closing at once."""

    def work(number: int) -> None:
        for turn in range(12):
            if (turn + number) % 3:
                asyncio.run(use_both())
                continue
            loop = asyncio.new_event_loop()
            loop.run_until_complete(use_both())
            loop.close()

    in_threads(8, work)
    asyncio.run(use_both())
    assert pools.count() == 0
    assert seen_by_server(postgres_url, "poolapp:loops:%", at_most=0) == []


def test_the_budget_holds_over_eight_loops_in_eight_threads(postgres_url: str) -> None:
    """Scenario 12: MAX_SIZE is never exceeded over 8 loops in 8 threads, as counted by the server
    itself: it refuses the role more connections than that."""
    limit = 10

    async def make_role() -> None:
        admin = await asyncpg.connect(postgres_url)
        await admin.execute("DROP ROLE IF EXISTS counted")
        await admin.execute(f"CREATE ROLE counted LOGIN PASSWORD 'x' CONNECTION LIMIT {limit}")
        await admin.close()

    asyncio.run(make_role())
    where = urlsplit(postgres_url).netloc.rpartition("@")[2]
    url = f"postgresql://counted:x@{where}/postgres"
    config = postgres_config(url, alias="counted", max_size=limit, acquire_timeout=60.0)
    pools.register("counted", config)
    refused: list[int] = []

    async def main() -> None:
        pool = pools["counted"]
        for _ in range(10):
            await asyncio.gather(*(pool.fetchval("SELECT pg_sleep(0.002)") for _ in range(20)))
        stats = pool.stats()
        assert stats.acquired == 200
        refused.append(stats.connect_failed)

    try:
        in_threads(8, lambda number: asyncio.run(main()))
        assert refused == [0] * 8
        assert pools.count() == 0
    finally:
        asyncio.run(pools.remove("counted"))


# -- fork ------------------------------------------------------------------------------------------

FORK = """
import asyncio, os, sys
from poolapp import pools
from tests.certificates import Authority
from tests.real import Proxy, elasticsearch_config, postgres_config

pools.register("forked", postgres_config(sys.argv[1], alias="forked", max_size=3))
pools.register("searching", elasticsearch_config(sys.argv[2], alias="searching", max_size=3))

async def use():
    async with pools["searching"].acquire() as es:
        await es.info()
    return await pools["forked"].fetchval("SELECT pg_backend_pid()")

def child(first):
    assert pools.count() == 0, "the child has pools"
    for _ in range(3):
        assert asyncio.run(use()) != first, "the child uses the parent's connection"
    assert pools.count() == 0

runner = asyncio.Runner()
first = runner.run(use())
for leave in ("at once", "in order"):
    pid = os.fork()
    if not pid:
        child(first)
        if leave == "at once":
            os._exit(0)
        # Python complains that the child has not closed the loop, which is the parent's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    assert runner.run(use()) == first, "the parent's connection is gone"
stats = {each.alias: each for each in pools.info()}
assert stats["forked"].lost == stats["searching"].lost == 0
assert stats["forked"].connected == stats["searching"].connected == 1
runner.close()
print("fine")
"""


def test_a_fork_has_no_pools_and_leaves_its_parents_alone(
    server_urls: dict[str, str], postgres_url: str
) -> None:
    """Scenario 33: fork: the child has no pools and the parent's still work."""
    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(FORK)),
            *(postgres_url, server_urls["elasticsearch"]),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, complaints_in(done.stderr)) == (0, "")
    assert done.stdout == "fine\n"
    assert seen_by_server(postgres_url, "poolapp:forked:%", at_most=0) == []
