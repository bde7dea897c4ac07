"""An HTTP pool over time: killed sockets and servers, ended loops, configurations side by side."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import httpx
import pytest

from poolapp import BackendUnavailable, PoolError, PoolTimeout, pools
from poolapp.backends.http import HttpBackend
from poolapp.devservices.ports import free_port
from tests.certificates import Authority
from tests.http_server import HTTP, Api, Elsewhere, Process, answers, process
from tests.real import Proxy, config_of, heard, pool_of


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with Api() as api:
        yield api


async def all_can_be_held(pool: Any) -> None:
    leases = [await pool.acquire(timeout=30) for _ in range(pool.config.max_size)]
    for lease in leases:
        lease.release()
    assert pool.in_use == 0


async def test_fifty_first_acquires_make_one_session(api: Api) -> None:
    """Scenario 16."""
    config = config_of(HTTP, api.url, max_size=50)
    pools.register(config.alias, config)

    async def first() -> Any:
        async with pools[config.alias].acquire() as session:
            return session

    sessions = await asyncio.gather(*(first() for _ in range(50)))
    assert len(set(map(id, sessions))) == 1
    assert len(api.connections()) <= 1
    await pools.remove(config.alias)


class TestKilled:
    async def test_nobody_notices_that_all_idle_sockets_were_killed(self, api: Api) -> None:
        """Scenario 18: also of what is not repeated, as soon as the client has heard of it."""
        async with pool_of(config_of(HTTP, api.url, max_size=10)) as pool:
            api.gate.clear()
            asking = [asyncio.create_task(pool.get("")) for _ in range(10)]
            await api.until_inside(10)
            api.gate.set()
            await asyncio.gather(*asking)
            assert api.cut() == 10
            for response in await asyncio.gather(*(pool.get("") for _ in range(50))):
                assert response.status == 200
            assert (await pool.post("")).status == 200
            assert pool.stats().connect_failed == 0

    @pytest.mark.parametrize("how", ["request", "stream", "lease", "httpx"])
    async def test_idle_sockets_that_lead_nowhere_cost_one_request_its_timeout(
        self, api: Api, how: str
    ) -> None:
        """A router has forgotten them: nobody says so, and each of them would be a timeout."""
        async with Proxy("127.0.0.1", api.port) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            async with pool_of(config_of(HTTP, url, max_size=5, check_after=0.0)) as pool:
                api.gate.clear()
                asking = [asyncio.create_task(pool.get("")) for _ in range(5)]
                await api.until_inside(5)
                api.gate.set()
                await asyncio.gather(*asking)
                proxy.forget()
                with pytest.raises((BackendUnavailable, TimeoutError, httpx.TimeoutException)):
                    if how == "request":
                        await pool.get("", timeout=0.1)
                    elif how == "stream":
                        async with pool.stream("GET", "", timeout=0.1):
                            pass
                    elif how == "lease":
                        async with asyncio.timeout(0.1), pool.acquire() as session:
                            await session.get("")
                    else:
                        async with pool.httpx_client(timeout=0.1) as client:
                            await client.get("")
                for _ in range(5):
                    assert (await pool.get("", retry=False)).status == 200

    async def test_the_error_reaches_the_holder_and_the_slot_comes_back(self, api: Api) -> None:
        """Scenario 19: by a short cut, and in the hands of who holds the session."""
        async with pool_of(config_of(HTTP, api.url, max_size=4)) as pool:

            async def hold() -> None:
                async with pool.acquire() as session, session.post("") as response:
                    await response.read()

            api.gate.clear()
            asking = [
                *(asyncio.create_task(pool.post("")) for _ in range(2)),
                *(asyncio.create_task(hold()) for _ in range(2)),
            ]
            await api.until_inside(4)
            api.cut()
            api.gate.set()
            errors = await asyncio.gather(*asking, return_exceptions=True)
            assert [type(error) for error in errors[:2]] == [BackendUnavailable] * 2
            assert all(isinstance(error, aiohttp.ClientConnectionError) for error in errors[2:])
            await all_can_be_held(pool)
            assert pool.stats().sockets.in_use == 0

    async def test_a_server_killed_under_load_and_started_again(self) -> None:
        """Scenario 20: kill -9: recovers, no slot lost, the dead server is not hammered."""
        with process() as server:
            config = config_of(HTTP, server.url, max_size=8, acquire_timeout=0.5)
            async with pool_of(config) as pool:
                await _kill_and_restart(pool, server)
                await all_can_be_held(pool)
                assert pool.budget.used == pool.size <= 8


async def _kill_and_restart(pool: Any, server: Process) -> None:
    good = asyncio.Semaphore(0)
    bad = asyncio.Semaphore(0)
    errors: list[Exception] = []
    over = False

    async def ask() -> None:
        while not over:
            try:
                assert (await pool.get("", timeout=5)).status == 200
                good.release()
            except PoolError as error:
                errors.append(error)
                bad.release()
                await asyncio.sleep(0.001)

    async def until(semaphore: asyncio.Semaphore, count: int) -> None:
        for _ in range(count):
            await semaphore.acquire()

    asking = [asyncio.create_task(ask()) for _ in range(20)]
    await until(good, 100)
    assert errors == []
    with heard(pool.alias) as events:
        await asyncio.to_thread(server.kill)
        await until(bad, 60)
        assert len(events.connect_errors) < 30
    await asyncio.to_thread(server.start)
    for _ in asking:  # what had been answered before the kill
        if good.locked():
            break
        await good.acquire()
    await until(good, 100)
    over = True
    await asyncio.gather(*asking)
    assert any(isinstance(error, BackendUnavailable) for error in errors)
    assert all(isinstance(error, BackendUnavailable | PoolTimeout) for error in errors)


class TestTheSession:
    async def test_one_that_its_holder_closed_is_not_lent_again(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=3)) as pool:
            async with pool.acquire() as session, session:
                assert (await session.get("")).status == 200
            assert (await pool.get("")).status == 200
            with heard(pool.alias) as events:
                waiting = []
                async with pool.acquire(), pool.acquire(), pool.acquire() as session:
                    waiting = [asyncio.create_task(pool.get("")) for _ in range(3)]
                    await asyncio.sleep(0)
                    await session.close()
                for response in await asyncio.gather(*waiting):
                    assert response.status == 200
                assert events.lost_count == 1
            await all_can_be_held(pool)

    async def test_a_drain_lets_the_requests_under_way_finish(self, api: Api) -> None:
        async with pool_of(config_of(HTTP, api.url, max_size=4)) as pool:
            api.gate.clear()
            asking = [asyncio.create_task(pool.get("")) for _ in range(2)]
            await api.until_inside(2)
            pool.drain()
            asking += [asyncio.create_task(pool.get("")) for _ in range(2)]
            await api.until_inside(4)
            api.gate.set()
            assert [response.status for response in await asyncio.gather(*asking)] == [200] * 4
            assert pool.stats().connected == 2
            del asking
            gc.collect()
            assert (await pool.get("")).status == 200

    async def test_aborting_cuts_the_requests_under_way(self, api: Api) -> None:
        config = config_of(HTTP, api.url)
        pools.register(config.alias, config)
        pool: Any = pools[config.alias]
        api.gate.clear()
        asking = [asyncio.create_task(pool.get("")), asyncio.create_task(pool.post(""))]
        await api.until_inside(2)
        await pool.close(timeout=0)
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in errors] == [BackendUnavailable] * 2
        api.gate.set()
        await pools.remove(config.alias)
        await api.until_nobody_is_connected()


async def ask(alias: str) -> None:
    response: aiohttp.ClientResponse = await pools[alias].get("x")  # type: ignore[attr-defined]
    assert (await response.json())["path"] == "/x"


class TestLoops:
    """Scenario 31: a loop that ends without close leaves no socket."""

    def test_twenty_runs_leave_nothing(self) -> None:
        elsewhere = Elsewhere()
        with elsewhere as api:
            config = config_of(HTTP, api.url)
            pools.register(config.alias, config)
            for _ in range(20):
                asyncio.run(ask(config.alias))
                assert pools.count() == 0
            elsewhere.wait_for_nobody()
            assert len(api.requests) == len(api.accepted) == 20
            asyncio.run(pools.remove(config.alias))

    @pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
    def test_loops_closed_without_a_word_leave_nothing(self, tmp_path: Any, tls: bool) -> None:
        authority = Authority(tmp_path)
        elsewhere = Elsewhere(tls=authority.server_context() if tls else None)
        with elsewhere as api:
            options = {"ca_file": str(authority.file)} if tls else {}
            config = config_of(HTTP, api.url, options=options)
            pools.register(config.alias, config)
            for _ in range(5):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(ask(config.alias))
                loop.close()
            asyncio.run(ask(config.alias))
            assert pools.count() == 0
            del loop
            gc.collect()
            elsewhere.wait_for_nobody()
            asyncio.run(pools.remove(config.alias))

    def test_a_loop_closed_while_a_request_is_under_way(self) -> None:
        elsewhere = Elsewhere()
        with elsewhere as api:
            config = config_of(HTTP, api.url)
            pools.register(config.alias, config)

            async def begin() -> asyncio.Task[None]:
                await ask(config.alias)
                api.gate.clear()
                task = asyncio.create_task(ask(config.alias))
                await asyncio.to_thread(elsewhere.wait_for_somebody_inside)
                return task

            loop = asyncio.new_event_loop()
            task = loop.run_until_complete(begin())
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()
            elsewhere.let_go()
            asyncio.run(ask(config.alias))
            del task, loop
            gc.collect()
            assert pools.count() == 0
            elsewhere.wait_for_nobody()
            asyncio.run(pools.remove(config.alias))

    def test_a_loop_closed_while_a_name_is_looked_up(self) -> None:
        """The driver can't cancel the look-up then, and gives up in the middle of its goodbye."""

        class Resolver(aiohttp.ThreadedResolver):
            async def resolve(self, host: str, *details: Any, **named: Any) -> Any:
                if host == "nobody.example.com":
                    asked.set()
                    await asyncio.Event().wait()
                return await super().resolve("127.0.0.1", *details, **named)

        elsewhere = Elsewhere()
        with elsewhere as api:
            url = api.url.replace("127.0.0.1", "api.example.com")
            config = config_of(HTTP, url, options={"resolver": Resolver})
            pools.register(config.alias, config)
            asked = asyncio.Event()

            async def begin() -> None:
                await ask(config.alias)
                pool: Any = pools[config.alias]
                for _ in range(2):
                    asyncio.create_task(pool.get("http://nobody.example.com/"))  # noqa: RUF006
                await asked.wait()
                await ask(config.alias)

            loop = asyncio.new_event_loop()
            loop.run_until_complete(begin())
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()
            del task, loop
            asyncio.run(ask(config.alias))
            gc.collect()
            assert pools.count() == 0
            elsewhere.wait_for_nobody()
            asyncio.run(pools.remove(config.alias))

    def test_short_cuts_cross_to_the_process_own_loop(self) -> None:
        with Elsewhere() as api:
            config = config_of(HTTP, api.url, loops="shared")
            pools.register(config.alias, config)
            for _ in range(5):
                asyncio.run(ask(config.alias))
            assert len(api.accepted) == 1
            pools.run(pools.remove, config.alias)


class TestSideBySide:
    """Scenario 37: pools that differ only in one thing share nothing."""

    async def test_in_the_password(self, api: Api) -> None:
        right, wrong = (api.url.replace("//", f"//user:{word}@") for word in ("right", "wrong"))
        async with pool_of(config_of(HTTP, right)) as one, pool_of(config_of(HTTP, wrong)) as other:
            sent = [
                (await (await pool.get("")).json())["headers"]["Authorization"]
                for pool in (one, other, one)
            ]
        assert sent[0] == sent[2] != sent[1]
        assert len(api.accepted) == 2

    async def test_in_the_size(self, api: Api) -> None:
        small, large = config_of(HTTP, api.url, max_size=1), config_of(HTTP, api.url, max_size=3)
        async with pool_of(small) as one, pool_of(large) as other:
            held = [await one.acquire(), *[await other.acquire() for _ in range(3)]]
            assert len({id(lease.connection) for lease in held}) == 2
            for pool in (one, other):
                with pytest.raises(PoolTimeout):
                    await pool.acquire(timeout=0)
            for lease in held:
                lease.release()

    async def test_in_tls(self, tmp_path: Any) -> None:
        authority = Authority(tmp_path)
        async with Api(tls=authority.server_context()) as api:
            trusting = config_of(HTTP, api.url, options={"ca_file": str(authority.file)})
            async with pool_of(trusting) as one, pool_of(config_of(HTTP, api.url)) as other:
                assert (await one.get("")).status == 200
                with pytest.raises(BackendUnavailable, match="certificate"):
                    await other.get("")


PASSWORD = "p@ss/w#rd:1%2"
TOKEN = "t0ken-in-a-header"


class TestSecrets:
    """Scenario 39."""

    def assert_hidden(self, *texts: object) -> None:
        for text in map(str, texts):
            for form in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "w#rd", TOKEN):
                assert form not in text

    @pytest.mark.parametrize("fault", ["none", "status", "server", "cut", "slow", "tls"])
    async def test_are_shown_nowhere(
        self, api: Api, fault: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        port = free_port() if fault == "server" else api.port
        scheme = "https" if fault == "tls" else "http"
        url = f"{scheme}://user:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/base"
        options = {"headers": {"X-Api-Token": TOKEN}, "timeout": 0.2}
        config = config_of(HTTP, url, options=options, acquire_timeout=0.3)
        api.handlers["/base/thing"] = answers(401 if fault == "status" else 200)
        breaks: dict[str, Callable[[], object]] = {"slow": api.gate.clear}
        async with pool_of(config) as pool:
            breaks.get(fault, lambda: None)()
            try:
                if fault == "cut":
                    cutting = asyncio.create_task(_cut_when_inside(api))
                    api.gate.clear()
                await pool.post("thing", raise_for_status=True)
            except (PoolError, aiohttp.ClientError) as error:
                assert fault != "none"
                self.assert_hidden(*traceback.format_exception(error))
            else:
                assert fault == "none"
            if fault == "cut":
                await cutting
            api.gate.set()
            self.assert_hidden(pool, repr(pool.config), pool.stats(), pools.info(), pool.backend)
            self.assert_hidden(*(repr(lease) for lease in pool.leases()), vars(pool))
        self.assert_hidden(caplog.text)


async def _cut_when_inside(api: Api) -> None:
    await api.until_inside(1)
    api.cut()


async def test_an_outage_is_found_by_ping(api: Api) -> None:
    async with Proxy("127.0.0.1", api.port) as proxy:
        backend = HttpBackend(config_of(HTTP, f"http://127.0.0.1:{proxy.port}"))
        session = await backend.connect()
        await backend.check(session)
        assert await backend.health(session) == ("healthy", "")
        assert await backend.server_info(session) == {}
        await backend.close(session)
        assert backend.is_closed(session)
        assert backend.sockets(session).open == 0
        backend.terminate(session)  # once more does no harm
