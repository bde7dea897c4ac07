"""``poolstatus --format prometheus``, as a user runs it."""

from __future__ import annotations

import asyncio
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.fleet.starting import HERE, POSTGRES, REDIS, Fleet

COMMAND = [sys.executable, "-W", "error", "-m", "django", "poolstatus", "--format", "prometheus"]


async def run(company: Fleet, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        env=company.environment,
        cwd=HERE.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, errors = await process.communicate()
    return process.returncode, told.decode(), errors.decode()


def samples(text: str) -> dict[str, float]:
    """Sample name and alias -> value."""
    return {
        f"{sample.name} {sample.labels['alias']}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_probe_tells_the_health_of_each_server(redis_url: str) -> None:
    company = Fleet(
        {
            "cache": {"BACKEND": REDIS, "LOCATION": redis_url, "MAX_SIZE": 7},
            "default": {"BACKEND": POSTGRES, "LOCATION": "postgresql://u:hunter2@127.0.0.1:1/x"},
        }
    )
    code, told, errors = await run(company, "--probe")
    assert (code, errors) == (1, "")
    assert "hunter2" not in told
    assert "127.0.0.1" not in told
    found = samples(told)
    assert found["connection_pool_health cache"] == 0
    assert found["connection_pool_health default"] == 2
    assert found["connection_pool_max_connections cache"] == 7
    assert found["connection_pool_total_connections cache"] == 0
    assert 'backend="postgres"' in told


async def test_without_a_probe_no_health_is_told(redis_url: str) -> None:
    company = Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url, "MAX_SIZE": 7}})
    code, told, _ = await run(company)
    assert code == 0
    assert "connection_pool_health{" not in told
    assert samples(told)["connection_pool_max_connections cache"] == 7


async def test_the_workers_of_a_fleet_are_summed_up(redis_url: str) -> None:
    company = Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url, "MAX_SIZE": 3}})
    async with company.workers(2) as (one, other):
        for worker in (one, other):
            assert await worker.ask("hold", "cache") == "held"
        async with asyncio.timeout(60):
            while True:
                code, told, errors = await run(company, "--fleet")
                assert (code, errors) == (0, "")
                found = samples(told)
                if found.get("connection_pool_active_connections cache") == 2:
                    break
        assert found["connection_pool_max_connections cache"] == 6
        assert found["connection_pool_health cache"] == 0
        assert found["connection_pool_timeouts_total cache"] == 0


@pytest.mark.parametrize("option", [("--config",), ("--watch", "1")])
async def test_what_does_not_go_with_numbers_is_refused(
    redis_url: str, option: tuple[str, ...]
) -> None:
    company = Fleet({"cache": {"BACKEND": REDIS, "LOCATION": redis_url}})
    code, told, errors = await run(company, *option)
    assert (code, told) == (2, "")
    assert "it goes with --probe or --fleet" in errors
