"""The pytest plugin, as the tests of a user's project see it: each case is a pytest run of its own,
on the real PostgreSQL."""

from __future__ import annotations

import importlib.metadata
import os
import textwrap
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.real import sessions

pytest_plugins = ["pytester"]

CONFTEST = """
import django
from django.conf import settings

settings.configure(
    POOLS={
        "default": {
            "BACKEND": "poolapp.backends.postgres.PostgresBackend",
            "LOCATION": %(url)r,
            "MAX_SIZE": 3,
            "ACQUIRE_TIMEOUT": 30,
            "OPTIONS": {"server_settings": {"application_name": %(name)r}},
        },
        "search": {
            "BACKEND": "poolapp.backends.elasticsearch.ElasticsearchBackend",
            "LOCATION": ["http://127.0.0.1:9"],
        },
    },
    INSTALLED_APPS=["poolapp"],
)
django.setup()
"""

IMPORTS = """
import asyncio
import asyncpg
import pytest
from poolapp import BackendUnavailable, PoolError, pools

pool = pools.__getitem__
"""

COUNT = "SELECT count(*) FROM pg_tables WHERE tablename = $1"


class Project:
    """A user's project with some tests."""

    def __init__(self, pytester: pytest.Pytester, name: str, url: str) -> None:
        self.name = name
        self.pytester = pytester
        pytester.makeconftest(CONFTEST % {"url": url, "name": name})

    def run(self, tests: str, *options: str, mode: str = "auto") -> pytest.RunResult:
        self.pytester.makepyfile(IMPORTS + textwrap.dedent(tests))
        return self.pytester.runpytest_subprocess(
            *_plugin(),
            *("-p", "no:django", "-p", "no:cacheprovider", "-W", "error"),
            *("-o", f"asyncio_mode={mode}"),
            *("-o", "asyncio_default_fixture_loop_scope=function"),
            *options,
        )


def _plugin() -> list[str]:
    """Nothing, where the distribution is installed with its entry point."""
    entries = importlib.metadata.entry_points(group="pytest11")
    there = any(entry.value == "poolapp.testing" for entry in entries)
    return [] if there else ["-p", "poolapp.testing"]


@pytest.fixture
def project(
    pytester: pytest.Pytester, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    return Project(pytester, f"testing-{os.urandom(4).hex()}", postgres_url)


# -- isolated_pools --------------------------------------------------------------------------------


def test_isolated_pools_begin_closed_and_end_closed(project: Project) -> None:
    result = project.run(
        """
        async def test_leaves_pools_open(isolated_pools):
            assert isolated_pools is pools
            await pool("default").fetchval("SELECT 1")
            assert pools.count() == 1

        def test_uses_the_process_loop(isolated_pools):
            assert pools.count() == 0

            async def one():
                return await pool("default").fetchval("SELECT 1")

            assert pools.run(one) == 1
            assert pools.count() == 1

        def test_sees_nothing_of_it(isolated_pools):
            assert pools.count() == 0
        """
    )
    result.assert_outcomes(passed=3)


def test_isolated_pools_undo_what_the_test_did_to_the_aliases(project: Project) -> None:
    result = project.run(
        """
        async def test_changes_everything(isolated_pools):
            pools.register("mine", create=asyncio.Event)
            pools.resize("default", max_size=99)
            await pools.remove("search")

        def test_finds_everything_as_in_the_settings():
            assert set(pools) == {"default", "search"}
            assert pools.config("default").max_size == 3
        """
    )
    result.assert_outcomes(passed=2)


async def test_isolated_pools_leave_no_connection(
    project: Project, pg_admin: asyncpg.Connection[Any]
) -> None:
    result = project.run(
        """
        @pytest.mark.parametrize("number", range(3))
        async def test_one_session_at_most(isolated_pools, number):
            seen = await pool("default").fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", NAME
            )
            assert seen == 1
        """.replace("NAME", repr(project.name)),
    )
    result.assert_outcomes(passed=3)
    assert await sessions(pg_admin, project.name) == []


# -- pool_transaction ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "strict"])
async def test_what_a_test_did_in_its_transaction_is_undone(
    project: Project, pg_admin: asyncpg.Connection[Any], mode: str
) -> None:
    table = project.name.replace("-", "_")
    result = project.run(
        """
        @pytest.mark.asyncio
        @pytest.mark.parametrize("number", range(2))
        async def test_makes_a_table(pool_transaction, number):
            await pool("default").execute("CREATE TABLE TABLE_NAME (id int)")
            async with pool("default").acquire() as connection:
                await connection.execute("INSERT INTO TABLE_NAME VALUES (1)")
                assert connection is pool_transaction["default"]
            assert await pool("default").fetchval("SELECT count(*) FROM TABLE_NAME") == 1

        @pytest.mark.asyncio
        async def test_is_outside():
            assert await pool("default").fetchval(
                "SELECT count(*) FROM pg_tables WHERE tablename = 'TABLE_NAME'"
            ) == 0
            assert pools.config("default").max_size == 3
        """.replace("TABLE_NAME", table),
        mode=mode,
    )
    result.assert_outcomes(passed=3)
    assert await pg_admin.fetchval(COUNT, table) == 0
    assert await sessions(pg_admin, project.name) == []


def test_tasks_take_turns_in_a_transaction_and_nested_acquires_share(project: Project) -> None:
    result = project.run(
        """
        async def test_turns(pool_transaction):
            await pool("default").execute("CREATE TEMPORARY TABLE numbers (n int)")

            async def add(number):
                async with pool("default").acquire() as outer:
                    await outer.execute("INSERT INTO numbers VALUES ($1)", number)
                    async with pool("default").acquire() as inner:
                        assert inner is outer
                    await pool("default").execute("INSERT INTO numbers VALUES ($1)", -number)

            await asyncio.gather(*map(add, range(20)))
            assert await pool("default").fetchval("SELECT count(*) FROM numbers") == 40
            assert pools.info()[0].in_use == 0
        """
    )
    result.assert_outcomes(passed=1)


def test_a_failure_undoes_its_own_lease_and_no_more(project: Project) -> None:
    result = project.run(
        """
        async def test_failure(pool_transaction):
            await pool("default").execute("CREATE TEMPORARY TABLE numbers (n int PRIMARY KEY)")
            await pool("default").execute("INSERT INTO numbers VALUES (1)")
            with pytest.raises(asyncpg.UniqueViolationError):
                await pool("default").execute("INSERT INTO numbers VALUES (1)")
            with pytest.raises(asyncpg.UniqueViolationError):
                async with pool("default").acquire() as connection, connection.transaction():
                    await connection.execute("INSERT INTO numbers VALUES (2)")
                    await connection.execute("INSERT INTO numbers VALUES (1)")
            rows = await pool("default").fetch("SELECT n FROM numbers")
            assert [row["n"] for row in rows] == [1]
        """
    )
    result.assert_outcomes(passed=1)


def test_a_transaction_is_refused_where_it_can_not_be(project: Project) -> None:
    result = project.run(
        """
        async def test_other_loop(pool_transaction):
            async def one():
                return await pool("default").fetchval("SELECT 1")

            with pytest.raises(BackendUnavailable, match="connection of another event loop"):
                await pools.arun(one)
            assert await one() == 1

        async def test_other_kind_of_server():
            from poolapp.testing import transaction

            pools.register("events", create=make_event)
            with pytest.raises(PoolError, match="'events' has no transactions"):
                async with transaction("events"):
                    pass

        async def make_event():
            return asyncio.Event()
        """
    )
    result.assert_outcomes(passed=2)


def test_the_marker_names_the_aliases(project: Project) -> None:
    result = project.run(
        """
        @pytest.fixture
        def reports():
            pools.register("reports", pools.config("default").replace(alias="reports"))

        @pytest.mark.pool_transaction("default", "reports")
        async def test_two(reports, isolated_pools, pool_transaction):
            assert list(pool_transaction) == ["default", "reports"]
            mine = await pool("reports").fetchval("SELECT pg_backend_pid()")
            assert mine != await pool("default").fetchval("SELECT pg_backend_pid()")
        """,
        "--strict-markers",
    )
    result.assert_outcomes(passed=1)


# -- leaks -----------------------------------------------------------------------------------------

LEAKS = """
@pytest.fixture
async def held():
    async with pool("default").acquire() as connection:
        yield connection

async def test_leaks(USES):
    lease = await pool("default").acquire()
    assert await lease.connection.fetchval("SELECT 1") == 1

async def test_returns(USES):
    async with pool("default").acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1

async def test_uses_what_its_fixture_holds(held, USES):
    assert await held.fetchval("SELECT 1") == 1

async def test_fails(USES):
    lease = await pool("default").acquire()
    raise LookupError
"""


def test_a_lease_left_behind_fails_the_test_where_it_was_asked_for(project: Project) -> None:
    result = project.run(LEAKS.replace("USES", "pool_leak_check"))
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["The test left 1 lease(s) behind:", "  pool 'default', acquired at *.py:* in test_leaks"]
    )
    result.stdout.fnmatch_lines(["*LookupError*"])


def test_the_ini_option_has_every_test_checked(project: Project) -> None:
    result = project.run(
        LEAKS.replace(", USES", "").replace("USES", ""), "-o", "poolapp_leak_check=true"
    )
    result.assert_outcomes(passed=2, failed=2)


def test_nothing_is_checked_unasked(project: Project) -> None:
    result = project.run(LEAKS.replace(", USES", "").replace("USES", ""))
    result.assert_outcomes(passed=3, failed=1)


def test_the_plugin_is_inert_in_a_project_without_pools(
    pytester: pytest.Pytester, project: Project
) -> None:
    """Neither settings nor pytest-asyncio are needed where no fixture is used."""
    pytester.makeconftest("")
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess(
        *_plugin(), "-p", "no:django", "-p", "no:asyncio", "-W", "error", "--strict-config"
    )
    result.assert_outcomes(passed=1)
