"""What pages, answers and commands tell: the truth, no secret, and without a connection of the
pool."""

import asyncio
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from django.test import AsyncClient

from poolapp import pools
from poolapp.monitoring.health import monitor

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = "poolapp.backends.postgres.PostgresBackend"
ELASTICSEARCH = "poolapp.backends.elasticsearch.ElasticsearchBackend"

NASTY = ["s3cr3t@/#:%", "h:u@n/t#e%r", "100%41@x:y/z#", "quo'te\"d\\@pw"]
USER = "nasty_user"


@pytest.fixture(autouse=True)
async def _fresh() -> AsyncIterator[None]:
    monitor.prober._kept.clear()
    yield
    await pools.close_all()
    monitor.prober._kept.clear()


def forms(secret: str) -> set[str]:
    """Every way in which a page or a log could show it."""
    plain = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
    }
    return plain | {html.escape(each) for each in plain}


def assert_hidden(secret: str, shown: str) -> None:
    assert shown
    for form in forms(secret):
        assert form not in shown


def declared(secret: str, address: str, *, url: str) -> dict[str, Any]:
    """Aliases that work, that are refused, that reach nobody, and that are wrong."""
    return {
        "works": {"BACKEND": POSTGRES, "LOCATION": url},
        "refused": {
            "BACKEND": POSTGRES,
            "LOCATION": f"postgresql://{USER}:no-{quote(secret, safe='')}@{address}",
        },
        "down": {"BACKEND": POSTGRES, "LOCATION": f"postgresql://u:{secret}@127.0.0.1:1/x"},
        "search": {
            "BACKEND": ELASTICSEARCH,
            "LOCATION": "http://127.0.0.1:1",
            "OPTIONS": {"api_key": secret},
        },
    }


WRONG = {
    "typo": lambda secret: {"BACKEND": POSTGRES, "LOCATON": f"postgresql://u:{secret}@h/x"},
    "scheme": lambda secret: {"BACKEND": POSTGRES, "LOCATION": f"http://u:{secret}@h/x"},
    "port": lambda secret: {"BACKEND": POSTGRES, "LOCATION": f"postgresql://u:{secret}@h:x/x"},
    "no_url": lambda secret: {"BACKEND": POSTGRES, "LOCATION": secret},
    "wrong_place": lambda secret: {"BACKEND": POSTGRES, "OPTIONS": f"password={secret}"},
}


async def create_role(admin: "asyncpg.Connection[Any]", secret: str) -> None:
    await drop_role(admin)
    literal = "'" + secret.replace("'", "''") + "'"
    await admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD {literal}")


async def drop_role(admin: "asyncpg.Connection[Any]") -> None:
    await admin.execute(f"DROP ROLE IF EXISTS {USER}")


@pytest.mark.parametrize("secret", NASTY)
@pytest.mark.django_db(transaction=True)
async def test_no_secret_is_in_the_admin_s_page_or_in_readiness(
    secret: str,
    pg_admin: "asyncpg.Connection[Any]",
    postgres_url: str,
    async_client: AsyncClient,
    settings: Any,
) -> None:
    """Scenario 39, HTML and JSON: while the pools work, are refused, reach nobody, are wrong."""
    await create_role(pg_admin, secret)
    address = postgres_url.rpartition("@")[2]
    url = f"postgresql://{USER}:{quote(secret, safe='')}@{address}"
    wrong = {name: make(secret) for name, make in WRONG.items()}
    settings.POOLS = {**declared(secret, address, url=url), **wrong}
    assert await pools["works"].fetchval("SELECT current_user") == USER
    for alias in ("refused", "down", "search"):
        with pytest.raises(Exception, match="pool") as caught:
            await pools[alias].acquire(timeout=0)
        assert_hidden(secret, f"{caught.value!r} {caught.value}")

    try:
        user = await User.objects.acreate(username="boss", is_staff=True, is_superuser=True)
        await async_client.aforce_login(user)
        addresses = ["", "pool/status.json", *(f"pool/{alias}/" for alias in settings.POOLS)]
        answers = [await async_client.get(f"/admin/poolapp/{each}") for each in addresses]
    finally:
        await sync_to_async(connections.close_all)()
    assert {each.status_code for each in answers} == {200}
    shown = "".join(each.content.decode() for each in answers)
    assert 'id="pool-refused"' in shown
    assert f"postgresql://{USER}:***@" in shown
    assert_hidden(secret, shown)
    for form in ("json", "text"):
        response = await async_client.get(f"/pools/health/ready?format={form}")
        assert response.status_code == 503
        assert_hidden(secret, response.content.decode())
    await pools.close_all()
    await drop_role(pg_admin)


@pytest.mark.parametrize("secret", NASTY[:2])
async def test_no_secret_is_in_what_the_commands_print(
    secret: str, pg_admin: "asyncpg.Connection[Any]", postgres_url: str, tmp_path: Path
) -> None:
    """Scenario 39, command output: `poolstatus` in every form, and the system checks."""
    await create_role(pg_admin, secret)
    address = postgres_url.rpartition("@")[2]
    url = f"postgresql://{USER}:{quote(secret, safe='')}@{address}"
    good = declared(secret, address, url=url)
    wrong = {name: make(secret) for name, make in WRONG.items()}

    def manage(pools: object, *command: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "own_settings.py").write_text(
            f"from tests.settings import *\nPOOLS = {pools!r}\n"
        )
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "own_settings",
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
        }
        return subprocess.run(
            [sys.executable, "-m", "django", *command],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    for arguments in (["--probe"], ["--probe", "--format", "json", "--config"], ["--config"]):
        done = manage(good, "poolstatus", *arguments)
        assert done.returncode == ("--probe" in arguments)
        assert_hidden(secret, done.stdout + done.stderr)
    for command, code in (("check", 1), ("poolstatus", 2)):
        done = manage(wrong, command)
        assert done.returncode == code
        assert_hidden(secret, done.stdout + done.stderr)
        assert set(re.findall(r"POOLS\['(\w+)'\]", done.stderr)) == set(WRONG)
    await drop_role(pg_admin)


@pytest.mark.parametrize("waiting", [0, 3])
async def test_readiness_answers_while_all_connections_are_borrowed(
    async_client: AsyncClient,
    pg_admin: "asyncpg.Connection[Any]",
    settings: Any,
    waiting: int,
) -> None:
    """Scenario 48: the health check holds no slot and waits for none."""
    settings.POOLS = {"default": {**settings.POOLS["default"], "MAX_SIZE": 2}}
    pool = pools["default"]
    async with AsyncExitStack() as stack:
        for _ in range(2):
            lease = await pool.acquire()
            stack.callback(lease.release)
        queued = [asyncio.ensure_future(pool.acquire(timeout=60)) for _ in range(waiting)]
        await asyncio.sleep(0)
        assert pool.waiting == waiting

        response = await async_client.get("/pools/health/ready?format=json")

        assert response.status_code == 200
        (found,) = json.loads(response.content)["pools"]
        assert found["status"] == ("degraded" if waiting else "healthy")
        assert (pool.in_use, pool.waiting, pool.counters.connected) == (2, waiting, 2)
        for each in queued:
            each.cancel()
        await asyncio.gather(*queued, return_exceptions=True)
    left = await pg_admin.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'poolapp:default:%'"
    )
    assert left <= 2
