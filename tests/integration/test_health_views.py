"""Liveness and readiness over HTTP, with the real servers behind them."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from django.test import AsyncClient, Client

from poolapp import pools
from poolapp.monitoring.health import monitor


@pytest.fixture(autouse=True)
async def _fresh() -> AsyncIterator[None]:
    """No probe of an earlier test is believed; no pool is left to the next one."""
    monitor.prober._kept.clear()
    yield
    await pools.close_all()
    monitor.prober._kept.clear()


def unreachable(settings: Any) -> None:
    settings.POOLS = {
        **settings.POOLS,
        "down": {
            "BACKEND": "poolapp.backends.postgres.PostgresBackend",
            "LOCATION": "postgresql://me:hunter2@127.0.0.1:1/x",
        },
    }


async def test_live_answers_without_touching_a_pool(async_client: AsyncClient) -> None:
    response = await async_client.get("/pools/health/live")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert "no-store" in response["Cache-Control"]
    assert pools.count() == 0


async def test_live_is_not_concerned_by_an_outage(async_client: AsyncClient, settings: Any) -> None:
    unreachable(settings)
    assert (await async_client.get("/pools/health/live")).status_code == 200


async def test_ready_when_every_server_answers(async_client: AsyncClient) -> None:
    response = await async_client.get("/pools/health/ready")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response.content.decode().splitlines()[0] in {"ok", "degraded"}
    assert b"default: healthy\n" in response.content


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", None, "text/plain"),
        ("", "*/*", "text/plain"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"),
        ("", "application/json", "application/json"),
        ("", "application/json, text/plain;q=0.5", "application/json"),
        ("?format=json", "text/plain", "application/json"),
        ("?format=text", "application/json", "text/plain"),
    ],
)
async def test_text_or_json_by_accept_or_format(
    async_client: AsyncClient, query: str, accept: str | None, kind: str
) -> None:
    headers = {"accept": accept} if accept else None
    response = await async_client.get(f"/pools/health/ready{query}", headers=headers)
    assert response["Content-Type"].startswith(kind)


async def test_an_unknown_format_is_a_bad_request(async_client: AsyncClient) -> None:
    response = await async_client.get("/pools/health/ready?format=xml")
    assert (response.status_code, response.content) == (400, b"format must be text or json\n")


@pytest.mark.parametrize("path", ["live", "ready"])
async def test_only_reading_is_allowed(async_client: AsyncClient, path: str) -> None:
    assert (await async_client.post(f"/pools/health/{path}")).status_code == 405


async def test_head_tells_by_its_status(async_client: AsyncClient, settings: Any) -> None:
    assert (await async_client.head("/pools/health/ready")).status_code == 200
    unreachable(settings)
    assert (await async_client.head("/pools/health/ready")).status_code == 503


async def test_one_unreachable_server_is_503_and_named_by_its_alias_only(
    async_client: AsyncClient, settings: Any
) -> None:
    unreachable(settings)
    response = await async_client.get("/pools/health/ready?format=json")
    assert response.status_code == 503
    told = json.loads(response.content)
    assert told["status"] == "unhealthy"
    found = {each["alias"]: each for each in told["pools"]}
    assert found["default"]["status"] == "healthy"
    assert found["down"] == {
        "alias": "down",
        "status": "unhealthy",
        "reasons": ["No connection is possible (ConnectionRefusedError)."],
    }
    text = (await async_client.get("/pools/health/ready")).content.decode()
    assert text.startswith("unhealthy\n")
    assert "down: unhealthy No connection is possible (ConnectionRefusedError)." in text
    for shown in (text, response.content.decode()):
        assert "127.0.0.1" not in shown
        assert "hunter2" not in shown


async def test_a_faulty_alias_is_503(async_client: AsyncClient, settings: Any) -> None:
    settings.POOLS = {**settings.POOLS, "bad": {"BACKEND": "x.Y", "LOCATION": "hunter2"}}
    response = await async_client.get("/pools/health/ready")
    assert response.status_code == 503
    assert "bad: unhealthy Its settings are wrong: `manage.py check` tells what." in (
        response.content.decode()
    )


async def test_a_paused_pool_is_degraded_and_still_ready(async_client: AsyncClient) -> None:
    pools["default"].pause()
    response = await async_client.get("/pools/health/ready?format=json")
    assert response.status_code == 200
    found = {each["alias"]: each for each in json.loads(response.content)["pools"]}
    assert found["default"]["reasons"] == ["The pool is paused."]


async def test_the_probe_uses_no_connection_of_the_pool(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.POOLS = {"default": {**settings.POOLS["default"], "MAX_SIZE": 2}}
    async with AsyncExitStack() as stack:
        for _ in range(2):
            lease = await pools["default"].acquire()
            stack.callback(lease.release)
        response = await async_client.get("/pools/health/ready")
        assert response.status_code == 200
        assert pools["default"].counters.connected == 2


def test_under_wsgi_it_answers_too(client: Client) -> None:
    assert client.get("/pools/health/live").content == b"ok\n"
    assert client.get("/pools/health/ready").status_code == 200


async def test_no_pools_is_ready(async_client: AsyncClient, settings: Any) -> None:
    settings.POOLS = {}
    response = await async_client.get("/pools/health/ready")
    assert (response.status_code, response.content) == (200, b"ok\n")
