"""Celery's workers: their connections last from task to task, their children start without any,
and all say goodbye. A real worker on the real Valkey."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.servers.processes import Process, started
from tests.acceptance.servers.watching import Watch, watching
from tests.real import eventually
from tests.servers import PostgresServer


@pytest.fixture
def postgres(talkative_postgres: PostgresServer) -> PostgresServer:
    return talkative_postgres


class Worker:
    """A running Celery worker, and what is needed to have it work."""

    def __init__(
        self, process: Process, watch: Watch, environment: dict[str, str], folder: Path
    ) -> None:
        self.process = process
        self.watch = watch
        self._environment = environment
        self._folder = folder

    async def do(self, *tasks: str) -> list[dict[str, Any]]:
        """The answers to tasks that are sent at once."""
        client = ("-m", "served.client", *tasks)
        async with started(client, self._environment, self._folder, name="client") as process:
            assert await process.end() == 0, process.log + self.process.log
            return process.answers

    async def stop(self) -> None:
        """Warmly; every process of it has ended and every connection is closed, in peace."""
        family = self.process.family()
        self.process.terminate()
        assert await self.process.end() == 0, self.process.log

        async def ended() -> bool:
            return not psutil.wait_procs(family, timeout=0)[1]

        await eventually(ended)
        await self.watch.until_gone()
        assert await self.watch.rude() == []
        assert await self.watch.without_goodbye() == set()
        assert "Traceback" not in self.process.log


@asynccontextmanager
async def working(
    postgres: PostgresServer, redis_url: str, folder: Path, *options: str, **variables: str
) -> AsyncIterator[Worker]:
    name = f"celery-{os.urandom(4).hex()}"
    environment = {
        "SERVED_NAME": name,
        "SERVED_POSTGRES_URL": postgres.url,
        "SERVED_REDIS_URL": redis_url,
        **variables,
    }
    quiet = ("--without-heartbeat", "--without-mingle", "--without-gossip")
    arguments = ("-m", "celery", "-A", "served.worker", "worker", *quiet, *options)
    async with (
        watching(name, postgres, redis_url) as watch,
        started(arguments, environment, folder) as process,
    ):
        yield Worker(process, watch, environment, folder)


async def test_tasks_reuse_the_connection_of_the_task_before(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    async with working(postgres, server_urls["redis"], tmp_path, "-P", "prefork", "-c1") as worker:
        answers = await worker.do(*["by_run"] * 10)
        assert len({answer["process"] for answer in answers}) == 1
        assert len({answer["session"] for answer in answers}) == 1
        assert {answer["loops"] for answer in answers} == {1}
        await worker.stop()
        assert len(await worker.watch.opened()) == 1


async def test_a_prefork_child_has_connections_of_its_own(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """None is the parent's, and none is shared by two children."""
    async with working(postgres, server_urls["redis"], tmp_path, "-P", "prefork", "-c2") as worker:
        async with worker.watch.gate_shut():
            answering = asyncio.create_task(worker.do(*["by_run"] * 10))

            async def both_wait() -> bool:
                return await worker.watch.at_gate() == 2

            await eventually(both_wait)
        answers = await answering
        parent = worker.process.pid
        pairs = {(answer["process"], answer["session"]) for answer in answers}
        assert len(pairs) == len(dict(pairs)) == len({session for _, session in pairs}) == 2
        assert parent not in dict(pairs)
        await worker.stop()


async def test_a_parent_that_has_used_pools_shares_nothing_with_its_children(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    async with working(
        postgres,
        server_urls["redis"],
        tmp_path,
        *("-P", "prefork", "-c1"),
        SERVED_USED_BY_PARENT="yes",
    ) as worker:
        answers = await worker.do(*["by_run"] * 5)
        (parents,) = worker.process.answers
        assert {answer["session"] for answer in answers} != {parents["session"]}
        assert {answer["loops"] for answer in answers} == {1}
        assert await worker.watch.sessions() == 2
        await worker.stop()
        assert len(await worker.watch.opened()) == 2


async def test_a_replaced_prefork_child_says_goodbye(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """A child ends after some tasks, when it is told to, and another takes its place."""
    options = ("-P", "prefork", "-c1", "--max-tasks-per-child=5")
    async with working(postgres, server_urls["redis"], tmp_path, *options) as worker:
        answers = await worker.do(*["by_run"] * 15)
        pairs = {(answer["process"], answer["session"]) for answer in answers}
        assert len(pairs) == len(dict(pairs)) == 3
        await worker.stop()
        assert len(await worker.watch.opened()) == 3


async def test_threads_share_the_process_loop_and_its_connections(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    async with working(postgres, server_urls["redis"], tmp_path, "-P", "threads", "-c8") as worker:
        async with worker.watch.gate_shut():
            answering = asyncio.create_task(worker.do(*["by_run"] * 30))

            async def all_wait() -> bool:
                return await worker.watch.at_gate() == 4

            await eventually(all_wait)
        answers = await answering
        assert {answer["loops"] for answer in answers} == {1}
        assert {answer["process"] for answer in answers} == {worker.process.pid}
        await worker.stop()
        assert len(await worker.watch.opened()) == 4


async def test_the_solo_pool_reuses_connections_as_well(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    async with working(postgres, server_urls["redis"], tmp_path, "-P", "solo") as worker:
        answers = await worker.do(*["by_run", "by_async_to_sync"] * 5)
        by_run = [answer["session"] for answer in answers[::2]]
        each_its_own = [answer["session"] for answer in answers[1::2]]
        assert len(set(by_run)) == 1
        assert len(set(each_its_own)) == 5
        await worker.stop()


async def test_a_killed_child_is_replaced_by_one_that_works(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """An outage of a child is none of the worker's."""
    async with working(postgres, server_urls["redis"], tmp_path, "-P", "prefork", "-c1") as worker:
        (first,) = await worker.do("by_run")
        psutil.Process(first["process"]).kill()
        (second,) = await worker.do("by_run")
        assert second["process"] != first["process"]
        assert second["session"] != first["session"]
        await worker.watch.until_sessions(1)
