"""The process's own pool loop: what sync code and short-lived loops run on it, and its end."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from poolapp import Observer, Pool, PoolClosed, PoolError, pools
from poolapp.core.home import Home
from tests.acceptance.servers.watching import Log, complete_log
from tests.real import complaints_in, eventually, postgres_config, sessions
from tests.servers import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
SIZE = 5

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour")
flavour: contextvars.ContextVar[str] = contextvars.ContextVar("flavour")


class Opened(Observer):
    """Every connection of an alias that was ever opened."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.count = 0

    def connected(self, pool: Pool[Any], seconds: float) -> None:
        self.count += pool.alias == self.alias


@pytest.fixture
def home_alias(postgres_url: str) -> Iterator[Opened]:
    """The alias ``home`` on PostgreSQL."""
    yield from _alias(postgres_url, "own")


@pytest.fixture
def shared_alias(postgres_url: str) -> Iterator[Opened]:
    """The same with ``LOOPS = "shared"``."""
    yield from _alias(postgres_url, "shared")


def _alias(url: str, loops: str) -> Iterator[Opened]:
    config = postgres_config(url, alias="home", max_size=SIZE, acquire_timeout=60, loops=loops)
    pools.register("home", config)
    opened = Opened("home")
    pools.observe(opened)
    yield opened
    pools.unobserve(opened)
    asyncio.run(pools.remove("home"))


async def backend_pid() -> int:
    async with pools["home"].acquire() as connection:
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


# -- scenario 35 -----------------------------------------------------------------------------------


def test_a_thousand_runs_use_one_connection(home_alias: Opened) -> None:
    """Scenario 35: pools.run 1000 times from sync code: no growth."""
    assert len({pools.run(backend_pid) for _ in range(1000)}) == 1
    assert home_alias.count == 1


def test_a_thousand_runs_from_threads_open_no_more_than_max_size_ever(home_alias: Opened) -> None:
    """Scenario 35: pools.run 1000 times, from 16 threads: at most MAX_SIZE connections ever."""
    with ThreadPoolExecutor(16) as threads:
        seen = set(threads.map(lambda _: pools.run(backend_pid), range(1000)))
    assert len(seen) <= SIZE
    assert home_alias.count <= SIZE
    (pool,) = pools.info()
    assert (pool.in_use, pool.waiting) == (0, 0)


def test_short_lived_loops_reach_the_same_connections_by_arun(home_alias: Opened) -> None:
    async def main() -> int:
        return await pools.arun(backend_pid)

    assert len({asyncio.run(main()) for _ in range(50)}) == 1
    assert home_alias.count == 1


def test_short_cuts_of_a_shared_alias_use_them_from_wherever_they_are_called(
    shared_alias: Opened,
) -> None:
    """``LOOPS = "shared"``: the helpers of the pool cross over by themselves."""

    async def main() -> tuple[int, ...]:
        pool = pools["home"]
        await pool.execute("SELECT 1")
        rows = await pool.fetch("SELECT pg_backend_pid() AS pid")
        row = await pool.fetchrow("SELECT pg_backend_pid() AS pid")
        return rows[0]["pid"], row["pid"], await pool.fetchval("SELECT pg_backend_pid()")

    seen = {pid for _ in range(50) for pid in asyncio.run(main())}
    assert seen == {pools.run(backend_pid)}
    assert shared_alias.count == 1


def test_a_shared_alias_still_lends_connections_of_the_callers_own_loop(
    shared_alias: Opened,
) -> None:
    """A borrowed connection can't cross over, so ``acquire`` doesn't."""

    async def main() -> tuple[int, int]:
        return await backend_pid(), await pools["home"].fetchval("SELECT pg_backend_pid()")

    borrowed, crossed = asyncio.run(main())
    assert borrowed != crossed


# -- what goes across ------------------------------------------------------------------------------


def test_context_variables_go_across_both_ways() -> None:
    async def paint() -> str:
        seen = colour.get()
        colour.set("green")
        await asyncio.sleep(0)
        flavour.set("mint")
        return seen

    def call() -> None:
        colour.set("red")
        assert pools.run(paint) == "red"
        assert (colour.get(), flavour.get()) == ("green", "mint")

    contextvars.copy_context().run(call)
    with pytest.raises(LookupError):
        flavour.get()


async def test_context_variables_go_across_from_another_loop() -> None:
    async def paint() -> str:
        seen = colour.get()
        colour.set("green")
        return seen

    colour.set("red")
    assert await pools.arun(paint) == "red"
    assert colour.get() == "green"


def test_calls_at_once_do_not_see_each_others_context() -> None:
    meet = threading.Barrier(8)

    async def paint(mine: str) -> str:
        colour.set(mine)
        await asyncio.sleep(0)
        return colour.get()

    def call(mine: str) -> bool:
        meet.wait()
        return pools.run(paint, mine) == mine == colour.get()

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, map(str, range(8))))


def test_arguments_and_results_go_across() -> None:
    async def tell(*args: object, **named: object) -> tuple[object, object]:
        return args, named

    # Also such as would be the parameters of run itself.
    assert pools.run(tell, 1, function=2, self=3) == ((1,), {"function": 2, "self": 3})


class Odd(BaseException):
    pass


@pytest.mark.parametrize("kind", [LookupError, Odd, SystemExit, KeyboardInterrupt])
def test_exceptions_are_raised_in_the_caller(kind: type[BaseException]) -> None:
    async def fail() -> None:
        raise kind("of the coroutine")

    with pytest.raises(kind, match="of the coroutine") as caught:
        pools.run(fail)
    assert caught.traceback[-1].name == "fail"
    assert pools.run(asyncio.sleep, 0, "still here") == "still here"


@pytest.mark.parametrize("kind", [LookupError, SystemExit])
async def test_exceptions_are_raised_in_the_calling_coroutine(kind: type[BaseException]) -> None:
    async def fail() -> None:
        raise kind("of the coroutine")

    with pytest.raises(kind, match="of the coroutine"):
        await pools.arun(fail)


def test_a_failed_call_leaves_no_connection_behind(home_alias: Opened) -> None:
    async def fail() -> None:
        async with pools["home"].acquire() as connection:
            await connection.execute("SELECT 1/0")

    for _ in range(20):
        with pytest.raises(asyncpg.DivisionByZeroError):
            pools.run(fail)
    (pool,) = pools.info()
    assert pool.in_use == 0
    assert home_alias.count == 1


# -- cancellation ----------------------------------------------------------------------------------


async def test_a_cancelled_caller_cancels_the_call_and_waits_for_its_end(
    home_alias: Opened, pg_admin: asyncpg.Connection[Any]
) -> None:
    began, ended = threading.Event(), threading.Event()

    async def sleep() -> None:
        async with pools["home"].acquire() as connection:
            await connection.execute("SELECT 1")
            began.set()
            try:
                await connection.execute("SELECT pg_sleep(60)")
            finally:
                ended.set()

    caller = asyncio.create_task(pools.arun(sleep))
    await asyncio.to_thread(began.wait)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()
    assert await pools.arun(backend_pid) > 0
    (pool,) = pools.info()
    assert pool.in_use == 0


async def test_a_caller_cancelled_at_once_runs_nothing() -> None:
    ran = []

    async def run() -> None:
        ran.append(1)
        await asyncio.sleep(60)

    caller = asyncio.create_task(pools.arun(run))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await pools.arun(asyncio.sleep, 0, "still here") == "still here"


def test_a_call_that_cancels_itself_is_cancelled_for_its_caller() -> None:
    async def give_up() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        pools.run(give_up)


# -- where it is refused ---------------------------------------------------------------------------


async def test_run_is_refused_where_a_loop_runs() -> None:
    with pytest.raises(PoolError, match=r"await pools\.arun\(backend_pid, \.\.\.\)"):
        pools.run(backend_pid)


def test_run_is_refused_within_a_call() -> None:
    """There it would wait for itself."""

    async def again() -> None:
        pools.run(backend_pid)

    with pytest.raises(PoolError, match="would block"):
        pools.run(again)


def test_arun_within_a_call_is_an_ordinary_await() -> None:
    async def thread() -> int:
        return threading.get_ident()

    async def again() -> tuple[int, int]:
        return await thread(), await pools.arun(thread)

    first, second = pools.run(again)
    assert first == second


# -- its end ---------------------------------------------------------------------------------------


def test_a_call_amid_the_end_of_the_loop_is_told_so() -> None:
    home = Home()
    began = threading.Event()

    async def wait() -> None:
        began.set()
        await asyncio.sleep(60)

    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(home.run, wait)
        began.wait()
        home.stop(5)
        with pytest.raises(PoolClosed, match="the process's pool loop has ended"):
            call.result()


def test_every_call_is_answered_however_the_loop_ends_and_starts() -> None:
    """None is left waiting for a loop that is gone."""
    home = Home()
    outcomes: set[str] = set()

    def call() -> None:
        for _ in range(200):
            try:
                outcomes.add(home.run(asyncio.sleep, 0, "done"))
            except PoolClosed:
                outcomes.add("closed")

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(call) for _ in range(4)]
        while not all(each.done() for each in calls):
            home.stop(5)
        for each in calls:
            each.result()
    home.stop(5)
    assert "done" in outcomes
    assert outcomes <= {"done", "closed"}


def test_the_loop_starts_again_after_its_end() -> None:
    home = Home()
    assert home.run(asyncio.sleep, 0, 1) == 1
    home.stop(5)
    home.stop(5)
    assert home.run(asyncio.sleep, 0, 2) == 2
    home.stop(5)


# -- processes of their own ------------------------------------------------------------------------

SCRIPT = """
import asyncio, json, os, signal, sys
from poolapp import pools
from tests.acceptance.test_home import backend_pid
from tests.real import postgres_config

url, name = sys.argv[1:]
options = {"server_settings": {"application_name": name}}
pools.register("home", postgres_config(url, alias="home", max_size=5, options=options))

"""


@pytest.fixture
def talkative(talkative_postgres: PostgresServer) -> PostgresServer:
    return talkative_postgres


class Script:
    """A process that uses the alias ``home``; ``name`` is what the server knows it by."""

    def __init__(self, code: str, url: str) -> None:
        self.name = f"home-{os.urandom(4).hex()}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + textwrap.dedent(code), url, self.name],
            cwd=ROOT,
            env={**os.environ, "PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, Any, str]:
        """Its exit code, what it printed, read as JSON, and its complaints."""
        try:
            out, err = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"it did not end:\n{out}\n{err}") from None
        return self.process.returncode, json.loads(out or "null"), complaints_in(err)


def log_of(server: PostgresServer, script: Script) -> Log:
    return asyncio.run(complete_log(server, script.name))


def test_exit_says_goodbye_to_the_server(talkative: PostgresServer) -> None:
    script = Script(
        """
        async def many():
            return await asyncio.gather(*(backend_pid() for _ in range(20)))

        print(len(set(pools.run(many))))
        """,
        talkative.url,
    )
    code, count, complaints = script.end()
    assert (code, complaints) == (0, "")
    assert 1 <= count <= SIZE
    log = log_of(talkative, script)
    assert len(log.opened) >= count
    assert log.rude == []


def test_ctrl_c_cancels_the_call_and_says_goodbye(talkative: PostgresServer) -> None:
    """A real SIGINT, while the main thread waits for a query."""
    script = Script(
        """
        ended = []

        async def sleep():
            async with pools["home"].acquire() as connection:
                try:
                    await connection.execute("SELECT pg_sleep(60)")
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise

        try:
            pools.run(sleep)
        except KeyboardInterrupt:
            ended.append("interrupted")
        ended.append([pool.in_use for pool in pools.info()])
        print(json.dumps([*ended, pools.run(asyncio.sleep, 0, "goes on")]))
        """,
        talkative.url,
    )
    asyncio.run(_until_asleep(talkative.url, script.name))
    script.process.send_signal(signal.SIGINT)
    code, told, complaints = script.end()
    assert (code, complaints) == (0, "")
    assert told == ["cancelled", "interrupted", [0], "goes on"]
    assert log_of(talkative, script).rude == []


async def _until_asleep(url: str, name: str) -> None:
    admin = await asyncpg.connect(url)

    async def asleep() -> bool:
        return bool(
            await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = $1 AND wait_event = 'PgSleep'",
                name,
            )
        )

    try:
        await eventually(asleep)
    finally:
        await admin.close()


def test_a_fork_starts_a_loop_of_its_own_and_leaves_the_parents(talkative: PostgresServer) -> None:
    script = Script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads

        before = pools.run(backend_pid)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            pids = [pools.run(backend_pid) for _ in range(3)]
            os.write(writer, json.dumps([*pids, pools.count()]).encode())
            pools.close_at_exit()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        childs = json.loads(os.read(reader, 1000))
        os.close(reader)
        os.close(writer)
        print(json.dumps([before, childs, pools.run(backend_pid), status]))
        """,
        talkative.url,
    )
    code, told, complaints = script.end()
    assert (code, complaints) == (0, "")
    before, (*childs, count), after, status = told
    assert before == after
    assert len(set(childs)) == 1
    assert childs[0] != before
    assert (count, status) == (1, 0)
    log = log_of(talkative, script)
    assert len(log.opened) == 2
    assert log.rude == []


def test_a_thread_that_outlives_the_main_thread_is_served(talkative: PostgresServer) -> None:
    """The interpreter waits for it before its exit, and so do the pools."""
    script = Script(
        """
        import threading

        def work():
            threading.main_thread().join()
            print(len({pools.run(backend_pid) for _ in range(20)}))

        threading.Thread(target=work).start()
        """,
        talkative.url,
    )
    assert script.end() == (0, 1, "")
    assert log_of(talkative, script).rude == []


async def test_the_pool_is_there_for_all_to_see(
    home_alias: Opened, pg_admin: asyncpg.Connection[Any]
) -> None:
    """The home loop's pools are counted, closed and told verbs like any other's."""
    await pools.arun(backend_pid)
    assert pools.count() == 1
    assert [pool.alias for pool in pools.info()] == ["home"]
    assert len(await sessions(pg_admin, "poolapp:home:%")) == 1
    await pools.close_all()
    assert pools.count() == 0

    async def gone() -> bool:
        return not await sessions(pg_admin, "poolapp:home:%")

    await eventually(gone)
    assert await pools.arun(backend_pid) > 0
