"""Every server and runner, started for real, used, and ended: how many loops have pools there, how
many connections there are, and whether each says goodbye before its process ends.

A process's end closes its sockets anyway. So what counts is what the servers on the other end saw:
PostgreSQL's log tells of clients that left without a word, and each Valkey connection takes itself
off a list in its last words.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.acceptance.servers.processes import HERE, Process, started
from tests.acceptance.servers.rows import (
    CTRL_C,
    EXIT,
    MAX_SIZE,
    ROWS,
    SIGHUP,
    SIGINT,
    SIGTERM,
    TOUCH,
    Row,
)
from tests.acceptance.servers.watching import Watch, watching
from tests.real import eventually
from tests.servers import PostgresServer

REQUESTS = 20

BAD_WORDS = (
    "Event loop is closed",
    "ResourceWarning",
    "Task was destroyed",
    "never retrieved",
    "was never awaited",
    "Traceback",
)


# What servers leave open themselves: the socket they listen on, a file or stdin, the child of
# runserver's reloader; and how gunicorn's worker tells that SIGINT found it at a request's end.
THEIR_OWN = re.compile(
    r"^\[.*Error handling request .*\n(?:(?!\[).*\n)*SystemExit: 0$|"
    r"^Exception ignored in: .*\n(?:Traceback .*\n(?:  .*\n)+)?ResourceWarning: (?:"
    r"unclosed <socket\.socket .*laddr=\([^)]*\)>|"
    r"unclosed file <_io\.(?:FileIO|TextIOWrapper) name=\d .*|"
    r"subprocess \d+ is still running)$",
    re.MULTILINE,
)


@pytest.fixture
def postgres(talkative_postgres: PostgresServer) -> PostgresServer:
    return talkative_postgres


@asynccontextmanager
async def watched(
    row: Row, end: str, postgres: PostgresServer, redis_url: str
) -> AsyncIterator[tuple[Watch, dict[str, str]]]:
    """The watch of a row's connections, and the environment of its processes."""
    name = f"{row.name}-{end}-{os.getpid()}"
    environment = {
        "SERVED_NAME": name,
        "SERVED_POSTGRES_URL": postgres.url,
        "SERVED_REDIS_URL": redis_url,
        **row.environment,
    }
    async with watching(name, postgres, redis_url) as watch:
        yield watch, environment


@pytest.mark.parametrize(
    ("row", "end"),
    [pytest.param(row, end, id=f"{row.name}-{end}") for row in ROWS for end in row.ends],
)
async def test_servers_goodbye(
    row: Row, end: str, postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    project = HERE
    if end == TOUCH:
        project = shutil.copytree(HERE, tmp_path / "project")
    async with (
        watched(row, end, postgres, server_urls["redis"]) as (watch, environment),
        started(
            row.arguments, environment, tmp_path, project=project, strict=row.strict
        ) as process,
    ):
        if row.kind == "run":
            code = await run(process, watch, row, end)
        else:
            answers = await use(process, watch, row, environment, tmp_path)
            inspect(answers, row)
            family = process.family()
            if end == SIGHUP:
                process.send_hangup()
            elif end == TOUCH:
                (project / "served/views.py").touch()
            if end in (SIGHUP, TOUCH):
                await watch_replacement(process, watch, row, answers)
            code = await stop(process, end)
            await eventually(lambda: ended(family))
        await watch.until_gone()
        expected = row.ends[end]
        assert code == expected.code, process.log
        if expected.goodbye:
            await all_said_goodbye(process, watch)


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
async def test_servers_sigterm_amid_requests(
    name: str, postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """Whoever was let in before the signal is answered, whoever comes after it is turned away."""
    (row,) = (row for row in ROWS if row.name == name)
    async with (
        watched(row, "amid-requests", postgres, server_urls["redis"]) as (watch, environment),
        started(row.arguments, environment, tmp_path) as process,
    ):
        await process.until_ready()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as kept:
            async with watch.gate_shut():
                paths = [*["async"] * 160, *["run"] * 20, *["to_sync"] * 20]
                asking = asyncio.create_task(ask_server(process.url, paths))
                await until_in_flight(process, kept, len(paths))
                knocking = [asyncio.create_task(until_turned_away(process)) for _ in range(20)]
                process.terminate()
                await asyncio.gather(*knocking)
                # On a connection that was open before as well.
                assert await knock(kept, process.url) in TURNED_AWAY
                assert process.running
                assert not asking.done()
            answers = await asking
        assert len(answers) == len(paths)
        assert await process.end() == row.ends[SIGTERM].code
        await all_said_goodbye(process, watch)


async def test_servers_daphne_stops_as_it_takes_a_request(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """The request is answered all the same, not left waiting for the end of the process."""
    (row,) = (row for row in ROWS if row.name == "daphne")
    arguments = ("-m", "daphne", "served.stopping:application", "--port", "{port}")
    async with (
        watched(row, "in-the-moment", postgres, server_urls["redis"]) as (watch, environment),
        started(arguments, environment, tmp_path) as process,
    ):
        await process.until_ready()
        await ask_server(process.url, ["async", "run"])
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{process.url}/stop") as response,
        ):
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
        assert await process.end() == 0
        await all_said_goodbye(process, watch)


async def test_servers_daphne_cuts_requests_short_that_do_not_end(
    postgres: PostgresServer, server_urls: dict[str, str], tmp_path: Path
) -> None:
    """They are told that their clients have gone; their queries are cancelled at the server."""
    (row,) = (row for row in ROWS if row.name == "daphne")
    arguments = ("-m", "daphne", "served.impatient:application", "--port", "{port}")
    async with (
        watched(row, "cut-short", postgres, server_urls["redis"]) as (watch, environment),
        started(arguments, {**environment, "SERVED_CLOSE_TIMEOUT": "0.1"}, tmp_path) as process,
    ):
        await process.until_ready()
        async with aiohttp.ClientSession() as session, watch.gate_shut():
            asking = [asyncio.create_task(knock(session, process.url, "async")) for _ in range(3)]
            await until_in_flight(process, session, len(asking))
            process.terminate()
            assert await process.end() == 0
            assert not set(await asyncio.gather(*asking)) & {200, 503}
        assert "3 requests did not end in time and were cut short" in process.log
        await all_said_goodbye(process, watch)


TURNED_AWAY = ("refused", 503)


async def until_in_flight(process: Process, session: aiohttp.ClientSession, count: int) -> None:
    async def there() -> bool:
        async with session.get(f"{process.url}/ready") as response:
            return bool((await response.json())["in_flight"] == count)

    await eventually(there)


async def until_turned_away(process: Process) -> None:
    """Knock again and again; none is kept waiting, also in the moment of the signal."""

    async def turned_away() -> bool:
        async with aiohttp.ClientSession() as session:
            return await knock(session, process.url) in TURNED_AWAY

    await eventually(turned_away)


async def knock(session: aiohttp.ClientSession, url: str, path: str = "ready") -> object:
    """A request's status; "refused" where nobody listens, "cut" where it is not answered."""
    try:
        async with session.get(f"{url}/{path}") as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return "refused"
    except (aiohttp.ClientError, ConnectionError):
        return "cut"


async def all_said_goodbye(process: Process, watch: Watch) -> None:
    await watch.until_gone()
    log = THEIR_OWN.sub("", process.log)
    assert [word for word in BAD_WORDS if word in log] == [], log
    assert await watch.opened() != set()
    assert await watch.rude() == [], log
    assert await watch.without_goodbye() == set(), log


async def run(process: Process, watch: Watch, row: Row, end: str) -> int:
    """Something that ends by itself, unless it is interrupted at the gate; its exit code."""
    async with watch.gate_shut():
        await at_gate(process, watch, row)
        if end != EXIT:
            return await stop(process, end)
    code = await process.end()
    assert code != 0 or len(process.answers) >= REQUESTS, process.log
    inspect(process.answers, row)
    return code


async def use(
    process: Process, watch: Watch, row: Row, environment: dict[str, str], folder: Path
) -> list[dict[str, Any]]:
    """Twenty requests or tasks at once; all are answered."""
    async with watch.gate_shut():
        if row.kind == "worker":
            asking = asyncio.create_task(ask_worker(environment, folder))
        else:
            await process.until_ready()
            paths = itertools.islice(itertools.cycle(row.paths), REQUESTS)
            asking = asyncio.create_task(ask_server(process.url, list(paths)))
        await at_gate(process, watch, row)
    answers = await asking
    assert len(answers) == REQUESTS
    if row.kind == "server":
        # Short-lived loops may have taken all there was and closed it: have some left for the end.
        answers += await ask_server(process.url, ["run"])
        assert await watch.sessions() > 0
    assert await watch.sessions() <= MAX_SIZE * row.workers
    assert await watch.clients() <= MAX_SIZE * row.workers
    return answers


async def at_gate(process: Process, watch: Watch, row: Row) -> None:
    """As much is in flight as can be, and no more than may be."""

    async def crowded() -> bool:
        assert process.running, process.log
        return await watch.at_gate() >= row.at_once

    await eventually(crowded)
    assert await watch.sessions() <= MAX_SIZE * row.workers


async def ask_server(url: str, paths: list[str]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(path: str) -> dict[str, Any]:
            async with session.get(f"{url}/{path}", raise_for_status=True) as response:
                answer: dict[str, Any] = await response.json()
                return answer

        return await asyncio.gather(*map(ask, paths))


async def ask_worker(environment: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    async with started(("-m", "served.client"), environment, folder, name="client") as client:
        assert await client.end() == 0, client.log
        return client.answers


def inspect(answers: list[dict[str, Any]], row: Row) -> None:
    assert max(answer["loops"] for answer in answers) <= row.loops
    assert len({answer["process"] for answer in answers}) <= row.workers


async def watch_replacement(
    process: Process, watch: Watch, row: Row, answers: list[dict[str, Any]]
) -> None:
    """The worker's successor answers, and the worker has left as at any other end."""
    former = {answer["process"] for answer in answers}

    async def replaced() -> bool:
        try:
            (answer,) = await ask_server(process.url, ["ready"])
        except (aiohttp.ClientError, ConnectionError):
            return False
        # One that ends while it answers may get no further than the headers.
        return bool(answer) and answer["process"] not in former

    await eventually(replaced)
    left = [psutil.Process(pid) for pid in former if psutil.pid_exists(pid)]
    await eventually(lambda: ended(left))
    await all_said_goodbye(process, watch)
    inspect(await ask_server(process.url, ["run", "async"]), row)


async def stop(process: Process, end: str) -> int:
    if end in (CTRL_C, TOUCH):
        process.press_ctrl_c()
    elif end == SIGINT:
        process.interrupt()
    else:
        assert end in (SIGTERM, SIGHUP)
        process.terminate()
    return await process.end()


async def ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=0)
    return not alive
