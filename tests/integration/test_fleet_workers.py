"""Who is in the fleet: real processes, at a real Valkey."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from django.test import override_settings

from poolapp import pools
from poolapp.monitoring import fleet
from poolapp.monitoring.process import this_process
from tests.acceptance.servers.processes import started
from tests.integration.fleet.starting import (
    HERE,
    REDIS,
    Fleet,
    _quick,  # noqa: F401
    others,
    seen,
    until_there,
)
from tests.real import eventually
from tests.valkey import Valkey

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def company(redis_url: str) -> Fleet:
    return Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url}})


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Valkey]:
    async with Valkey(tmp_path) as server:
        yield server


# -- who is seen -----------------------------------------------------------------------------------


async def test_every_worker_is_seen_with_its_numbers_and_this_process_first(
    company: Fleet,
) -> None:
    async with company.workers(2) as (one, two):
        with company.joined():
            await until_there(one.pid, two.pid)
            assert await one.ask("hold", "cache") == "held"

            async def told() -> bool:
                numbers = {each.pid: each.aliases[0].in_use for each in (await seen()).processes}
                return numbers[one.pid] == 1 and numbers[two.pid] == 0

            await eventually(told)
            found = await seen()
            assert found.processes[0].worker == this_process().worker
            theirs = next(each for each in found.processes if each.pid == one.pid)
            assert theirs.server == "worker.py"
            (lease,) = theirs.aliases[0].loops[0].leases
            assert lease.site.endswith("in work")


async def test_a_process_that_only_looks_is_none_of_them(company: Fleet) -> None:
    async with company.workers(1) as (one,):
        with company.joined():
            await until_there(one.pid)
            found = await seen()
            assert found.limits == [] or found.limits[0].workers == 1


async def test_a_process_is_one_of_them_while_it_has_pools(company: Fleet) -> None:
    async with company.workers(1) as (one,):
        with company.joined():
            await until_there(one.pid)
            await pools["cache"].ping()

            async def two() -> bool:
                return fleet.fleet.member.workers != [] and len(fleet.fleet.member.workers) == 2

            await eventually(two)
            await pools.close_all()

            async def gone() -> bool:
                return not fleet.fleet.member.joined

            await eventually(gone)


async def test_who_is_killed_vanishes_and_who_ends_says_goodbye(company: Fleet) -> None:
    async with company.workers(3) as (killed, ended, stays):
        with company.joined():
            await until_there(killed.pid, ended.pid, stays.pid)
            assert await ended.end() == 0
            assert await others() == {killed.pid, stays.pid}  # at once, not when a time is over
            killed.kill()
            await until_there(stays.pid)


async def test_who_says_goodbye_does_not_come_back_for_the_pools_that_are_still_closing(
    company: Fleet,
) -> None:
    async def joined() -> bool:
        return fleet.fleet.member.joined and fleet.fleet.member.workers != []

    async def gone() -> bool:
        return not fleet.fleet.member.joined

    with company.joined():
        await pools["cache"].ping()
        await eventually(joined)
        await fleet.fleet.member.leave()  # as `close_all` does, while pools of other loops close
        await eventually(gone)
        assert pools["cache"].state == "open"
        await pools.close_all()
        await pools["cache"].ping()  # another one
        await eventually(joined)


async def test_the_clocks_of_hosts_may_differ(company: Fleet) -> None:
    async with (
        company.workers(1, FLEET_SKEW="86400") as (early,),
        company.workers(1, FLEET_SKEW="-86400") as (late,),
    ):
        with company.joined():
            await until_there(early.pid, late.pid)
            found = (await seen()).processes
            assert all(0 <= each.age < 5 for each in found)
            assert all(0 <= each.uptime < 120 for each in found[1:])
            answers = await fleet.order("drain", "cache")
            assert all(each.ok for each in answers)
            early.kill()
            await until_there(late.pid)


async def test_fleets_of_one_redis_don_t_meet(company: Fleet, redis_url: str) -> None:
    stranger = Fleet(company.pools)
    async with company.workers(1) as (one,), stranger.workers(1) as (other,):
        with company.joined():
            await until_there(one.pid)
        with stranger.joined():
            await until_there(other.pid)


async def test_whoever_has_another_key_is_not_believed(company: Fleet) -> None:
    async with (
        company.workers(1) as (one,),
        company.workers(1, FLEET_SECRET_KEY="a stranger's") as (stranger,),
        company.workers(
            1, FLEET_SECRET_KEY="the next one", FLEET_FALLBACKS='["for the tests only"]'
        ) as (rotated,),
    ):
        with company.joined():
            await until_there(one.pid)
            answers = await fleet.order("pause", "cache")
            assert {each.pid for each in answers if each.worker != this_process().worker} == {
                one.pid
            }
            assert await stranger.ask("state", "cache") == "open"
            assert await rotated.ask("state", "cache") == "open"
        new = {"SECRET_KEY": "the next one", "SECRET_KEY_FALLBACKS": ["for the tests only"]}
        with company.joined(), override_settings(**new):
            await until_there(one.pid, rotated.pid)


# -- servers ---------------------------------------------------------------------------------------


async def use(url: str, path: str, count: int) -> set[int]:
    """Have so many processes use their pools; what they are."""
    found: set[int] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def enough() -> bool:
            async with session.get(f"{url}/{path}") as response:
                found.add((await response.json())["process"])
            return len(found) == count

        await eventually(enough, within=30)
    return found


@pytest.mark.parametrize(
    ("server", "path", "arguments"),
    [
        ("uvicorn", "use", "-m uvicorn fleet.asgi:application --port {port} --workers 2"),
        ("gunicorn", "use_plainly", "-m gunicorn fleet.wsgi --bind 127.0.0.1:{port} --workers 2"),
    ],
)
async def test_the_workers_of_a_server_are_a_fleet(
    company: Fleet, server: str, path: str, arguments: str, tmp_path: Path
) -> None:
    async with started(
        arguments.split(), company.variables, tmp_path, project=HERE.parent
    ) as process:
        await process.until_ready()
        pids = await use(process.url, path, 2)
        with company.joined():
            await until_there(*pids)
            assert {each.server for each in (await seen()).processes[1:]} == {server}
            async with aiohttp.ClientSession() as session:
                headers = {"Accept": "application/json"}
                url = f"{process.url}/pools/health/fleet"
                async with session.get(url, headers=headers) as response:
                    told = await response.json()
                assert response.status == 200
            assert (told["status"], told["workers"], told["notice"]) == ("healthy", 2, "")
            process.terminate()
            await process.end()
            assert await others() == set(), process.log
        assert "Traceback" not in process.log


async def test_a_command_joins_only_when_it_goes_on_for_long(company: Fleet) -> None:
    script = ("-m", "django", "work")
    async with (
        company.workers(1, *script) as (short,),
        company.workers(1, *script, FLEET_COMMAND_DELAY="0") as (long,),
    ):
        with company.joined():
            await until_there(long.pid)
            assert (await seen()).processes[1].server == "command work"
            assert await short.end() == 0
            assert await long.end() == 0


# -- the Redis goes away ---------------------------------------------------------------------------


async def test_without_its_redis_there_is_this_process_and_a_notice_until_it_is_back(
    own_redis: Valkey,
) -> None:
    declared = {
        "cache": {
            "BACKEND": REDIS,
            "LOCATION": own_redis.url,
            "BREAKER": {"FAILURES": 2, "RESET": 0.2},
            "CONNECT_TIMEOUT": 0.5,
        }
    }
    company = Fleet(declared)
    async with company.workers(1) as (one,):
        with company.joined():
            await until_there(one.pid)
            await pools["cache"].ping()
            own_redis.kill()

            async def alone() -> bool:
                found = await fleet.read()
                return "'cache', can't be asked" in found.notice and len(found.processes) == 1

            await eventually(alone)
            answers = await fleet.order("pause", "cache")
            assert [(each.pid == this_process().pid, each.ok) for each in answers] == [
                (True, True),
                (False, False),
            ]
            assert "could be told" in answers[1].text
            await fleet.order("resume", "cache")
            await own_redis.start()
            await until_there(one.pid)
            assert await one.ask("use", "cache") == "used"


async def test_an_order_reaches_a_pool_that_is_paused_and_one_that_is_exhausted(
    redis_url: str,
) -> None:
    company = Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url, "MAX_SIZE": 1}})
    async with company.workers(1) as (one,):
        with company.joined():
            await until_there(one.pid)
            assert await one.ask("hold", "cache") == "held"
            (_, paused) = await fleet.order("pause", "cache")
            assert (paused.pid, paused.ok) == (one.pid, True)
            assert "1 in use" in paused.text
            assert await one.ask("state", "cache") == "paused"
            (_, resumed) = await fleet.order("resume", "cache")
            assert resumed.ok
            assert await one.ask("state", "cache") == "open"


async def test_with_no_fleet_there_is_this_process_and_a_notice() -> None:
    found = await fleet.read()
    assert [each.worker for each in found.processes] == [this_process().worker]
    assert "POOLAPP['FLEET']" in found.notice
