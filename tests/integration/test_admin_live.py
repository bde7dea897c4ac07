"""How the admin's page of the pools keeps up to date: by polling, and by the status consumer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import AsyncClient, Client

from poolapp import pages, pools, status
from poolapp.routing import websocket_urlpatterns

pytestmark = pytest.mark.django_db(transaction=True)

POLL = "/admin/poolapp/pool/status.json"
SOCKET = f"/{pages.SOCKET}"

application = URLRouter(websocket_urlpatterns)


@pytest.fixture(autouse=True)
async def _pools_are_closed() -> AsyncIterator[None]:
    yield
    await pools.close_all()
    await sync_to_async(connections.close_all)()


@pytest.fixture
def viewer() -> User:
    user = User.objects.create_user("viewer", password="x", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_pool"))
    return user


async def cookie_of(client: AsyncClient, user: User) -> str:
    await client.aforce_login(user)
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def socket(
    cookie: str, query: str = "", origin: str = "http://testserver"
) -> WebsocketCommunicator:
    headers = [
        (b"origin", origin.encode()),
        (b"host", b"testserver"),
        (b"cookie", f"{django_settings.SESSION_COOKIE_NAME}={cookie}".encode()),
    ]
    return WebsocketCommunicator(application, f"{SOCKET}{query}", headers)


# -- polling ---------------------------------------------------------------------------------------


def test_polling_gives_the_part_of_the_page_that_changes(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    response = client.get(POLL)
    message = response.json()
    assert message["status"] == "healthy"
    assert message["announcement"] == "All 2 pools are healthy. 1 worker seen."
    assert "Nothing in this process has used it yet." in message["html"]
    assert "<html" not in message["html"]
    assert "no-store" in response["Cache-Control"]


def test_polling_gives_one_alias(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    html = client.get(POLL, {"alias": "default"}).json()["html"]
    assert "default is healthy." in html
    assert "search" not in html
    gone = client.get(POLL, {"alias": "gone"}).json()["html"]
    assert gone.strip() == "<p>This pool is not there any more.</p>"


def test_polling_is_for_who_may_see(client: Client) -> None:
    assert client.get(POLL).status_code == 302
    client.force_login(User.objects.create_user("staff", is_staff=True))
    assert client.get(POLL).status_code == 403


def test_polling_is_no_way_to_post(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    assert client.post(POLL).status_code == 405


def test_the_page_names_the_socket_only_where_it_is_routed(
    client: Client, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(viewer)
    assert f'data-socket="{SOCKET}"' in client.get("/admin/poolapp/").content.decode()
    monkeypatch.setattr(pages.Live, "is_routed", False)
    assert "data-socket" not in client.get("/admin/poolapp/").content.decode()


# -- the consumer ----------------------------------------------------------------------------------


async def test_it_sends_at_once_and_again(
    async_client: AsyncClient, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PERIODS", (0.01,))
    browser = socket(await cookie_of(async_client, viewer))
    accepted, _ = await browser.connect()
    assert accepted
    first = await browser.receive_json_from(10)
    assert "All 2 pools are healthy." in first["html"]
    async with pools["default"].acquire():
        async with asyncio.timeout(10):
            while (
                "1 of 10 connections are in use" not in (await browser.receive_json_from())["html"]
            ):
                pass
    await browser.disconnect()


async def test_it_sends_one_alias(async_client: AsyncClient, viewer: User) -> None:
    browser = socket(await cookie_of(async_client, viewer), "?alias=search&every=15")
    await browser.connect()
    assert "search is healthy." in (await browser.receive_json_from(10))["html"]
    await browser.disconnect()


@pytest.mark.parametrize("query", ["?every=0", "?every=x", "?every=-1", "?every=0.001", "?every="])
async def test_nobody_gets_it_more_often_than_it_is_offered(
    async_client: AsyncClient, viewer: User, query: str
) -> None:
    browser = socket(await cookie_of(async_client, viewer), query)
    await browser.connect()
    await browser.receive_json_from(10)
    assert await browser.receive_nothing(0.1)
    await browser.disconnect()


async def test_it_has_no_use_for_what_it_is_sent(async_client: AsyncClient, viewer: User) -> None:
    browser = socket(await cookie_of(async_client, viewer))
    await browser.connect()
    await browser.send_to(text_data="{no json")
    assert (await browser.receive_json_from(10))["status"] == "healthy"
    await browser.disconnect()


async def refused(browser: WebsocketCommunicator) -> bool:
    accepted, _ = await browser.connect()
    return not accepted


async def test_it_refuses_who_may_not_see(async_client: AsyncClient) -> None:
    assert await refused(socket("no session"))
    staff = await User.objects.acreate_user("staff", is_staff=True)
    assert await refused(socket(await cookie_of(async_client, staff)))
    permitted = await User.objects.acreate_user("permitted")
    permission = await Permission.objects.aget(codename="view_pool")
    await permitted.user_permissions.aadd(permission)
    assert await refused(socket(await cookie_of(async_client, permitted)))


async def test_it_refuses_the_pages_of_other_sites(
    async_client: AsyncClient, viewer: User, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    from poolapp import routing

    # The validator reads the setting when it is made.
    made = routing.AllowedHostsOriginValidator(
        routing.AuthMiddlewareStack(status.PoolStatusConsumer.as_asgi())
    )
    cookie = await cookie_of(async_client, viewer)
    browser = socket(cookie, origin="http://evil.example")
    browser.application = made
    assert await refused(WebsocketCommunicator(made, SOCKET, browser.scope["headers"]))
    friend = WebsocketCommunicator(made, SOCKET, socket(cookie).scope["headers"])
    assert not await refused(friend)
    await friend.disconnect()


async def test_it_ends_soon_after_the_permission_does(
    async_client: AsyncClient, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PERIODS", (0.01,))
    monkeypatch.setattr(status, "LOOK_UP", 0.01)
    browser = socket(await cookie_of(async_client, viewer))
    await browser.connect()
    await browser.receive_json_from(10)
    await viewer.user_permissions.aclear()
    async with asyncio.timeout(10):
        while (message := await browser.receive_output())["type"] == "websocket.send":
            pass
    assert message == {"type": "websocket.close", "code": status.FORBIDDEN}
    await browser.disconnect()


async def test_it_ends_soon_after_the_user_logs_out(
    async_client: AsyncClient, viewer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PERIODS", (0.01,))
    monkeypatch.setattr(status, "LOOK_UP", 0.01)
    browser = socket(await cookie_of(async_client, viewer))
    await browser.connect()
    await browser.receive_json_from(10)
    await async_client.alogout()
    async with asyncio.timeout(10):
        while (message := await browser.receive_output())["type"] == "websocket.send":
            pass
    assert message["code"] == status.FORBIDDEN
    await browser.disconnect()


async def test_a_browser_that_goes_leaves_nothing_running(
    async_client: AsyncClient, viewer: User
) -> None:
    before = asyncio.all_tasks()
    browser = socket(await cookie_of(async_client, viewer))
    await browser.connect()
    await browser.receive_json_from(10)
    await browser.disconnect()
    await browser.wait()
    assert {each for each in asyncio.all_tasks() - before if not each.done()} == set()
