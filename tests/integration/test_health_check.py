"""The pools as a check of django-health-check, in that package's own view."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import path
from health_check.views import HealthCheckView

from poolapp import pools
from poolapp.health_check import ConnectionPools
from poolapp.monitoring.health import monitor
from tests.fake import FakeServer, config_of

CHECK = "poolapp.health_check.ConnectionPools"
urlpatterns = [
    path("all/", HealthCheckView.as_view(checks=[CHECK]), name="health"),
    path("shop/", HealthCheckView.as_view(checks=[(CHECK, {"alias": "shop"})])),
    path("nobody/", HealthCheckView.as_view(checks=[(CHECK, {"alias": "nobody"})])),
    path("strict/", HealthCheckView.as_view(checks=[(ConnectionPools, {"degraded": True})])),
]
PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.POOLS = {}
    settings.ROOT_URLCONF = __name__
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "health_check"]


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, FakeServer]]:
    """Of two aliases."""
    monitor.prober._kept.clear()
    found = {"shop": FakeServer(), "search": FakeServer()}
    for alias, server in found.items():
        config = config_of(alias, server=server, max_size=1, connect_timeout=0.2)
        pools.register(alias, config)
    yield found
    for alias in found:
        await pools.remove(alias)
    monitor.prober._kept.clear()


async def ask(client: AsyncClient, url: str) -> tuple[int, dict[str, str]]:
    response = await client.get(f"{url}?format=json")
    return response.status_code, json.loads(response.content)


async def test_all_is_well(async_client: AsyncClient, servers: dict[str, FakeServer]) -> None:
    assert await ask(async_client, "/all/") == (200, {"ConnectionPools()": "OK"})
    assert await ask(async_client, "/shop/") == (200, {"ConnectionPools('shop')": "OK"})


def test_under_wsgi_too(client: Client, servers: dict[str, FakeServer]) -> None:
    response = client.get("/all/?format=text")
    assert (response.status_code, response.content) == (200, b"ConnectionPools(): OK\n")


async def test_a_server_that_is_down_is_named_by_its_alias_only(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    servers["search"].create.fail(ConnectionRefusedError(f"db.internal says no to {PASSWORD}"))
    status, found = await ask(async_client, "/all/")
    assert status == 500
    assert found == {
        "ConnectionPools()": "Unavailable: search is unhealthy: "
        "No connection is possible (ConnectionRefusedError)."
    }
    assert (await ask(async_client, "/shop/"))[0] == 200, "the other one is well"


async def test_it_borrows_nothing(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    async with pools["shop"].acquire():
        assert (await ask(async_client, "/shop/"))[0] == 200


async def test_degraded_can_serve(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    pools["shop"].pause()
    assert (await ask(async_client, "/all/"))[0] == 200
    status, found = await ask(async_client, "/strict/")
    assert status == 500
    assert found["ConnectionPools()"] == "Warning: shop is degraded: The pool is paused."


async def test_an_unknown_alias_is_unhealthy(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    status, found = await ask(async_client, "/nobody/")
    assert status == 500
    assert "Its settings are wrong" in found["ConnectionPools('nobody')"]


async def test_a_server_that_never_answers_ends_by_its_own_timeouts(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    servers["shop"].create.never()
    async with asyncio.timeout(20):
        status, found = await ask(async_client, "/shop/")
    assert status == 500
    assert "TimeoutError" in found["ConnectionPools('shop')"], "not the check's own"


def test_its_time_is_that_of_the_slowest_probe(servers: dict[str, FakeServer]) -> None:
    def seconds(alias: str) -> float:
        config = pools.config(alias)
        return config.connect_timeout + 2 * config.check_timeout + config.close_timeout

    longest = max(map(seconds, servers))
    assert ConnectionPools().timeout == datetime.timedelta(seconds=longest)
    assert ConnectionPools("shop").timeout == datetime.timedelta(seconds=seconds("shop"))


async def test_the_page_and_the_metrics_of_that_package(
    async_client: AsyncClient, servers: dict[str, FakeServer]
) -> None:
    page = await async_client.get("/shop/", headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "ConnectionPools" in page.content.decode()
    metrics = (await async_client.get("/shop/?format=openmetrics")).content.decode()
    assert 'django_health_check_status{check="ConnectionPools",alias="shop"} 1' in metrics
