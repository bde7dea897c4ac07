"""A lease knows whose work it serves: a view, a consumer, a task, a command."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path

from poolapp import Lease, PoolTimeout, pools
from poolapp.core.work import WORK, Work, working
from poolapp.integrations import celery as celery_signals
from poolapp.integrations import commands
from poolapp.middleware import holders
from tests.fake import FakeServer, config_of, lab
from tests.virtual import virtual

ROOT = Path(__file__).parents[2]


@virtual
async def test_a_lease_names_the_work_and_the_task() -> None:
    async with lab(max_size=1, acquire_timeout=1) as pool:
        with working("command", "reindex"):
            lease = await pool.acquire()
        assert lease.holder.startswith("command reindex, Task-")
        with pytest.raises(PoolTimeout, match=r"longest held for .* by command reindex, Task-"):
            await asyncio.create_task(_visit(pool))
        lease.release()
        async with pool.acquire():
            (unnamed,) = pool.leases()
            assert unnamed.work is None
            assert unnamed.holder.startswith("Task-")


async def _visit(pool: Any) -> None:
    async with pool.acquire():
        pass


@virtual
async def test_work_is_the_borrowers_and_not_that_of_who_releases() -> None:
    async with lab(max_size=1) as pool:
        with working("view", "first"):
            lease = await pool.acquire()

        async def borrow() -> str:
            async with pool.acquire():
                (mine,) = pool.leases()
                return mine.holder

        with working("view", "second"):
            waiting = asyncio.create_task(borrow())
        await asyncio.sleep(0)
        assert pool.waiting == 1
        with working("view", "third"):
            lease.release()
        assert (await waiting).startswith("view second, ")


@virtual
async def test_work_ends_with_its_block_also_by_an_error() -> None:
    with pytest.raises(ValueError, match="over"), working("task", "failing"):
        raise ValueError("over")
    assert WORK.get() is None


@virtual
async def test_a_connect_does_not_keep_the_work_it_was_started_for() -> None:
    class Name:
        def __call__(self) -> str:
            return "gone"

    async with lab(max_size=1) as pool:
        name = Name()
        alive = weakref.ref(name)
        with working("view", name):
            async with pool.acquire():
                assert pool.leases()[0].holder.startswith("view gone")
        del name
        pool.witness.log.clear()
        gc.collect()
        assert alive() is None


# -- views -----------------------------------------------------------------------------------------

seen: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    assert WORK.get() is None


async def hold_async(request: HttpRequest, name: str) -> HttpResponse:
    async with pools["held"].acquire():
        seen.extend(lease.holder for lease in pools["held"].leases())
    return HttpResponse(name)


async def _hold() -> None:
    async with pools["held"].acquire():
        seen.extend(lease.holder for lease in pools["held"].leases())


def hold_sync(request: HttpRequest, name: str) -> HttpResponse:
    pools.run(_hold)
    return HttpResponse(name)


urlpatterns = [
    path("async/<str:name>/", hold_async, name="held-async"),
    path("sync/<str:name>/", hold_sync, name="held-sync"),
]

SITE = override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=["poolapp.middleware.holders"])


@pytest.fixture
def held() -> Iterator[FakeServer]:
    server = FakeServer()
    pools.register("held", config_of("held", server=server))
    yield server
    pools.run(pools.remove, "held")


class TestViews:
    @SITE
    async def test_an_async_view_is_named_by_its_route_and_path(self, held: FakeServer) -> None:
        await AsyncClient().get("/async/json/?token=s3cret")
        (holder,) = seen
        assert holder.startswith("view held-async (GET /async/json/), Task-")

    @SITE
    async def test_a_sync_view_under_asgi_is_named_through_pools_run(
        self, held: FakeServer
    ) -> None:
        await AsyncClient().post("/sync/json/")
        (holder,) = seen
        assert holder.startswith("view held-sync (POST /sync/json/)")

    @SITE
    def test_a_sync_view_under_wsgi_is_named_too(self, held: FakeServer) -> None:
        Client().get("/sync/json/")
        (holder,) = seen
        assert holder.startswith("view held-sync (GET /sync/json/)")

    async def test_before_the_route_is_known_the_path_is(self) -> None:
        told = []

        async def inner(request: HttpRequest) -> HttpResponse:
            told.append(str(WORK.get()))
            return HttpResponse()

        await holders(inner)(AsyncRequestFactory().get("/somewhere/?key=secret"))
        assert told == ["view GET /somewhere/"]

    def test_a_request_is_not_kept_alive_by_what_it_left_behind(self) -> None:
        kept: list[Work | None] = []

        def inner(request: HttpRequest) -> HttpResponse:
            kept.append(WORK.get())
            return HttpResponse()

        request = RequestFactory().get("/x/")
        gone = weakref.ref(request)
        holders(inner)(request)
        del request
        gc.collect()
        assert gone() is None
        assert str(kept[0]) == "view GET /x/"

    async def test_a_view_that_raises_leaves_no_name(self) -> None:
        async def inner(request: HttpRequest) -> HttpResponse:
            raise ValueError("of the view")

        with pytest.raises(ValueError, match="of the view"):
            await holders(inner)(AsyncRequestFactory().get("/"))
        assert WORK.get() is None

    def test_it_is_asynchronous_under_asgi_and_costs_no_thread(self) -> None:
        async def inner(request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        assert asyncio.iscoroutinefunction(holders(inner))
        assert not asyncio.iscoroutinefunction(holders(lambda request: HttpResponse()))


# -- tasks and commands ----------------------------------------------------------------------------


def test_a_celery_task_is_named_while_it_runs() -> None:
    app = celery.Celery("work", broker="memory://", set_as_current=False)

    @app.task(name="project.count")
    def count() -> str:
        return str(WORK.get())

    celery_signals.connect(pools)
    assert count.apply().get() == "task project.count"
    assert WORK.get() is None


@pytest.mark.parametrize(
    ("arguments", "work"),
    [
        (["manage.py", "reindex", "--all"], "command reindex"),
        (["/somewhere/bin/django-admin", "migrate"], "command migrate"),
        (["/lib/django/__main__.py", "shell"], "command shell"),
        (["manage.py"], "None"),
        (["manage.py", "--help"], "None"),
        (["/bin/uvicorn", "project.asgi"], "None"),
    ],
)
def test_a_command_is_named_by_the_programs_arguments(arguments: list[str], work: str) -> None:
    token = WORK.set(None)
    try:
        commands.connect(arguments)
        assert str(WORK.get()) == work
    finally:
        WORK.reset(token)


def test_what_a_real_command_holds_is_named(tmp_path: Path) -> None:
    script = tmp_path / "manage.py"
    script.write_text(
        "import sys, asyncio, django\n"
        "from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['poolapp'])\n"
        "from django.core.management import BaseCommand, execute_from_command_line, get_commands\n"
        "from poolapp import pools\n"
        "from tests.fake import FakeServer, config_of\n"
        "class Command(BaseCommand):\n"
        "    def handle(self, **options):\n"
        "        pools.register('held', config_of('held', server=FakeServer()))\n"
        "        print(pools.run(hold))\n"
        "        print(asyncio.run(hold()))\n"
        "async def hold():\n"
        "    async with pools['held'].acquire():\n"
        "        return pools['held'].leases()[0].holder.partition(',')[0]\n"
        "django.setup()\n"
        "get_commands()['reindex'] = Command()\n"
        "execute_from_command_line(sys.argv)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), "reindex", "--skip-checks"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("command reindex\n" * 2, "")


def test_a_lease_that_holds_nothing_has_no_holder_to_name() -> None:
    async def make() -> Lease[Any]:
        async with lab() as pool:
            return pool.acquire()

    assert "holding nothing" in repr(asyncio.run(make()))
