"""The pools' page in the admin: who may see it, what it tells, what it hides."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connections
from django.test import AsyncClient, Client

from poolapp import Observer, pools
from poolapp.core.work import working
from poolapp.models import Pool
from poolapp.monitoring.health import monitor

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/poolapp/"
ALIAS = PAGE + "pool/default/"
POSTGRES = "poolapp.backends.postgres.PostgresBackend"


@pytest.fixture(autouse=True)
async def _pools_are_closed() -> AsyncIterator[None]:
    monitor.history.forget()
    yield
    await pools.close_all()


@pytest.fixture
def operator() -> User:
    """Staff with the permission to see the pools, and no other."""
    user = User.objects.create_user("operator", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_pool"))
    return user


async def page(client: AsyncClient, user: User, path: str = PAGE) -> str:
    try:
        await client.aforce_login(user)
        response = await client.get(path)
    finally:
        # The ORM's connection is this task's own: nobody else would close it.
        await sync_to_async(connections.close_all)()
    assert response.status_code == 200
    return response.content.decode()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


# -- who -------------------------------------------------------------------------------------------


def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    response = client.get(PAGE)
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]


@pytest.mark.parametrize("path", [PAGE, PAGE + "pool/", ALIAS, PAGE + "pool/status.json"])
def test_staff_without_the_permission_sees_nothing(client: Client, path: str) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    response = client.get(path)
    assert response.status_code in {403, 404}
    assert b"Postgres" not in response.content


@pytest.mark.parametrize("codename", ["view_pool", "change_pool"])
@pytest.mark.parametrize("path", [PAGE, PAGE + "pool/"])
def test_either_permission_shows_the_page_at_both_addresses(
    client: Client, path: str, codename: str
) -> None:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(user)
    assert b"PostgresBackend" in client.get(path).content


def test_the_permissions_are_view_and_change_only() -> None:
    found = Permission.objects.filter(content_type__app_label="poolapp")
    assert {each.codename for each in found} == {"view_pool", "change_pool"}


@pytest.mark.parametrize("path", ["add/", "default/change/", "default/delete/", "default/drain/1/"])
def test_there_are_no_pages_for_rows(admin_client: Client, path: str) -> None:
    assert admin_client.get(f"{PAGE}pool/{path}").status_code == 404


def test_the_admin_s_index_leads_to_it(admin_client: Client) -> None:
    html = admin_client.get("/admin/").content.decode()
    assert "Connection pools" in html
    assert f'href="{PAGE}pool/"' in html


# -- what ------------------------------------------------------------------------------------------


async def test_it_says_whose_view_it_is(async_client: AsyncClient, operator: User) -> None:
    shown = text_of(await page(async_client, operator))
    assert f":{os.getpid()} , up " in shown
    assert "One worker" in shown
    assert "Only this process is shown: POOLAPP[&#x27;FLEET&#x27;]" in shown
    assert "All 2 pools are healthy." in shown
    assert shown.count("Nothing in this process has used it yet.") == 2


async def test_it_shows_what_is_in_use_and_who_holds_it(
    async_client: AsyncClient, operator: User
) -> None:
    async def greedy_view() -> Any:
        return await pools["default"].acquire()

    lease = await greedy_view()
    html = await page(async_client, operator, ALIAS)
    shown = text_of(html)
    assert "1 of 10 connections are in use, 0 idle, on 1 event loop." in shown
    assert 'aria-label="1 in use and 0 idle of at most 10"' in html
    assert "test_it_shows_what_is_in_use_and_who_holds_it" in shown
    assert re.search(rf"{re.escape(__file__)}:\d+ in \S*greedy_view", shown)
    lease.release()
    shown = text_of(await page(async_client, operator, ALIAS))
    assert "0 of 10 connections are in use, 1 idle, on 1 event loop." in shown
    assert "No connection is held." in shown
    assert "0 of 10 connections are in use, 1 idle" in text_of(await page(async_client, operator))


async def test_a_leak_is_told_on_the_overview_until_it_is_returned(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {"default": {**settings.POOLS["default"], "LEAK_AFTER": 0.01}}
    told = asyncio.Event()

    class Listener(Observer):
        def leaked(self, pool: Any, lease: Any, held: float) -> None:
            told.set()

    listener = Listener()
    pools.observe(listener)
    try:
        with working("view", "shop (GET /shop/)"):
            lease = await pools["default"].acquire()
        await asyncio.wait_for(told.wait(), 10)
    finally:
        pools.unobserve(listener)
    shown = text_of(await page(async_client, operator))
    assert "Held for too long" in shown
    assert "by view shop (GET /shop/), " in shown
    assert re.search(rf"acquired at {re.escape(__file__)}:\d+ in test_a_leak", shown)
    lease.release()
    assert "Held for too long" not in text_of(await page(async_client, operator))
    shown = text_of(await page(async_client, operator, ALIAS))
    assert "came back after" in shown
    assert "A connection is held for" in shown


async def test_what_happened_is_told_with_how_often(
    async_client: AsyncClient, operator: User
) -> None:
    pools["default"].pause()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await pools["default"].acquire(timeout=0.001)
    pools["default"].resume()
    html = await page(async_client, operator, ALIAS)
    assert re.findall(r"(Resumed|An acquire timed out after|Paused)", text_of(html)) == [
        "Resumed",
        "An acquire timed out after",
        "Paused",
    ]
    assert "<strong>3 times</strong>" in html


async def test_an_error_is_told_without_the_password(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {
        "down": {"BACKEND": POSTGRES, "LOCATION": "postgresql://me:p%40ss:w/r#d@127.0.0.1:1/x",
                 "ACQUIRE_TIMEOUT": 0.01},
    }  # fmt: skip
    with pytest.raises(TimeoutError):
        await pools["down"].acquire()
    html = await page(async_client, operator, f"{PAGE}pool/down/")
    assert "ConnectionRefusedError" in html
    assert "p@ss" not in html
    assert "p%40ss" not in html
    assert "w/r" not in html


async def test_the_worst_comes_first_and_says_why(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {
        "a_good": settings.POOLS["default"],
        "b_paused": settings.POOLS["default"],
        "c_down": {"BACKEND": POSTGRES, "LOCATION": "postgresql://127.0.0.1:1/x", "BREAKER": None,
                   "ACQUIRE_TIMEOUT": 0.01},
        "d_wrong": {"BACKEND": POSTGRES, "LOCATION": "postgresql://db/x", "MAX_SIZ": 3},
    }  # fmt: skip
    pools["b_paused"].pause()
    async with pools["a_good"].acquire():
        pass
    with pytest.raises(TimeoutError):
        await pools["c_down"].acquire()
    html = await page(async_client, operator)
    assert re.findall(r'<h2 id="pool-(\w+)"', html) == ["d_wrong", "c_down", "b_paused", "a_good"]
    shown = text_of(html)
    assert "Of 4 pools 1 is unhealthy and 2 are degraded." in shown
    assert "The pool is paused." in shown
    assert "The last connect failed (ConnectionRefusedError)." in shown
    assert "Did you mean" in shown


async def test_waiting_acquires_are_told(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {"only": {**settings.POOLS["default"], "MAX_SIZE": 1}}
    async with pools["only"].acquire():
        waiter = asyncio.ensure_future(pools["only"].acquire()._acquire())
        shown = text_of(await page(async_client, operator))
        assert "The one is in use and 1 acquire waits." in shown
        assert "1 of 1 connections are in use, 0 idle, and 1 acquire waits" in shown
    (await waiter).release()


async def test_the_settings_in_force_are_shown_without_secrets(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {
        "shop": {
            "BACKEND": POSTGRES,
            "LOCATION": "postgresql://me:hunter2@db:5432/shop?sslpassword=hunter3",
            "MAX_SIZE": 7,
            "OPTIONS": {"command_timeout": 5, "server_settings": {"password": "hunter4"}},
        }
    }
    html = await page(async_client, operator, f"{PAGE}pool/shop/")
    shown = text_of(html)
    assert "MAX_SIZE 7 settings.POOLS" in shown
    assert "ACQUIRE_TIMEOUT 5 s default" in shown
    assert "postgresql://me:***@db:5432/shop" in shown
    assert "command_timeout&#x27;] 5 " in shown
    assert "server_settings&#x27;] *** " in shown
    assert "hunter" not in html


async def test_what_comes_from_outside_is_escaped(
    async_client: AsyncClient, operator: User
) -> None:
    async def borrow() -> Any:
        return await pools["default"].acquire()

    lease = await asyncio.create_task(borrow(), name="<script>alert(1)</script>")
    html = await page(async_client, operator, ALIAS)
    lease.release()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize("path", [PAGE, ALIAS])
async def test_nothing_is_inline_so_that_a_strict_policy_holds(
    async_client: AsyncClient, operator: User, path: str
) -> None:
    async with pools["default"].acquire():
        html = await page(async_client, operator, path)
    assert " style=" not in html
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\son\w+=", html)
    assert "poolapp/status.css" in html
    assert "poolapp/status.js" in html


def test_no_pools_at_all_is_told(admin_client: Client, settings: Any) -> None:
    settings.POOLS = {}
    assert "POOLS declares no pool." in text_of(admin_client.get(PAGE).content.decode())


# -- the model without a table ---------------------------------------------------------------------


def test_the_model_has_its_migration() -> None:
    call_command("makemigrations", "poolapp", check=True, dry_run=True, verbosity=0)


def test_dumpdata_does_not_look_for_its_table() -> None:
    out = StringIO()
    call_command("dumpdata", "poolapp", stdout=out)
    assert out.getvalue().strip() == "[]"


def test_it_has_no_rows_and_asks_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert list(Pool.objects.all()) == []
        assert Pool.objects.filter(pk="default").first() is None
