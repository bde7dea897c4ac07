"""``FLEET_MAX``, orders and the servers' limits, among real processes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.signing import Signer

from poolapp import InvalidPoolError, pools
from poolapp.monitoring import fleet
from poolapp.monitoring.fleet import timing
from poolapp.monitoring.health import monitor
from poolapp.monitoring.process import this_process
from tests.integration.fleet.starting import (
    HERE,
    POSTGRES,
    REDIS,
    Fleet,
    Worker,
    _quick,  # noqa: F401
    seen,
    until_there,
)
from tests.real import eventually
from tests.servers import PostgresServer
from tests.valkey import Valkey

pytestmark = pytest.mark.usefixtures("_quick")


def cache(url: str, **settings: Any) -> dict[str, Any]:
    return {"cache": {"BACKEND": REDIS, "LOCATION": url, **settings}}


async def until_shares(alias: str, *wanted: tuple[Worker, int]) -> None:
    async def divided() -> bool:
        return [(await each.sizes(alias))[1] for each, _ in wanted] == [it for _, it in wanted]

    await eventually(divided)


# -- FLEET_MAX -------------------------------------------------------------------------------------


async def test_what_all_may_open_is_divided_anew_when_workers_come_and_go(redis_url: str) -> None:
    company = Fleet(cache(redis_url, FLEET_MAX=9, MAX_SIZE=8, MIN_SIZE=1))
    async with company.workers(1) as (one,):
        await until_shares("cache", (one, 8))  # never more than MAX_SIZE
        async with company.workers(1) as (two,):
            first, second = sorted([one, two], key=lambda each: f"{each.pid}:")
            await until_shares("cache", (first, 5), (second, 4))
            async with company.workers(1) as (three,):
                await until_shares("cache", (one, 3), (two, 3), (three, 3))
                three.kill()
                await until_shares("cache", (first, 5), (second, 4))
            assert await two.end() == 0
        await until_shares("cache", (one, 8))
        assert await one.sizes("cache") == (1, 8)


async def test_the_last_share_is_kept_while_the_redis_is_away(
    tmp_path: Path,
) -> None:
    async with Valkey(tmp_path) as server:
        company = Fleet(cache(server.url, FLEET_MAX=8, BREAKER={"FAILURES": 2, "RESET": 0.1}))
        async with company.workers(2) as (one, two):
            await until_shares("cache", (one, 4), (two, 4))
            server.kill()
            two.kill()

            async def noticed() -> str:
                return await one.ask("trouble")

            await eventually(noticed)
            assert await one.sizes("cache") == (0, 4)
            await server.start()
            await until_shares("cache", (one, 8))


async def test_a_share_is_never_less_than_one_and_health_says_so(redis_url: str) -> None:
    company = Fleet(cache(redis_url, FLEET_MAX=1))
    async with company.workers(2) as (one, two):
        with company.joined():
            await pools["cache"].ping()
            await until_there(one.pid, two.pid)
            await until_shares("cache", (one, 1), (two, 1))

            async def told() -> bool:
                return (
                    "FLEET_MAX is 1, and 3 workers keep one each." in monitor.known("cache").reasons
                )

            await eventually(told)
            assert monitor.known("cache").status == "degraded"


# -- orders ----------------------------------------------------------------------------------------


async def test_orders_reach_all_or_the_chosen_one_and_answers_say_what_was_done(
    redis_url: str,
) -> None:
    company = Fleet(cache(redis_url, MAX_SIZE=4))
    async with company.workers(2) as (one, two):
        with company.joined():
            await pools["cache"].ping()
            await until_there(one.pid, two.pid)
            workers = {each.pid: each.worker for each in (await seen()).processes}

            paused = await fleet.order("pause", "cache", worker=workers[one.pid])
            assert [(each.pid, each.ok) for each in paused] == [(one.pid, True)]
            assert "Paused" in paused[0].text
            states = [await one.ask("state", "cache"), await two.ask("state", "cache")]
            assert states == ["paused", "open"]

            resumed = await fleet.order("resume", "cache")
            assert resumed[0].pid == this_process().pid
            assert {each.pid for each in resumed[1:]} == {one.pid, two.pid}
            assert await one.ask("state", "cache") == "open"

            sized = await fleet.order("resize", "cache", worker=workers[two.pid], max_size=2)
            assert "Sized 0 to 2, instead of 0 to 4" in sized[0].text
            assert [await one.sizes("cache"), await two.sizes("cache")] == [(0, 4), (0, 2)]

            for verb, word in (("ping", "answered in"), ("drain", "Drained"), ("reset", "Reset")):
                answers = await fleet.order(verb, "cache")
                assert len(answers) == 3
                assert all(each.ok and word in each.text for each in answers), answers
            assert await two.ask("use", "cache") == "used"


async def test_sizes_given_by_hand_are_kept_within_the_share_through_every_division(
    redis_url: str,
) -> None:
    company = Fleet(cache(redis_url, MAX_SIZE=10, FLEET_MAX=6))
    async with company.workers(1) as (one,):
        with company.joined():
            await until_there(one.pid)
            (more,) = [
                each
                for each in await fleet.order("resize", "cache", max_size=9)
                if each.pid == one.pid
            ]
            assert "its share of FLEET_MAX is no larger" in more.text
            assert await one.sizes("cache") == (0, 6)
            async with company.workers(1) as (two,):
                await until_shares("cache", (one, 3), (two, 3))
                await fleet.order("resize", "cache", max_size=3)
            await until_there(one.pid)
            await until_shares("cache", (one, 3))


async def test_orders_that_make_no_sense_reach_nobody(redis_url: str) -> None:
    company = Fleet(cache(redis_url))
    with company.joined():
        with pytest.raises(ValueError, match="no order 'destroy'"):
            await fleet.order("destroy", "cache")
        with pytest.raises(ValueError, match="drain takes no 'max_size'"):
            await fleet.order("drain", "cache", max_size=3)
        with pytest.raises(ValueError, match="whole number"):
            await fleet.order("resize", "cache", max_size="3")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="min_size or max_size"):
            await fleet.order("resize", "cache")
        with pytest.raises(InvalidPoolError, match="no pool 'cash'"):
            await fleet.order("drain", "cash")
        (answer,) = await fleet.order("drain", "cache", worker="gone:1:1")
        assert (answer.ok, answer.host, answer.pid) == (False, "gone", 1)
        (wrong,) = await fleet.order("resize", "cache", worker=this_process().worker, max_size=0)
        assert not wrong.ok
        assert "max_size >= 1" in wrong.text


async def test_who_does_not_answer_is_named(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "ORDER_PATIENCE", 0.2)
    company = Fleet(cache(redis_url))
    async with company.workers(2) as (one, two):
        with company.joined():
            await until_there(one.pid, two.pid)
            two.kill()  # and is there for a moment yet
            answers = {each.pid: each for each in await fleet.order("drain", "cache")}
            assert answers[one.pid].ok
            assert answers[two.pid].text == "It did not answer within 0.2 s."


@pytest.mark.parametrize("how", ["unsigned", "signed otherwise", "too old", "for another", "twice"])
async def test_forged_stale_and_repeated_orders_are_not_carried_out(
    how: str, tmp_path: Path
) -> None:
    async with Valkey(tmp_path) as server:
        company = Fleet(cache(server.url))
        async with company.workers(1) as (one,):
            with company.joined():
                await until_there(one.pid)
                worker = (await seen()).processes[1].worker
                seconds, _ = await server.admin.time()
                order = {
                    "id": "1", "worker": worker, "verb": "pause", "alias": "cache", "details": {},
                    "at": seconds * 1000,
                }  # fmt: skip
                salt = f"poolapp.fleet.{company.name}.order"
                signer = Signer(salt=salt)
                if how == "signed otherwise":
                    signer = Signer(key="guessed", salt=salt)
                if how == "too old":
                    order["at"] = (seconds - 3600) * 1000
                if how == "for another":
                    order["worker"] = "another:1:1"
                text = json.dumps(order)
                signed = text if how == "unsigned" else signer.sign(text)
                key = f"{{poolapp:{company.name}}}:orders:{worker}"
                await server.admin.rpush(key, signed)
                if how == "twice":
                    await until_answered(server, company, "1")
                    assert await one.ask("state", "cache") == "paused"
                    await fleet.order("resume", "cache", worker=worker)
                    await server.admin.rpush(key, signed)
                # What comes after it was looked at after it.
                await fleet.order("ping", "cache", worker=worker)
                assert await one.ask("state", "cache") == "open"


async def until_answered(server: Valkey, company: Fleet, order: str) -> None:
    async def answered() -> bool:
        key = f"{{poolapp:{company.name}}}:answers:{order}"
        return bool(await server.admin.llen(key))

    await eventually(answered)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("postgres_server", [{"max_connections": 20}], indirect=True)
async def test_too_many_for_the_server_is_told_before_it_is_hit(
    postgres_server: PostgresServer, redis_url: str, manage: Callable[..., Any]
) -> None:
    declared = {
        **cache(redis_url),
        "default": {"BACKEND": POSTGRES, "LOCATION": postgres_server.url, "MAX_SIZE": 6},
        "reports": {"BACKEND": POSTGRES, "LOCATION": postgres_server.url, "MAX_SIZE": 3},
    }
    company = Fleet(declared)
    async with company.workers(2, FLEET_USES="cache,default") as (one, two):
        with company.joined():
            await until_there(one.pid, two.pid)

            async def known() -> Any:
                limits = (await seen()).limits
                ours = (each for each in limits if "default" in each.aliases)
                return next((each for each in ours if each.open == 2), None)

            fine = await eventually(known)
            # 20 less the 3 that PostgreSQL keeps for its administrators
            assert (fine.workers, fine.possible, fine.limit) == (2, 18, 17)
            assert set(fine.aliases) == {"default", "reports"}
            assert fine.exceeded

            async def everywhere() -> bool:
                processes = (await seen()).processes
                found = [
                    alias.health
                    for process in processes[1:]
                    for alias in process.aliases
                    if alias.alias == "default"
                ]
                return all(
                    each.status == "degraded"
                    and each.reasons
                    == ("2 workers may open 18 connections; the server lets in 17.",)
                    for each in found
                )

            await eventually(everywhere)
        checked = await asyncio.to_thread(manage, company, "check", "--deploy")
        assert "poolapp.W007" in checked.stderr
        assert "2 workers may open 18 connections" in checked.stderr
        shown = await asyncio.to_thread(manage, company, "poolstatus", "--fleet")
        assert shown.returncode == 0
        assert "may open 18 connections; the server lets in 17, and 2 are open." in shown.stdout


@pytest.fixture
def manage() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(company: Fleet, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "django", *command],
            env={**company.environment, "COLUMNS": "120"},
            cwd=HERE.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


# -- poolstatus --fleet ----------------------------------------------------------------------------


async def test_poolstatus_shows_the_pools_of_all_workers_the_worst_first(
    redis_url: str, manage: Callable[..., Any]
) -> None:
    company = Fleet(cache(redis_url, MAX_SIZE=3))
    async with company.workers(2) as (one, two):
        with company.joined():
            await until_there(one.pid, two.pid)
            worker = next(each.worker for each in (await seen()).processes if each.pid == two.pid)
            await fleet.order("pause", "cache", worker=worker)
            assert await one.ask("hold", "cache") == "held"

            async def told() -> bool:
                return "degraded" in {each.status for each in (await seen()).processes} and any(
                    each.aliases[0].in_use for each in (await seen()).processes
                )

            await eventually(told)
        done = await asyncio.to_thread(manage, company, "poolstatus", "--fleet")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "2 workers on 1 host"
        rows = {line.split()[1].rpartition(":")[2]: line.split() for line in lines[3:5]}
        assert lines[3].split()[3] == "degraded"
        assert rows[str(two.pid)][3] == "degraded"
        assert rows[str(one.pid)][3:5] == ["healthy", "1/3"]
        assert f":{two.pid} is degraded: The pool is paused." in done.stdout

        done = await asyncio.to_thread(manage, company, "poolstatus", "--fleet", "--format", "json")
        told_as_json = json.loads(done.stdout)
        assert told_as_json["status"] == "degraded"
        assert {each["pid"] for each in told_as_json["processes"]} == {one.pid, two.pid}


async def test_poolstatus_without_workers_redis_or_fleet(
    redis_url: str, tmp_path: Path, manage: Callable[..., Any]
) -> None:
    done = await asyncio.to_thread(manage, Fleet(cache(redis_url)), "poolstatus", "--fleet")
    assert (done.returncode, done.stdout) == (0, "No worker process has pools now.\n")

    nobody = Fleet(cache("redis://127.0.0.1:1/0"))
    done = await asyncio.to_thread(manage, nobody, "poolstatus", "--fleet")
    assert done.returncode == 1
    assert done.stdout.startswith("The fleet's Redis, pool 'cache', can't be asked (")
    assert done.stderr == ""

    done = await asyncio.to_thread(manage, nobody, "poolstatus", "--fleet", "--probe")
    assert done.returncode == 2

    plain = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-m", "django", "poolstatus", "--fleet"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert plain.returncode == 2
    assert "POOLAPP = {'FLEET': 'cache'}" in plain.stderr
