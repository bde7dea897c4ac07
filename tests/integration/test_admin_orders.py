"""What an operator does to the pools in the admin: who may, how it is asked, what is logged."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import AsyncClient, Client

from poolapp import BackendUnavailable, pools
from poolapp.monitoring.fleet import VERBS, Answer
from poolapp.ordering import ORDERS, summary

pytestmark = pytest.mark.django_db(transaction=True)

ALIAS = "/admin/poolapp/pool/default/"


@pytest.fixture(autouse=True)
async def _pools_are_closed() -> AsyncIterator[None]:
    yield
    pools.resume("default")
    await pools.close_all()


def staff(codename: str) -> User:
    user = User.objects.create_user(codename, password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=codename))
    return user


@pytest.fixture
def operator() -> User:
    return staff("change_pool")


@pytest.fixture
def viewer() -> User:
    return staff("view_pool")


class Browser:
    """Of one user; follows redirects."""

    def __init__(self, client: AsyncClient, user: User) -> None:
        self._client = client
        self._user = user

    async def _asked(self, method: str, *args: Any, **named: Any) -> Any:
        try:
            await self._client.aforce_login(self._user)
            return await getattr(self._client, method)(*args, **named)
        finally:
            await sync_to_async(connections.close_all)()

    async def get(self, path: str) -> Any:
        return await self._asked("get", path)

    async def post(self, path: str, **data: Any) -> Any:
        return await self._asked("post", path, data, follow=True)


@pytest.fixture
def browser(async_client: AsyncClient, operator: User) -> Browser:
    return Browser(async_client, operator)


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


async def entries() -> list[LogEntry]:
    return await sync_to_async(lambda: list(LogEntry.objects.order_by("pk")))()


# -- who -------------------------------------------------------------------------------------------


def test_who_may_only_look_finds_no_order(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    html = client.get(ALIAS).content.decode()
    assert "Actions" not in html
    assert not re.search(r'href="[^"]*/(drain|pause|reset|resize|resume|ping)/"', html)


def test_who_may_change_finds_every_order(client: Client, operator: User) -> None:
    client.force_login(operator)
    html = client.get(ALIAS).content.decode()
    assert {*re.findall(rf'href="{ALIAS}(\w+)/"', html)} == {*VERBS}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_only_look_is_refused(client: Client, viewer: User, verb: str, method: str) -> None:
    client.force_login(viewer)
    assert getattr(client, method)(f"{ALIAS}{verb}/").status_code == 403
    assert not LogEntry.objects.exists()


def test_a_stranger_is_sent_to_the_login(client: Client) -> None:
    response = client.post(f"{ALIAS}drain/")
    assert response.status_code == 302
    assert "/login/" in response["Location"]


def test_without_the_token_of_its_form_a_post_is_refused(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(f"{ALIAS}drain/").status_code == 403
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("path", ["explode/", "drain/99/"])
def test_there_is_no_such_page(client: Client, operator: User, path: str) -> None:
    client.force_login(operator)
    assert client.get(f"{ALIAS}{path}").status_code == 404


def test_what_is_not_there_can_not_be_ordered_about(client: Client, operator: User) -> None:
    client.force_login(operator)
    assert client.post("/admin/poolapp/pool/other/drain/").status_code == 404


# -- what ------------------------------------------------------------------------------------------


async def test_looking_at_the_question_does_nothing(browser: Browser) -> None:
    async with pools["default"].acquire():
        pass
    for verb in VERBS:
        response = await browser.get(f"{ALIAS}{verb}/")
        assert response.status_code == 200
        assert 'name="csrfmiddlewaretoken"' in response.content.decode()
    assert pools["default"].stats().closed == {}
    assert await entries() == []


async def test_the_question_says_what_it_does_in_numbers(browser: Browser) -> None:
    async with pools["default"].acquire(), pools["default"].acquire():
        shown = text_of(await browser.get(f"{ALIAS}drain/"))
    assert "0 idle connections are closed now, and 2 in use when they come back" in shown


async def test_drain_closes_what_is_idle_and_is_logged(browser: Browser, operator: User) -> None:
    async with pools["default"].acquire():
        pass
    response = await browser.post(f"{ALIAS}drain/")
    shown = text_of(response)
    assert "Drained: 1 of 1 worker did it." in shown
    assert re.search(rf"\S+ \S+:{os.getpid()}: Drained", shown)
    assert pools["default"].stats().closed == {"drained": 1}
    (entry,) = await entries()
    assert (entry.user_id, entry.object_id, entry.action_flag) == (operator.pk, "default", CHANGE)
    assert entry.change_message.startswith("Drained: 1 of 1 worker did it.\n")
    shown = text_of(await browser.get(ALIAS))
    assert "Recent actions" in shown
    assert "change_pool: Drained: 1 of 1 worker did it." in shown


async def test_reset_turns_away_who_waits(browser: Browser, settings: Any) -> None:
    settings.POOLS = {"default": {**settings.POOLS["default"], "MAX_SIZE": 1}}
    async with pools["default"].acquire():
        waiter = asyncio.ensure_future(pools["default"].acquire()._acquire())
        assert "1 waiting acquire is turned away" in text_of(await browser.get(f"{ALIAS}reset/"))
        assert "Reset: 1 of 1 worker did it." in text_of(await browser.post(f"{ALIAS}reset/"))
        with pytest.raises(BackendUnavailable, match="was reset"):
            await waiter


async def test_pause_and_resume(browser: Browser) -> None:
    pool = pools["default"]
    assert "Paused: 1 of 1" in text_of(await browser.post(f"{ALIAS}pause/"))
    assert pool.state == "paused"
    waiter = asyncio.ensure_future(pool.acquire()._acquire())
    assert "Resumed: 1 of 1" in text_of(await browser.post(f"{ALIAS}resume/"))
    (await waiter).release()


async def test_ping_says_how_long_the_server_took(browser: Browser) -> None:
    async with pools["default"].acquire():
        pass
    shown = text_of(await browser.post(f"{ALIAS}ping/"))
    assert re.search(r"The server answered in [\d.]+ m?s\.", shown)


async def test_what_can_not_be_done_is_told_and_logged(browser: Browser) -> None:
    pools["default"].pause()
    shown = text_of(await browser.post(f"{ALIAS}ping/"))
    assert "Pinged: 0 of 1 worker did it." in shown
    assert "not done. It is paused" in shown
    assert len(await entries()) == 1


async def test_resize_has_both_sizes_filled_in_and_changes_them(browser: Browser) -> None:
    html = (await browser.get(f"{ALIAS}resize/")).content.decode()
    assert re.search(r'name="max_size" value="10"', html)
    shown = text_of(await browser.post(f"{ALIAS}resize/", min_size=1, max_size=3))
    assert "Resized to 1-3: 1 of 1 worker did it." in shown
    assert "Sized 1 to 3, instead of 0 to 10" in shown
    assert pools.config("default").max_size == 3
    pools.resize("default", min_size=0, max_size=10)


@pytest.mark.parametrize(
    ("low", "high", "complaint"),
    [
        ("3", "2", "more than MAX_SIZE, 2"),
        ("-1", "2", "greater than or equal to 0"),
        ("0", "0", "greater than or equal to 1"),
        ("", "x", "Enter a whole number"),
    ],
)
async def test_sizes_that_can_not_be_are_said_at_their_field(
    browser: Browser, low: str, high: str, complaint: str
) -> None:
    response = await browser.post(f"{ALIAS}resize/", min_size=low, max_size=high)
    assert complaint in text_of(response)
    assert pools.config("default").max_size == 10
    assert await entries() == []


async def test_a_worker_that_is_gone_is_said_at_its_field(browser: Browser) -> None:
    response = await browser.post(f"{ALIAS}drain/", worker="host:1:abc")
    assert "This worker is not there any more." in text_of(response)
    assert await entries() == []


async def test_an_alias_that_is_declared_wrongly_has_its_page_and_no_orders(
    async_client: AsyncClient, operator: User, settings: Any
) -> None:
    settings.POOLS = {"a/b_c d": settings.POOLS["default"]}
    browser = Browser(async_client, operator)
    overview = (await browser.get("/admin/poolapp/")).content.decode()
    address = re.search(r'href="(/admin/poolapp/pool/a_2F[^"]+)"', overview)
    assert address is not None
    page = (await browser.get(address[1])).content.decode()
    assert "a name that can&#x27;t be used" in page
    assert "Actions" not in page
    assert (await browser.post(f"{address[1]}drain/")).status_code == 404


async def test_the_admin_s_own_log_leads_to_the_alias(browser: Browser) -> None:
    await browser.post(f"{ALIAS}pause/")
    (entry,) = await entries()
    assert await sync_to_async(entry.get_admin_url)() == ALIAS
    await sync_to_async(connections.close_all)()


# -- the summary -----------------------------------------------------------------------------------


def test_the_summary_has_a_line_for_each_worker() -> None:
    answers = [
        Answer(worker="a:1:x", host="a", pid=1, ok=True, text="Paused: new acquires wait."),
        Answer(worker="b:2:y", host="b", pid=2, ok=False, text="It did not answer within 5 s."),
        Answer(worker="", host="", pid=0, ok=False, text="No other worker could be told."),
    ]
    assert summary("pause", answers, {}, []).split("\n") == [
        "Paused: 1 of 3 workers did it.",
        "a:1: Paused: new acquires wait.",
        "b:2: not done. It did not answer within 5 s.",
        "The others: not done. No other worker could be told.",
    ]
    assert summary("pause", [], {}, []) == "No worker has this pool, so nothing was done."


def test_there_is_a_question_for_every_order() -> None:
    assert set(ORDERS) == set(VERBS)
